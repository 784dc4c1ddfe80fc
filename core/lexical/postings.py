"""Postings: which rows hold a term and how often. Counts and lengths, never scores: those depend on every segment.

The columns of one segment's table, with T terms, N rows, P pairs of a term and a row that holds it:

    terms    strings (T)        sorted by their UTF-8 bytes
    starts   int64   (T + 1)    the postings of term t are starts[t]:starts[t + 1]
    rows     int32   (P)        rising within a term
    counts   uint16  (P)        how often the term occurs in the row; 65,535 stands for that and more
    lengths  int32   (N)        tokens in the row
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError
from core.index.columns import Column, Table
from core.lexical import Analyzer

_MOST = np.iinfo(np.uint16).max


class _Numbers(dict[str, int]):
    """Numbers terms in the order in which they are first asked for."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


def count(analyzer: Analyzer, texts: Iterable[str]) -> dict[str, Column]:
    """The columns of one segment; row n is the n-th text. Equal texts give equal columns, to the bit.

    Holds 4 bytes a token while it reads and up to 40 while it sorts.
    """
    numbers, stream, lengths = _Numbers(), array("i"), array("i")
    for text in texts:
        tokens = analyzer.tokens(text)
        stream.extend(map(numbers.__getitem__, tokens))
        lengths.append(len(tokens))
    terms = sorted(numbers)  # by code point, which is the order of UTF-8 bytes as well
    rank = np.empty(len(terms), dtype=np.int64)
    rank[[numbers[term] for term in terms]] = np.arange(len(terms))
    sizes = np.array(lengths, dtype=np.int32)
    of_term, rows, counts = _grouped(rank[np.asarray(stream)], sizes)
    starts = np.zeros(len(terms) + 1, dtype=np.int64)
    np.cumsum(np.bincount(of_term, minlength=len(terms)), out=starts[1:])
    return {"terms": terms, "starts": starts, "rows": rows, "counts": counts, "lengths": sizes}


def _grouped(keys: NDArray[np.int64], sizes: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Terms, rows and counts, sorted by term and row, of a stream of terms whose rows have these sizes."""
    keys *= max(len(sizes), 1)
    keys += np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    keys.sort()
    new = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    firsts = np.flatnonzero(new)
    counts = np.diff(firsts, append=len(keys)).clip(max=_MOST).astype(np.uint16)
    keys = keys[firsts]
    return keys // max(len(sizes), 1), (keys % max(len(sizes), 1)).astype(np.int32), counts


class Postings:
    """One segment's postings, read through its table's map.

    Opening checks what costs little; a term's own postings are checked when they are looked up.
    Raises CorruptError for columns that contradict each other.
    """

    def __init__(self, table: Table):
        self._path = table.path
        self._terms = table.strings("terms")
        self._starts = table.array("starts", "<i8")
        self._rows = table.array("rows", "<i4")
        self._counts = table.array("counts", "<u2")
        self.lengths: NDArray[np.int32] = table.array("lengths", "<i4")
        self._check()

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.lengths)

    def find(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """The rows that hold `term`, rising, and how often each does; both empty for an unknown term."""
        at = self._terms.find(term)
        span = slice(0, 0) if at < 0 else slice(int(self._starts[at]), int(self._starts[at + 1]))
        rows, counts = self._rows[span], self._counts[span]
        if len(rows):
            rising = bool((rows[1:] > rows[:-1]).all())
            if not rising or rows[0] < 0 or rows[-1] >= len(self) or not counts.all():
                raise self._corrupt(f"the postings of {term!r} name rows that cannot be")
        return rows, counts

    def _check(self) -> None:
        starts = self._starts
        if len(starts) != len(self._terms) + 1 or starts[0] != 0 or (starts[1:] < starts[:-1]).any():
            raise self._corrupt("the postings' starts do not rise or do not fit the terms")
        if not starts[-1] == len(self._rows) == len(self._counts):
            raise self._corrupt("the postings' starts do not fit the rows")
        if len(self) and self.lengths.min() < 0:
            raise self._corrupt("a row has a negative length")

    def _corrupt(self, what: str) -> CorruptError:
        return CorruptError(what, path=self._path, fix="run `samespace check` on the index to see what is affected")
