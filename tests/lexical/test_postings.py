from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spaces import Spaces

from core.errors import CorruptError
from core.index.columns import Column, write_columns
from core.lexical.mixed import MixedAnalyzer
from core.lexical.postings import Postings, count

Write = Callable[[Mapping[str, Column]], Postings]

TEXTS = ["b a b", "", "c 猫 a", "𠮷 ﹏ b"]


def columns(**changed: Any) -> dict[str, Any]:
    return {**count(Spaces(), TEXTS), **changed}


def test_counts_of_a_small_segment() -> None:
    got = columns()
    assert got["terms"] == ["a", "b", "c", "猫", "﹏", "𠮷"]  # by UTF-8 bytes
    assert got["starts"].tolist() == [0, 2, 4, 5, 6, 7, 8]
    assert got["rows"].tolist() == [0, 2, 0, 3, 2, 2, 3, 3]
    assert got["counts"].tolist() == [1, 1, 2, 1, 1, 1, 1, 1]
    assert got["lengths"].tolist() == [3, 0, 3, 3]
    assert [got[name].dtype.str for name in ("starts", "rows", "counts", "lengths")] == ["<i8", "<i4", "<u2", "<i4"]


@given(st.lists(st.text(alphabet="abc 猫𠮷")))
def test_find_agrees_with_counting_by_hand(write: Write, texts: list[str]) -> None:
    postings = write(count(Spaces(), texts))
    by_hand = [Counter(text.split()) for text in texts]
    assert postings.lengths.tolist() == [row.total() for row in by_hand]
    for term in {"a", "nowhere", *(term for row in by_hand for term in row)}:
        rows, counts = postings.find(term)
        expected = [(at, row[term]) for at, row in enumerate(by_hand) if row[term]]
        assert list(zip(rows.tolist(), counts.tolist(), strict=True)) == expected


@given(st.lists(st.text()))
def test_same_texts_same_bytes(texts: list[str]) -> None:
    used = MixedAnalyzer()
    used.tokens("met before " + " ".join(reversed(texts)))
    first, second = count(used, texts), count(MixedAnalyzer(), iter(texts))
    assert b"".join(map(bytes, write_columns(first))) == b"".join(map(bytes, write_columns(second)))


def test_a_count_that_does_not_fit_is_capped() -> None:
    got = count(Spaces(), ["a " * 70_000])
    assert got["counts"].tolist() == [65_535]
    assert got["lengths"].tolist() == [70_000]


@pytest.mark.parametrize(
    "changed",
    [
        {"starts": np.array([0, 4, 2, 5, 6, 7, 8])},
        {"starts": np.array([1, 2, 4, 5, 6, 7, 8])},
        {"starts": np.array([0, 2, 4, 5, 6, 7, 9])},
        {"starts": np.array([0, 8])},
        {"starts": np.array([], dtype=np.int64)},
        {"rows": np.arange(7, dtype=np.int32)},
        {"counts": np.ones(9, dtype=np.uint16)},
        {"counts": np.ones(8, dtype=np.int32)},
        {"lengths": np.array([3, -1, 3, 3], dtype=np.int32)},
        {"terms": ["a"]},
    ],
)
def test_damage_is_refused_on_opening(write: Write, changed: dict[str, Any]) -> None:
    with pytest.raises(CorruptError) as caught:
        write(columns(**changed))
    assert caught.value.path
    assert caught.value.fix


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": np.array([0, 4, 0, 3, 2, 2, 3, 3], dtype=np.int32)},
        {"rows": np.array([-1, 2, 0, 3, 2, 2, 3, 3], dtype=np.int32)},
        {"rows": np.array([2, 2, 0, 3, 2, 2, 3, 3], dtype=np.int32)},
        {"rows": np.array([2, 0, 0, 3, 2, 2, 3, 3], dtype=np.int32)},
        {"counts": np.array([0, 1, 2, 1, 1, 1, 1, 1], dtype=np.uint16)},
    ],
)
def test_damaged_postings_of_a_term_are_refused_when_looked_up(write: Write, changed: dict[str, Any]) -> None:
    with pytest.raises(CorruptError, match="'a'"):
        write(columns(**changed)).find("a")
