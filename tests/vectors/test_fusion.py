"""What every fusion promises, and each one's own formula."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.fusion import FUSIONS, Fused, Lists

scores = st.dictionaries(
    st.sampled_from("abcdefgh"), st.floats(-10, 10, allow_subnormal=False).map(lambda x: round(x, 3))
)
shares = st.floats(0, 1)


def fuse(name: str, lists: Lists) -> Fused:
    fused: Fused = FUSIONS.load(name)(lists)
    return fused


def order(values: Mapping[object, float]) -> list[object]:
    return sorted(values, key=lambda key: (-values[key], str(key)))


class FusionContract:
    name: str

    @given(scores, scores, shares, shares, shares)
    def test_every_candidate_of_a_side_with_weight_is_scored(
        self, dense: dict[str, float], lexical: dict[str, float], alpha: float, d: float, w: float
    ) -> None:
        fused = fuse(self.name, Lists(dense, lexical, d, w, alpha))
        heard = (dense.keys() if fused.dense_weight else set()) | (lexical.keys() if fused.lexical_weight else set())
        assert fused.scores.keys() == heard
        assert all(0 <= value <= 1 + 1e-9 for value in fused.scores.values())

    @given(scores, scores, shares)
    def test_better_on_both_sides_is_better(
        self, dense: dict[str, float], lexical: dict[str, float], alpha: float
    ) -> None:
        fused = fuse(self.name, Lists(dense, lexical, alpha=alpha)).scores
        both = dense.keys() & lexical.keys()
        for a in both:
            for b in both:
                if dense[a] > dense[b] and lexical[a] > lexical[b]:
                    assert fused[a] >= fused[b]

    @given(scores, scores)
    def test_the_order_of_the_candidates_does_not_matter(
        self, dense: dict[str, float], lexical: dict[str, float]
    ) -> None:
        turned = Lists(dict(reversed(dense.items())), dict(reversed(lexical.items())))
        assert fuse(self.name, turned).scores == pytest.approx(fuse(self.name, Lists(dense, lexical)).scores)

    @given(scores, st.floats(0.01, 0.99))
    def test_an_empty_list_changes_nothing(self, one: dict[str, float], alpha: float) -> None:
        for lists in (Lists(one, {}, alpha=alpha), Lists({}, one, alpha=alpha)):
            fused = fuse(self.name, lists).scores
            for a in one:
                for b in one:
                    if one[a] > one[b] + 1e-9:
                        assert fused[a] > fused[b]

    def test_nothing_from_nothing(self) -> None:
        assert fuse(self.name, Lists({}, {})).scores == {}


class TestWeighted(FusionContract):
    name = "weighted"

    @given(scores, scores)
    def test_alpha_1_and_0_are_the_single_sides(self, dense: dict[str, float], lexical: dict[str, float]) -> None:
        for alpha, side in ((1.0, dense), (0.0, lexical)):
            fused = fuse("weighted", Lists(dense, lexical, alpha=alpha)).scores
            assert order({key: fused[key] for key in side}) == order(side)

    def test_the_formula(self) -> None:
        fused = fuse("weighted", Lists({"a": 2.0, "b": 1.0, "c": 0.0}, {"b": 30.0, "d": 10.0}, alpha=0.7))
        assert fused.scores == pytest.approx({"a": 0.7, "b": 0.7 * 0.5 + 0.3, "c": 0, "d": 0})
        assert (fused.dense_weight, fused.lexical_weight) == pytest.approx((0.7, 0.3))

    def test_a_list_in_which_all_are_equal_says_only_that_they_were_found(self) -> None:
        assert fuse("weighted", Lists({}, {"a": 5.0, "b": 5.0}, alpha=0.7)).scores == pytest.approx(
            {"a": 0.3, "b": 0.3}
        )


class TestRrf(FusionContract):
    name = "rrf"

    def test_the_formula(self) -> None:
        fused = fuse("rrf", Lists({"a": 2.0, "b": 1.0}, {"b": 30.0, "d": 10.0}))
        assert fused.scores == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "d": 1 / 62})

    def test_ties_have_different_ranks_by_name(self) -> None:
        assert fuse("rrf", Lists({"b": 1.0, "a": 1.0}, {})).scores == pytest.approx({"a": 1 / 61, "b": 1 / 62})


class TestAuto(FusionContract):
    name = "auto"

    @given(scores, scores, st.floats(0.01, 0.99), st.floats(0.01, 1))
    def test_a_side_without_evidence_changes_nothing(
        self, dense: dict[str, float], lexical: dict[str, float], alpha: float, evidence: float
    ) -> None:
        for side, lists in (
            (dense, Lists(dense, lexical, evidence, 0.0, alpha)),
            (lexical, Lists(dense, lexical, 0.0, evidence, alpha)),
        ):
            if not side:
                continue
            fused = fuse("auto", lists)
            assert order({key: fused.scores[key] for key in side}) == order(side)
            top = max(side.values())
            best = {key for key in side if side[key] == top}
            assert {key for key, value in fused.scores.items() if value == max(fused.scores.values())} == best or (
                len(set(side.values())) == 1
            )

    @given(scores, scores, shares, shares, shares)
    def test_the_weights_are_shares(
        self, dense: dict[str, float], lexical: dict[str, float], alpha: float, d: float, w: float
    ) -> None:
        fused = fuse("auto", Lists(dense, lexical, d, w, alpha))
        assert fused.dense_weight + fused.lexical_weight == pytest.approx(1)
        assert min(fused.dense_weight, fused.lexical_weight) >= 0

    @pytest.mark.parametrize("alpha", [0.0, 1.0])
    def test_an_extreme_alpha_and_an_empty_list_leave_the_other_side(self, alpha: float) -> None:
        """`--alpha 0` for a question whose words are nowhere: better the vectors' order than none."""
        side = {"a": 1.0, "b": 3.0, "c": 2.0}
        lists = Lists(side, {}, alpha=0.0) if alpha == 0 else Lists({}, side, alpha=1.0)
        assert order(fuse("auto", lists).scores) == ["b", "c", "a"]

    def test_with_full_evidence_it_is_weighted(self) -> None:
        lists = Lists({"a": 2.0, "b": 1.0, "c": 0.0}, {"b": 30.0, "d": 10.0}, alpha=0.6)
        assert fuse("auto", lists).scores == pytest.approx(fuse("weighted", lists).scores)


def test_every_fusion_has_its_contract() -> None:
    assert {contract.name for contract in FusionContract.__subclasses__()} == set(FUSIONS)
