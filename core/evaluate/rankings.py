"""How alike two rankings of the same queries are, without and with judgements."""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import UsageError
from core.evaluate import evaluate
from core.evaluate.significance import Difference, paired
from core.runs import Run
from core.types import Qrel

PERSISTENCE = 0.9  # of rank-biased overlap: the first ten ranks have 86 % of the weight
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class QueryChange:
    """One query: its best `k` documents by both sides, how many of them they share (as a share), rank-biased overlap of the
    whole rankings, and Kendall's tau of the documents that both have (None for fewer than two)."""

    query: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    overlap: float
    rbo: float
    tau: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """By `metric` over the judged queries: the means, B minus A, and how many queries each side wins."""

    metric: str
    queries: int
    a: float
    b: float
    difference: Difference
    b_wins: int
    ties: int
    a_wins: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`changes`: every query that both sides ranked, the most changed first. Means over them; `tau` where there is any."""

    k: int
    overlap: float
    rbo: float
    tau: float | None
    changes: tuple[QueryChange, ...]
    only_a: int  # queries that only A has
    only_b: int
    judged: Judged | None = None


def order_of(ranked: dict[str, float]) -> list[str]:
    """Best first; equal scores stay in their order."""
    return sorted(ranked, key=lambda document: -ranked[document])


def overlap_at(a: Sequence[str], b: Sequence[str], k: int) -> float:
    """The share of the best `k` that both have; of what there is, where both have fewer. Two empty lists are alike."""
    size = min(k, max(len(a), len(b)))
    return len(set(a[:k]) & set(b[:k])) / size if size else 1.0


def rank_biased_overlap(a: Sequence[str], b: Sequence[str], p: float = PERSISTENCE) -> float:
    """In [0, 1], 1 for equal lists; extrapolated, for lists of any lengths, none with a document twice.

    Webber, Moffat, Zobel (2010), "A similarity measure for indefinite rankings", equation 32.
    """
    short, long = sorted((a, b), key=len)
    s, n = len(short), len(long)
    if not s:
        return 1.0 if not n else 0.0
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    common, common_short, total = 0, 0, 0.0
    for depth, document in enumerate(long, start=1):
        common += document in seen_short
        seen_long.add(document)
        if depth <= s:
            common += short[depth - 1] in seen_long
            seen_short.add(short[depth - 1])
            common_short = common
        beyond = common_short * (depth - s) / (s * depth) if depth > s else 0.0
        total += (common / depth + beyond) * p**depth
    return (1 - p) / p * total + ((common - common_short) / n + common_short / s) * p**n


def kendall_tau(a: Sequence[str], b: Sequence[str]) -> float | None:
    """Of the documents that both lists have: pairs in the same order less pairs in the other one, as a share of all."""
    place = {document: rank for rank, document in enumerate(b)}
    ranks = [place[document] for document in a if document in place]
    if len(ranks) < 2:
        return None
    before: list[int] = []
    turned = 0
    for rank in ranks:
        turned += len(before) - bisect(before, rank)
        insort(before, rank)
    return 1 - 4 * turned / (len(ranks) * (len(ranks) - 1))


def compare_runs(a: Run, b: Run, k: int, qrels: Sequence[Qrel] = (), metric: str = "nDCG@10") -> Comparison:
    """Compare two runs on the queries that both have; with `qrels`, also by `metric`.

    Raises UsageError when they share no query, or none of those is judged.
    """
    shared = [query for query in a if query in b]
    if not shared:
        raise UsageError("the two share no query", fix="check that both rank the same queries")
    changes = []
    for query in shared:
        one, other = order_of(a[query]), order_of(b[query])
        figures = overlap_at(one, other, k), rank_biased_overlap(one, other), kendall_tau(one, other)
        changes.append(QueryChange(query, tuple(one[:k]), tuple(other[:k]), *figures))
    changes.sort(key=lambda change: change.rbo)
    taus = [change.tau for change in changes if change.tau is not None]
    return Comparison(
        k,
        float(np.mean([change.overlap for change in changes])),
        float(np.mean([change.rbo for change in changes])),
        float(np.mean(taus)) if taus else None,
        tuple(changes),
        len(a) - len(shared),
        len(b) - len(shared),
        _judge(a, b, set(shared), qrels, metric) if qrels else None,
    )


def _judge(a: Run, b: Run, shared: set[str], qrels: Sequence[Qrel], metric: str) -> Judged:
    known = [qrel for qrel in qrels if qrel.query_id in shared]
    if not known:
        raise UsageError("no query that both have is judged", fix="check that judgements and queries belong together")
    one, other = evaluate(a, known, [metric]), evaluate(b, known, [metric])
    (name, mine), (_, theirs) = next(iter(one.per_query.items())), next(iter(other.per_query.items()))
    differences = [theirs[query] - mine[query] for query in mine]
    return Judged(
        name,
        len(mine),
        one.mean[name],
        other.mean[name],
        paired(list(theirs.values()), list(mine.values())),
        sum(difference > _TIE for difference in differences),
        sum(abs(difference) <= _TIE for difference in differences),
        sum(difference < -_TIE for difference in differences),
    )
