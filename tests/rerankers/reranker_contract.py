"""What every reranker keeps. A suite inherits `RerankerContract` and gives a `reranker` fixture."""

from __future__ import annotations

import math

import pytest

from core.rerankers import Reranker

QUERY = "otters on the river bank 河狸"
PASSAGES = ["Otters dig along the bank.", "银行的利率下调了。", "", "x", "Otters. " * 600, "e\u0301 🦦 \u202e"]


class RerankerContract:
    def test_a_finite_score_for_every_passage(self, reranker: Reranker) -> None:
        scores = reranker.score(QUERY, PASSAGES)
        assert len(scores) == len(PASSAGES)
        assert all(type(score) is float and math.isfinite(score) for score in scores)

    def test_the_order_is_that_of_the_passages(self, reranker: Reranker) -> None:
        scores = reranker.score(QUERY, PASSAGES)
        assert reranker.score(QUERY, PASSAGES[::-1]) == pytest.approx(scores[::-1], abs=1e-5)
        assert [reranker.score(QUERY, [passage])[0] for passage in PASSAGES] == pytest.approx(scores, abs=1e-5)
        assert len({round(score, 6) for score in scores}) > 2

    def test_the_same_twice(self, reranker: Reranker) -> None:
        assert reranker.score(QUERY, PASSAGES) == reranker.score(QUERY, PASSAGES)

    def test_the_query_matters(self, reranker: Reranker) -> None:
        assert reranker.score("银行利率", PASSAGES[:2]) != reranker.score(QUERY, PASSAGES[:2])

    def test_bytes_that_were_no_text(self, reranker: Reranker) -> None:
        assert math.isfinite(reranker.score("otters \udcff", ["text \udcfe"])[0])

    def test_it_has_a_name(self, reranker: Reranker) -> None:
        assert reranker.name
