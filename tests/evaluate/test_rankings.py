"""Overlap, rank-biased overlap, Kendall's tau: against the definitions spelled out, and two runs side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.evaluate.rankings import compare_runs, kendall_tau, order_of, overlap_at, rank_biased_overlap
from core.types import Qrel

LISTS = st.lists(st.sampled_from("abcdefghij"), unique=True)


def spelled_out(a: list[str], b: list[str], p: float) -> float:
    """Webber et al. (2010), equation 32, as it stands there: X_d is the overlap of the first d of both."""
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    s, n = len(short), len(long)
    x = [len(set(short[:d]) & set(long[:d])) for d in range(n + 1)]
    first = sum(x[d] / d * p**d for d in range(1, n + 1))
    second = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (first + second) + ((x[n] - x[s]) / n + x[s] / s) * p**n


class TestRankBiasedOverlap:
    def test_by_hand(self) -> None:
        """Agreements 1, 1/2, 1 of a b c and a c b with p = 0.5: (0.5 + 0.125 + 0.125) + 1/8."""
        assert rank_biased_overlap("abc", "acb", 0.5) == pytest.approx(0.875)
        assert rank_biased_overlap("abc", "abc") == pytest.approx(1.0)
        assert rank_biased_overlap("abc", "xyz") == 0.0
        assert rank_biased_overlap("abc", "ab") == pytest.approx(1.0)  # as far as it is known
        assert (rank_biased_overlap("", ""), rank_biased_overlap("", "a")) == (1.0, 0.0)

    @given(LISTS, LISTS, st.floats(0.1, 0.99))
    def test_is_the_equation(self, a: list[str], b: list[str], p: float) -> None:
        found = rank_biased_overlap(a, b, p)
        assert -1e-9 <= found <= 1 + 1e-9
        assert found == pytest.approx(rank_biased_overlap(b, a, p))
        if a and b:
            assert found == pytest.approx(spelled_out(a, b, p))

    def test_the_first_ranks_weigh_most(self) -> None:
        assert rank_biased_overlap("abcdef", "abcdfe") > rank_biased_overlap("abcdef", "bacdef")


class TestKendall:
    def test_by_hand(self) -> None:
        assert kendall_tau("abc", "abc") == 1.0
        assert kendall_tau("abc", "cba") == -1.0
        assert kendall_tau("abcx", "yacb") == pytest.approx(1 / 3)  # a c b: of three pairs one is turned
        assert kendall_tau("ab", "bx") is None

    @given(LISTS, LISTS)
    def test_is_scipys(self, a: list[str], b: list[str]) -> None:
        stats = pytest.importorskip("scipy.stats")
        both = [document for document in a if document in b]
        if len(both) < 2:
            assert kendall_tau(a, b) is None
        else:
            judge = stats.kendalltau(range(len(both)), [b.index(document) for document in both]).statistic
            assert kendall_tau(a, b) == pytest.approx(judge)


def test_overlap() -> None:
    assert overlap_at("abcd", "badc", 2) == 1.0
    assert overlap_at("abcd", "axyz", 4) == 0.25
    assert overlap_at("ab", "a", 10) == 0.5
    assert overlap_at("", "", 10) == 1.0


def test_order_is_by_score_and_equal_ones_stay() -> None:
    assert order_of({"c": 1.0, "a": 2.0, "b": 1.0}) == ["a", "c", "b"]


A = {"1": {"a": 3.0, "b": 2.0}, "2": {"a": 1.0}, "3": {"a": 2.0, "b": 1.0}, "A": {"a": 1.0}}
B = {"1": {"b": 3.0, "a": 2.0}, "2": {"z": 1.0}, "3": {"a": 9.0, "b": 1.0}, "B": {"a": 1.0}, "C": {"a": 1.0}}


class TestCompareRuns:
    def test_what_changed_most_comes_first(self) -> None:
        found = compare_runs(A, B, 1)
        assert [change.query for change in found.changes] == ["2", "1", "3"]
        assert [(change.a, change.b) for change in found.changes] == [
            (("a",), ("z",)), (("a",), ("b",)), (("a",), ("a",))
        ]  # fmt: skip
        assert (found.only_a, found.only_b, found.overlap) == (1, 2, pytest.approx(1 / 3))
        assert found.tau == 0.0  # -1 and 1; the second query has none
        assert found.judged is None

    def test_who_wins(self) -> None:
        qrels = [Qrel("1", "b", 1), Qrel("2", "a", 1), Qrel("3", "a", 1), Qrel("9", "a", 1), Qrel("A", "a", 1)]
        judged = compare_runs(A, B, 10, qrels, "RR@10").judged
        assert judged is not None
        assert (judged.queries, judged.b_wins, judged.ties, judged.a_wins) == (3, 1, 1, 1)
        assert (judged.a, judged.b) == (pytest.approx(2.5 / 3), pytest.approx(2 / 3))
        assert judged.difference.mean == pytest.approx(-0.5 / 3)

    def test_nothing_in_common(self) -> None:
        with pytest.raises(UsageError, match="share no query"):
            compare_runs(A, {"x": {"a": 1.0}}, 10)
        with pytest.raises(UsageError, match="no query that both have is judged"):
            compare_runs(A, B, 10, [Qrel("A", "a", 1)])
