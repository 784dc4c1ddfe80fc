"""Spearman and Pearson, against values by hand and SciPy's; pairs of a file; a model that knows what is alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import open_encoder
from core.errors import InconclusiveError, UsageError
from core.evaluate.similarity import Pair, average_ranks, correlate, pearson, read_pairs, spearman

NUMBERS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-1000, 1000)), min_size=2, max_size=30).filter(
    lambda pairs: all(len(set(column)) > 1 for column in zip(*pairs, strict=True))
)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


class TestCorrelation:
    def test_by_hand(self) -> None:
        assert average_ranks(array(10, 20, 20, 5)).tolist() == [2.0, 3.5, 3.5, 1.0]
        assert pearson(array(1, 2, 3), array(2, 4, 6)) == pytest.approx(1.0)
        assert pearson(array(1, 2, 3, 4), array(1, 3, 2, 4)) == pytest.approx(0.8)
        assert spearman(array(1, 10, 100), array(1, 2, 3)) == pytest.approx(1.0)
        assert spearman(array(1, 2, 3, 4, 5), array(5, 6, 7, 8, 7)) == pytest.approx(
            0.8207826816681233
        )  # SciPy's manual

    @given(NUMBERS)
    def test_is_scipys(self, pairs: list[tuple[int, int]]) -> None:
        stats = pytest.importorskip("scipy.stats")
        x, y = (array(*column) for column in zip(*pairs, strict=True))
        assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)

    def test_large_numbers_stay_finite(self) -> None:
        assert pearson(array(1e300, 2e300, 3e300), array(1, 2, 3)) == pytest.approx(1.0)


class TestPairs:
    def read(self, folder: Path, text: str) -> list[Pair]:
        (folder / "pairs.tsv").write_bytes(text.encode())
        return read_pairs(folder / "pairs.tsv")

    def test_formats(self, tmp_path: Path) -> None:
        wanted = [Pair("a b", "c", 1.5), Pair("猫", "狗", -2.0)]
        assert self.read(tmp_path, "a b\tc\t1.5\n猫\t狗\t-2\n") == wanted
        assert self.read(tmp_path, "\ufeffsentence1\tsentence2\tscore\r\na b\tc\t1.5\r\n\r\n猫\t狗\t-2") == wanted

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a\tb\t1\na\tb\n", "line 2 is no pair"),
            ("a\tb\tnan\n", "line 1 is no pair"),
            ("a\tb\t1e999\n", "line 1 is no pair"),
            ("a\tb\tmuch\n", "line 1 is no pair"),
            ("a\t \t1\n", "line 1 is no pair"),
            ("a,b,1\n", "line 1 is no pair"),
            ("", "holds 0 pairs"),
            ("s1\ts2\tscore\n", "holds 0 pairs"),
            ("a\tb\t1\n", "holds 1 pairs"),
            ("a\tb\t1\nc\td\t1\n", "the same score"),
        ],
    )
    def test_what_is_none(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(UsageError, match=message) as caught:
            self.read(tmp_path, text)
        assert caught.value.path == str(tmp_path / "pairs.tsv")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            read_pairs(tmp_path)


class TestModel:
    def test_what_is_alike_correlates(self) -> None:
        """The hashing model sees shared words: all, half and none of them."""
        pairs = [Pair("red apple", "red apple", 5), Pair("red apple", "red car", 3), Pair("red apple", "blue car", 0)]
        found = correlate(open_encoder("hashing"), pairs)
        assert found["Spearman"] == pytest.approx(1.0)
        assert 0.9 < found["Pearson"] <= 1.0

    def test_all_alike_says_nothing(self) -> None:
        with pytest.raises(InconclusiveError, match="the same similarity"):
            correlate(open_encoder("hashing"), [Pair("a cat", "a cat", 1), Pair("a dog", "a dog", 2)])
