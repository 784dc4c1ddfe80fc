from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from core.lexical.bm25 import Bm25
from core.lexical.postings import Postings

Segment = Callable[[Sequence[str]], Postings]
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "猫", "nowhere"]), max_size=12)
TEXTS = st.lists(WORDS.map(" ".join), max_size=12)


class Judge(BM25Okapi):  # type: ignore[misc]
    """rank_bm25 with Lucene's idf and without the constant factor k1 + 1."""

    def _calc_idf(self, nd: dict[str, int]) -> None:
        for word, frequency in nd.items():
            self.idf[word] = math.log(1 + (self.corpus_size - frequency + 0.5) / (frequency + 0.5))

    def scores(self, query: list[str]) -> list[float]:
        return [float(score) / (self.k1 + 1) for score in self.get_scores(query)]


@given(TEXTS, WORDS, st.sampled_from([(0.9, 0.4), (1.2, 0.75), (1.5, 0.0)]))
def test_agrees_with_rank_bm25(segment: Segment, texts: list[str], query: list[str], k: tuple[float, float]) -> None:
    assume(any(text for text in texts))  # the judge divides by the mean length
    judge = Judge([text.split() for text in texts], k1=k[0], b=k[1])
    expected = {row: score for row, score in enumerate(judge.scores(query)) if score}
    got = Bm25([segment(texts)], [None], *k).search(query, len(texts))
    assert {match.row: match.score for match in got} == pytest.approx(expected, abs=1e-5)
    assert got == sorted(got, key=lambda match: (-match.score, match.row))


@given(TEXTS, WORDS, st.data())
def test_neither_segments_nor_dead_rows_change_a_score(
    segment: Segment, texts: list[str], query: list[str], data: st.DataObject
) -> None:
    alive = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    spans = list(zip([0, *cuts], [*cuts, len(texts)], strict=True))
    spread = Bm25(
        [segment(texts[start:end]) for start, end in spans],
        [None if all(alive[start:end]) else np.array(alive[start:end]) for start, end in spans],
    )
    kept = [row for row, is_alive in enumerate(alive) if is_alive]
    fresh = Bm25([segment([texts[row] for row in kept])], [None])

    got = [(spans[match.segment][0] + match.row, match.score) for match in spread.search(query, 5)]
    expected = [(kept[match.row], match.score) for match in fresh.search(query, 5)]
    assert [row for row, _ in got] == [row for row, _ in expected]
    assert [score for _, score in got] == pytest.approx([score for _, score in expected], rel=1e-6)
    assert spread.evidence(query) == pytest.approx(fresh.evidence(query), rel=1e-6)


def test_ties_go_by_segment_and_row_and_only_matches_are_returned(segment: Segment) -> None:
    bm25 = Bm25([segment(["x", "a", "a"]), segment(["a", "a a"])], [None, None])
    places = [(match.segment, match.row) for match in bm25.search(["a"], 10)]
    assert places == [(1, 1), (0, 1), (0, 2), (1, 0)]
    assert [(match.segment, match.row) for match in bm25.search(["a"], 2)] == places[:2]
    assert bm25.search(["a"], 0) == []


def test_a_repeated_token_counts_as_often_as_it_occurs(segment: Segment) -> None:
    bm25 = Bm25([segment(["a b", "c"])], [None])
    once, twice = bm25.search(["a"], 1), bm25.search(["a", "a"], 1)
    assert twice[0].score == pytest.approx(2 * once[0].score)


def test_evidence_is_the_share_of_idf_that_can_match(segment: Segment) -> None:
    bm25 = Bm25([segment(["a b", "a"])], [None])
    assert bm25.evidence([]) == 0
    assert bm25.evidence(["a", "b"]) == 1
    assert bm25.evidence(["nowhere"]) == 0
    known, unknown = math.log(1 + 0.5 / 2.5), math.log(1 + 2.5 / 0.5)
    assert bm25.evidence(["a", "nowhere"]) == pytest.approx(known / (known + unknown))


def test_evidence_ignores_dead_rows(segment: Segment) -> None:
    assert Bm25([segment(["a", "b"])], [np.array([False, True])]).evidence(["a"]) == 0


def test_nothing_to_search(segment: Segment) -> None:
    for bm25 in (Bm25([], []), Bm25([segment([])], [None]), Bm25([segment(["a", ""])], [np.zeros(2, dtype=bool)])):
        assert bm25.search(["a"], 10) == []
        assert bm25.evidence(["a"]) == 0


def test_a_long_query_is_collapsed(segment: Segment) -> None:
    bm25 = Bm25([segment(["a b", "b"])], [None])
    assert bm25.search(["a", "b"] * 50_000, 1)[0].row == 0
