"""The shape of a cloud of vectors, in a few numbers. None of them proves anything; each says something that a model knows.

Every function takes float32 rows × dimension and looks at most at `MOST` rows, evenly spread, so its memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 2000  # rows: 16 MB for all their cosines
_BLOCK = 500

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cone:
    """`mean_length`: of the mean of the vectors at length 1, from 0 (they point everywhere) to 1 (all one way).
    `effective_dimension`: participation ratio of the covariance's eigenvalues, (Σλ)²/Σλ². `axis`: float64 (dimension,), the
    mean direction.
    """

    mean_length: float
    effective_dimension: float
    axis: NDArray[np.float64]


def unit(vectors: Floats) -> Floats:
    """The vectors at length 1; a vector of no length stays as it is."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-30), dtype=np.float32)


def thin(vectors: Floats, most: int = MOST) -> Floats:
    """At most so many of the rows, evenly spread."""
    rows = np.unique(np.linspace(0, max(len(vectors) - 1, 0), num=min(most, len(vectors)), dtype=np.int64))
    return vectors if len(rows) == len(vectors) else vectors[rows]


def centred(vectors: Floats) -> Floats:
    """Directions from the mean direction, at length 1: what is left when the cone is taken away."""
    ones = unit(vectors)
    return unit(ones - ones.mean(axis=0, dtype=np.float64).astype(np.float32)) if len(ones) else ones


def cone(vectors: Floats) -> Cone:
    """The cone in which the vectors lie (Ethayarajh 2019, https://arxiv.org/abs/1909.00512)."""
    ones = unit(thin(vectors)).astype(np.float64)
    if not len(ones):
        return Cone(0.0, 0.0, np.zeros(vectors.shape[1]))
    mean = ones.mean(axis=0)
    length = float(np.linalg.norm(mean))
    covariance = (ones - mean).T @ (ones - mean) / len(ones)
    squares = float((covariance**2).sum())  # the sum of the squared eigenvalues, without finding them
    effective = float(np.trace(covariance)) ** 2 / squares if squares > 1e-20 else 0.0
    return Cone(length, effective, mean / max(length, 1e-30))


def hubness(vectors: Floats, k: int = 10) -> float:
    """Skewness of how often a row is among the `k` nearest of the others: near 0 without hubs, above 1 with some
    (Radovanović, Nanopoulos & Ivanović 2010, https://jmlr.org/papers/v11/radovanovic10a.html).
    """
    ones = unit(thin(vectors))
    k = min(k, len(ones) - 1)
    if k < 1:
        return 0.0
    counts = np.zeros(len(ones), dtype=np.int64)
    for start in range(0, len(ones), _BLOCK):
        cosines = ones[start : start + _BLOCK] @ ones.T
        cosines[np.arange(len(cosines)), start + np.arange(len(cosines))] = -np.inf
        counts += np.bincount(np.argpartition(-cosines, k - 1, axis=1)[:, :k].ravel(), minlength=len(ones))
    spread = float(counts.std())
    return float(((counts - counts.mean()) ** 3).mean() / spread**3) if spread else 0.0


@dataclass(frozen=True, slots=True)
class Cosines:
    """Of pairs of rows: mean, standard deviation times √dimension (1 for directions drawn by chance), share below 0."""

    mean: float
    spread: float
    negative: float


def cosines(vectors: Floats) -> Cosines:
    """All pairs of (at most `MOST`) rows; zeros for fewer than two."""
    ones = unit(thin(vectors))
    if len(ones) < 2:
        return Cosines(0.0, 0.0, 0.0)
    found = (ones @ ones.T)[np.triu_indices(len(ones), 1)].astype(np.float64)
    spread = float(found.std()) * float(np.sqrt(vectors.shape[1]))
    return Cosines(float(found.mean()), spread, float((found < 0).mean()))
