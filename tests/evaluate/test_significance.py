"""Bootstrap and paired test: against values by hand and SciPy's, and what must hold for any differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate import Evaluation
from core.evaluate.significance import EXACT, against_best_single, paired

VALUES = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


class TestPaired:
    def test_exact_by_hand(self) -> None:
        """Of the eight ways to sign 1, 2, 3 two reach a sum of 6; of 0.5, 0.5, -0.5, -0.5 every one reaches 0."""
        assert paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).p == 2 / 8
        assert paired([3.0, 2.0, -1.0], [0.0, 0.0, 0.0]).p == 4 / 8  # sums 4, 6 and their opposites
        assert paired([0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]).p == 1.0

    def test_drawn_is_near_what_is_exact(self) -> None:
        """SciPy's paired permutation test over all 2^16 signs."""
        stats = pytest.importorskip("scipy.stats")
        random = np.random.default_rng(7)
        a, b = random.random(16), random.random(16) * 0.8
        judge = stats.permutation_test(
            (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=1 << 16,
            vectorized=True,
        )  # fmt: skip
        assert len(a) > EXACT
        assert paired(list(a), list(b)).p == pytest.approx(judge.pvalue, abs=0.015)

    def test_interval_is_near_that_of_scipy(self) -> None:
        stats = pytest.importorskip("scipy.stats")
        differences = np.random.default_rng(3).normal(0.1, 0.3, 200)
        judge = stats.bootstrap(
            (differences,), np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(1)
        ).confidence_interval
        found = paired(list(differences), [0.0] * 200)
        assert (found.low, found.high) == pytest.approx((judge.low, judge.high), abs=0.006)

    @given(VALUES)
    def test_what_holds_for_any(self, values: list[float]) -> None:
        nothing = [0.0] * len(values)
        found = paired(values, nothing)
        assert found == paired(values, nothing)  # the same seed
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
        assert 0 < found.p <= 1
        assert paired(nothing, values).p == pytest.approx(found.p)
        same = paired(values, values)
        assert (same.mean, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)

    def test_a_clear_difference_of_many_queries_is_clear(self) -> None:
        found = paired([0.5 + 0.01 * (n % 7) for n in range(5000)], [0.4] * 5000)
        assert found.p < 0.001
        assert 0.12 < found.low < found.mean < found.high < 0.14


def evaluation(**metrics: dict[str, float]) -> Evaluation:
    mean = {name: sum(values.values()) / len(values) for name, values in metrics.items()}
    return Evaluation(2, mean, metrics, 0)


def test_every_metric_has_its_own_best_single_stage() -> None:
    stages = {
        "lexical": evaluation(one={"a": 0.9, "b": 0.9}, other={"a": 0.0, "b": 0.0}),
        "dense": evaluation(one={"a": 0.5, "b": 0.5}, other={"a": 1.0, "b": 0.5}),
        "fused": evaluation(one={"b": 1.0, "a": 1.0}, other={"b": 0.5, "a": 0.0}),
    }
    found = {(d.metric, d.stage): (d.reference, d.difference.mean) for d in against_best_single(stages)}
    assert found == {
        ("one", "dense"): ("lexical", pytest.approx(-0.4)),
        ("one", "fused"): ("lexical", pytest.approx(0.1)),
        ("other", "lexical"): ("dense", -0.75),
        ("other", "fused"): ("dense", -0.5),
    }
