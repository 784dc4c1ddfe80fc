"""Which search answers soonest: a written cost model over what the index has. The answer hardly depends on it, only the time.

The constants are seconds, measured by `benchmarks/vectors.py`; they are one machine's, but the ratios between them, which
decide, differ little. An exact scan reads every vector. Codes read a bit a dimension and score some rows. A graph has to
be loaded first, so it pays for many queries of one process only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UsageError
from core.vectors import SEARCHERS, VectorSegment

SCAN = 2.0e-10  # a float32 scored exactly, and its part of the choice of the best
WORD = 1.5e-9  # 64 dimensions of one row by codes, and their part of the choice among them
RESCORE = 1.0e-6  # one candidate gathered and scored
LOAD = 1.5e-6  # a row of a graph read into memory
STEP = 2.5e-6  # a candidate of a graph's search

WORTH = 20_000  # rows from which codes are kept: below, a scan takes a millisecond or two
ANN = ("auto", "exact", "binary", "hnsw")


def check_ann(name: str) -> None:
    """Raises UsageError for a name that is none, MissingError where its package is not installed."""
    if name not in ANN:
        raise UsageError(f"there is no ann called {name!r}", fix=f"choose one of: {', '.join(ANN)}")
    if name != "auto":
        SEARCHERS.load(name)


@dataclass(frozen=True, slots=True)
class Plan:
    """How vectors are searched, and why."""

    method: str
    reason: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.method} search ({self.reason})"


def choose(segments: Sequence[VectorSegment], depth: int, queries: int, asked: str = "auto") -> Plan:
    """The cheapest way for `queries` queries of `depth` hits. `asked` is what the index was told: `exact` and `binary`
    leave no choice, `auto` and `hnsw` all that there are files for.
    """
    rows = sum(len(segment.vectors) for segment in segments)
    words = sum(segment.vectors.size for segment in segments) / 64
    plans = [Plan("exact", f"{rows:,} rows", queries * 64 * words * SCAN)]
    coded = [segment for segment in segments if segment.codes is not None]
    if coded:
        scored = sum(max(segment.codes.depth, 4 * depth) for segment in coded if segment.codes)
        recall = min(segment.codes.recall for segment in coded if segment.codes)
        plain = sum(segment.vectors.size for segment in segments if segment.codes is None)
        cost = sum(segment.vectors.size for segment in coded) / 64 * WORD + scored * RESCORE + plain * SCAN
        why = f"{rows:,} rows, {scored:,} of them scored; recall@10 {recall:.3f} when calibrated"
        plans.append(Plan("binary", why, queries * cost))
    if any(segment.graph is not None for segment in segments):
        cost = rows * LOAD + queries * len(segments) * max(depth, 128) * STEP
        plans.append(Plan("hnsw", f"{rows:,} rows, {queries:,} queries", cost))
    if asked in ("exact", "binary"):
        return next((plan for plan in plans if plan.method == asked), plans[0])
    return min(plans, key=lambda plan: (plan.seconds, plan.method))


def graph_pays(rows: int, dimension: int, queries: int = 10_000) -> bool:
    """Whether a graph would ever be used for a segment, even by a process with that many queries."""
    codes = rows * dimension / 64 * WORD + 1000 * RESCORE if rows >= WORTH else rows * dimension * SCAN
    return rows * LOAD + queries * 200 * STEP < queries * min(codes, rows * dimension * SCAN)
