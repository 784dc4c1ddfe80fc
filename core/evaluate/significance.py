"""How sure a difference between two rankings is, query by query: a bootstrap interval and a paired test.

Smucker, Allan, Carterette (2007), "A comparison of statistical significance tests for information retrieval evaluation".
Both are seeded: equal values give equal answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluate import Evaluation

RESAMPLES = 2_000  # of the bootstrap
SHUFFLES = 10_000  # of the test
EXACT = 12  # so many queries or fewer: all ways to change signs are tried
_CHUNK = 1 << 20  # signs drawn at once
_EQUAL = 1e-12  # sums that differ by rounding are equal
SINGLE = ("lexical", "dense")


@dataclass(frozen=True, slots=True)
class Difference:
    """`mean` of the differences, its 95 % interval, and `p` of the two-sided test that there is none."""

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class StageDifference:
    """By one metric, `stage` minus `reference`, the best stage that is alone: lexical or dense."""

    metric: str
    stage: str
    reference: str
    difference: Difference


def paired(values: Sequence[float], others: Sequence[float], seed: int = 0) -> Difference:
    """The difference `values` - `others`, one of each a query, in the same order; at least one query."""
    differences = np.asarray(values, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    low, high = _bootstrap(differences, np.random.default_rng(seed))
    p = _randomisation(differences, np.random.default_rng(seed))
    return Difference(float(differences.mean()), low, high, p)


def _bootstrap(differences: NDArray[np.float64], random: np.random.Generator) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the means of queries drawn with replacement."""
    count = len(differences)
    means = [differences[random.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _randomisation(differences: NDArray[np.float64], random: np.random.Generator) -> float:
    """How often the differences sum up to as much when each changes its sign by chance."""
    count = len(differences)
    least = abs(differences.sum()) - _EQUAL
    if count <= EXACT:
        signs = 1 - 2 * ((np.arange(1 << count)[:, None] >> np.arange(count)) & 1)
        return float(np.mean(np.abs(signs @ differences) >= least))
    reached, left = 1, SHUFFLES  # the order that was seen is one of them
    while left:
        rows = min(left, max(1, _CHUNK // count))
        signs = 1 - 2 * random.integers(0, 2, (rows, count))
        reached += int(np.count_nonzero(np.abs(signs @ differences) >= least))
        left -= rows
    return reached / (SHUFFLES + 1)


def against_best_single(stages: Mapping[str, Evaluation]) -> list[StageDifference]:
    """By every metric, each stage against the better one of lexical and dense, which is chosen by that metric's mean."""
    found = []
    for metric in next(iter(stages.values())).mean:
        best = max((name for name in SINGLE if name in stages), key=lambda name: stages[name].mean[metric])
        queries = list(stages[best].per_query[metric])
        reference = [stages[best].per_query[metric][query] for query in queries]
        for name, evaluation in stages.items():
            if name != best:
                values = [evaluation.per_query[metric][query] for query in queries]
                found.append(StageDifference(metric, name, best, paired(values, reference)))
    return found
