"""similar: the vectors of a few texts, and how near they are to one another by every metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder
from core.errors import UsageError
from core.types import Side


@dataclass(frozen=True, slots=True)
class Similarity:
    """texts × texts, float32 each; vectors texts × dimension."""

    texts: tuple[str, ...]
    vectors: NDArray[np.float32]
    cosine: NDArray[np.float32]
    dot: NDArray[np.float32]
    euclidean: NDArray[np.float32]


def similar(encoder: Encoder, texts: Sequence[str], side: Side = "passage") -> Similarity:
    """Embed `texts` on one side and compare each with each. Raises UsageError for none or an empty text."""
    if not texts or not all(text.strip() for text in texts):
        raise UsageError("there is no text, or an empty one", fix='samespace similar "first text" "second text"')
    vectors = encoder.embed(texts, side)
    exact = vectors.astype(np.float64)
    dot = exact @ exact.T
    norms = np.sqrt(np.diag(dot))
    cosine = dot / np.maximum(np.outer(norms, norms), 1e-30)
    euclidean = np.linalg.norm(exact[:, None, :] - exact[None, :, :], axis=2)
    return Similarity(
        tuple(texts), vectors, cosine.astype(np.float32), dot.astype(np.float32), euclidean.astype(np.float32)
    )
