"""How much a sample says of the whole: rows drawn from every stratum, and a bound on the share of those that are foreign.

The bound is Clopper and Pearson's (1934), one-sided and exact: the share at which so few foreign rows, or fewer, would be
drawn with a chance of 5 %. Drawing without replacement, and from every stratum its due, makes such luck only rarer
(Hoeffding 1956, "On the distribution of the number of successes in independent trials"), so the bound holds for that too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_STEPS = 60  # of the bisection: to the last digit of a double


def upper_bound(drawn: int, foreign: int, confidence: float = CONFIDENCE) -> float:
    """The largest share, in [0, 1], that is not refuted by `foreign` of `drawn` rows. Nothing drawn refutes nothing."""
    if foreign >= drawn:
        return 1.0
    if not foreign:
        return float(1 - (1 - confidence) ** (1 / drawn))
    i = np.arange(1, foreign + 1, dtype=np.float64)
    logs = np.concatenate([[0.0], np.cumsum(np.log((drawn - i + 1) / i))])  # of the binomial coefficients
    low, high = foreign / drawn, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle >= 1.0 or _at_most(logs, drawn, middle) <= 1 - confidence:
            high = middle
        else:
            low = middle
    return high


def _at_most(logs: NDArray[np.float64], drawn: int, share: float) -> float:
    """The chance that a binomial variable is at most len(logs) - 1."""
    i = np.arange(len(logs))
    return float(np.exp(np.logaddexp.reduce(logs + i * np.log(share) + (drawn - i) * np.log1p(-share))))


def allocate(sizes: Sequence[int], wanted: int) -> list[int]:
    """How many rows to draw from each stratum: its due, rounded up, so that none is left out and none is short of it.

    The sum is `wanted` and at most one more for every stratum but the first; all rows when there are no more than that.
    """
    total = sum(sizes)
    return [min(size, -(-wanted * size // total)) for size in sizes] if total else [0 for _ in sizes]


def mixed_bound(sizes: Sequence[int], drawn: Sequence[int], foreign: int, confidence: float = CONFIDENCE) -> float:
    """The bound for a whole of strata of `sizes` rows, of which `drawn` were looked at and `foreign` found, all together.

    Where a stratum had less than its due, the rows of the others count less. Where all rows were looked at, it is the share.
    """
    total, looked = sum(sizes), sum(drawn)
    if looked >= total:
        return foreign / total if total else 0.0
    due = min(count * total / size for size, count in zip(sizes, drawn, strict=True) if size)
    if not due:
        return 1.0
    if not foreign:  # the chance of that is at most (1 - share)^due, by Jensen's inequality
        return float(1 - (1 - confidence) ** (1 / due))
    return min(1.0, upper_bound(looked, foreign, confidence) * looked / due)


def compare_rows(
    stored: NDArray[np.float32], now: NDArray[np.float32], tolerance: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Row by row (rows × dimension): which agree in direction and length, as canaries have to; and their cosines.

    A value that is no number, and a vector of no length beside one that has some, agree with nothing: cosine 0.
    """
    a, b = stored.astype(np.float64), now.astype(np.float64)
    finite = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    a[~finite], b[~finite] = 0.0, 0.0
    lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    same = finite & (lengths_a == 0) & (lengths_b == 0)
    cosines = np.where(same, 1.0, (a * b).sum(axis=1) / np.maximum(lengths_a * lengths_b, 1e-30))
    longer = np.abs(lengths_a - lengths_b) / np.maximum(lengths_b, 1e-30)
    return finite & (1 - cosines <= tolerance) & (longer <= tolerance), cosines
