"""The bound on the mixed share, by brute force; rows drawn from every stratum; rows compared one by one."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.pipeline.compare import percent
from core.space.bound import allocate, compare_rows, mixed_bound, upper_bound


def at_most(foreign: int, drawn: int, share: float) -> float:
    """The chance of at most so many foreign rows, summed exactly."""
    p = Fraction(share)
    return float(sum(comb(drawn, i) * p**i * (1 - p) ** (drawn - i) for i in range(foreign + 1)))


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_the_bound_is_where_so_few_come_by_a_chance_of_one_in_twenty(case: tuple[int, int]) -> None:
    drawn, foreign = case
    bound = upper_bound(drawn, foreign)
    assert foreign / drawn <= bound <= 1
    if foreign < drawn:
        assert at_most(foreign, drawn, bound) == pytest.approx(0.05, abs=1e-9)
    else:
        assert bound == 1.0


def test_three_hundred_equal_ones_bound_it_at_one_percent() -> None:
    assert upper_bound(300, 0) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert percent(upper_bound(300, 0), up=True) == "1.0 %"
    assert upper_bound(0, 0) == 1.0
    assert upper_bound(100_000, 20_000) == pytest.approx(0.2021, abs=2e-4)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=12), st.integers(1, 3000))
def test_every_stratum_gets_its_due(sizes: list[int], wanted: int) -> None:
    drawn, total = allocate(sizes, wanted), sum(sizes)
    assert all(1 <= number <= size for number, size in zip(drawn, sizes, strict=True))
    assert all(number == size or number * total >= wanted * size for number, size in zip(drawn, sizes, strict=True))
    assert min(wanted, total) <= sum(drawn) <= wanted + len(sizes) - 1 or sum(drawn) == total
    assert (
        mixed_bound(sizes, drawn, 0) <= upper_bound(min(wanted, total), 0) + 1e-12
    )  # never weaker than one plain draw


@given(st.lists(st.integers(5, 60), min_size=1, max_size=4), st.data())
def test_too_low_a_bound_is_as_rare_as_promised(sizes: list[int], data: st.DataObject) -> None:
    """The chance, summed over all that can be drawn, that the bound lies below the true share is at most 5 %."""
    foreign = [data.draw(st.integers(0, size)) for size in sizes]
    drawn = allocate(sizes, data.draw(st.integers(1, 30)))
    chances = np.array([1.0])  # of the number of foreign rows drawn
    for size, bad, number in zip(sizes, foreign, drawn, strict=True):
        ways = [comb(bad, i) * comb(size - bad, number - i) / comb(size, number) for i in range(number + 1)]
        chances = np.convolve(chances, ways)
    share = sum(foreign) / sum(sizes)
    missed = sum(chance for k, chance in enumerate(chances) if mixed_bound(sizes, drawn, k) < share - 1e-12)
    assert missed <= 0.05 + 1e-9


def test_a_stratum_that_was_not_looked_at_leaves_everything_open() -> None:
    assert mixed_bound([10, 10], [10, 0], 0) == 1.0
    assert mixed_bound([10, 10], [10, 10], 5) == 0.25
    assert mixed_bound([], [], 0) == 0.0


def test_rows_agree_in_direction_and_length() -> None:
    one = np.array([[1, 0], [1, 0], [1, 0], [np.nan, 0], [0, 0], [0, 0], [np.inf, 1]], dtype=np.float32)
    now = np.array([[1, 1e-4], [1.5, 0], [-1, 0], [1, 0], [1, 0], [0, 0], [1, 1]], dtype=np.float32)
    agrees, cosines = compare_rows(one, now, 2e-4)
    assert agrees.tolist() == [True, False, False, False, False, True, False]
    assert cosines == pytest.approx([1, 1, -1, 0, 0, 1, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("share", "up", "text"),
    [(0, False, "0 %"), (1, True, "100 %"), (0.009936, True, "1.0 %"), (0.0301, True, "3.1 %"), (0.0301, False, "3.0 %"),
     (0.00012341, True, "0.013 %"), (0.5, False, "50.0 %")],
)  # fmt: skip
def test_percent(share: float, up: bool, text: str) -> None:
    assert percent(share, up=up) == text
