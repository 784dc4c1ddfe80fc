"""Searchers find the nearest rows of mapped vectors. `exact` is the judge of every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.registry import Registry
from core.space.identity import METRICS
from core.types import Match

if TYPE_CHECKING:
    from core.vectors.codes import Codes

SEARCHERS = Registry(
    "ann",
    {
        "exact": "core.vectors.exact:ExactSearcher",
        "binary": "core.vectors.binary:BinarySearcher",
        "hnsw": "core.vectors.hnsw:HnswSearcher",
    },
    extras={"hnsw": "hnswlib"},
)


@dataclass(frozen=True, slots=True)
class VectorSegment:
    """The vectors of one segment: float32 rows × dimension, their norms, which rows live (None: all), and what speeds
    up the search of them, where it is there: a graph, binary codes.
    """

    vectors: NDArray[np.float32]
    norms: NDArray[np.float32]
    live: NDArray[np.bool_] | None = None
    graph: Path | None = None
    codes: Codes | None = None


class Searcher(Protocol):
    def __init__(self, segments: Sequence[VectorSegment], metric: str): ...

    def search(self, query: NDArray[np.float32], depth: int) -> list[Match]:
        """The `depth` best live rows for one query vector (dimension,), best first; ties by segment and row."""
        ...


def score(
    vectors: NDArray[np.float32], norms: NDArray[np.float32], query: NDArray[np.float32], metric: str
) -> NDArray[np.float32]:
    """Scores of rows for one query, float32; Euclid is negated so that higher is better.

    Raises UsageError for an unknown metric.
    """
    if metric not in METRICS:
        raise UsageError(f"there is no metric {metric!r}", fix=f"choose one of: {', '.join(METRICS)}")
    products: NDArray[np.float32] = vectors @ query
    if metric == "dot":
        return products
    length = np.float32(np.linalg.norm(query))
    if metric == "cosine":
        scale = np.maximum(norms * length, np.float32(1e-30))
        return np.asarray(products / scale, dtype=np.float32)
    squares = np.maximum(norms**2 - 2 * products + length**2, 0)
    return np.asarray(-np.sqrt(squares), dtype=np.float32)


def best(matches: list[Match], depth: int) -> list[Match]:
    return sorted(matches, key=lambda match: (-match.score, match.segment, match.row))[:depth]
