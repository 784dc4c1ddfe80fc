"""The policy of merging: few segments, and few rewrites, however the nights go."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from core.index.policy import MOST_DEAD, STEP, Size, merges

SIZES = st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1)), max_size=12)


def sizes_of(drawn: list[tuple[int, float]]) -> list[Size]:
    return [Size(f"{n:06d}", rows, int(rows * share)) for n, (rows, share) in enumerate(drawn)]


@given(SIZES, st.lists(st.integers(1, 500), max_size=4))
def test_groups(published: list[tuple[int, float]], staged: list[int]) -> None:
    old = sizes_of(published)
    new = [Size(f"block-{n:06d}", rows, staged=True) for n, rows in enumerate(staged)]
    groups = merges([*old, *new])
    grouped = [name for group in groups for name in group]
    assert len(grouped) == len(set(grouped))
    by_name = {size.name: size for size in [*old, *new]}
    if new:
        assert {size.name for size in new} <= set(groups[0])
    assert all(by_name[name].live for name in grouped)
    left = [size for size in old if size.live and size.name not in grouped]
    assert all(size.dead <= MOST_DEAD * size.rows for size in left)
    if new:
        total = sum(by_name[name].live for name in groups[0])
        gathered = [size for size in left if size.live < STEP * total]
        assert not gathered  # all that are not much larger came with it


@given(st.lists(st.integers(1, 100), min_size=1, max_size=300))
def test_nights_leave_few_segments_and_write_a_row_few_times(nights: list[int]) -> None:
    segments: list[int] = []
    written = 0
    for rows in nights:
        sizes = [Size(str(n), size) for n, size in enumerate(segments)]
        (group,) = merges([*sizes, Size("new", rows, staged=True)])
        new = rows + sum(segments[int(name)] for name in group if name != "new")
        written += new
        segments = [size for n, size in enumerate(segments) if str(n) not in group] + [new]
    total = sum(nights)
    assert sum(segments) == total
    assert len(segments) <= 2 + math.log(max(total, 2), STEP)
    assert written <= total * (2 + math.log(max(total, 2), STEP))


def test_nothing_new_and_nothing_dead_is_nothing_to_do() -> None:
    assert merges([Size("a", 10), Size("b", 1), Size("c", 1)]) == []


def test_what_is_dead_is_left_behind_and_what_is_much_dead_written_anew() -> None:
    assert merges([Size("gone", 5, 5), Size("much", 9, 4), Size("little", 9, 3)]) == [["much"]]
