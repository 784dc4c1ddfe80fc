"""The postings of several tables as one: the same columns that counting all the texts at once would give, to the bit.

Terms are merged range by range, so that only some of the postings are in memory at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.index.columns import Column, Lazy, Strings, Table

_AT_ONCE = 1 << 18  # postings, about
_READ = 1 << 16  # items of a spooled column at once

Spool = Callable[[str], BinaryIO]


class _Source:
    """One table's postings, and the new row of each of its rows (int32; -1: left out)."""

    def __init__(self, table: Table, new_rows: NDArray[np.int32]):
        self.terms: Strings = table.strings("terms")
        self.starts = table.array("starts", "<i8")
        self.lengths = table.array("lengths", "<i4")
        self._rows, self._counts = table.array("rows", "<i4"), table.array("counts", "<u2")
        self.new_rows = new_rows

    def find(self, bound: bytes) -> int:
        """The number of terms before `bound`."""
        low, high = 0, len(self.terms)
        while low < high:
            middle = (low + high) // 2
            if self.terms.raw(middle) < bound:
                low = middle + 1
            else:
                high = middle
        return low

    def after(self, first: int, count: int) -> bytes | None:
        """The term at which a range ends that begins at `first` and has about `count` postings; None for the last one."""
        last = max(int(np.searchsorted(self.starts, self.starts[first] + count)), first + 1)
        return self.terms.raw(last) if last < len(self.terms) else None

    def postings(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
        """Of the terms first:last: the term (from 0), the new row and the count of each posting that is kept."""
        span = slice(int(self.starts[first]), int(self.starts[last]))
        terms = np.repeat(np.arange(last - first), np.diff(self.starts[first : last + 1]))
        rows = self.new_rows[self._rows[span]]
        kept = rows >= 0
        return terms[kept], rows[kept], self._counts[span][kept]


def merge_postings(
    tables: Sequence[Table], new_rows: Sequence[NDArray[np.int32]], count: int, spool: Spool
) -> dict[str, Column]:
    """Columns as `core.lexical.postings.count` gives them for `count` rows; `new_rows[t][r]` is the row that row r of table t
    becomes, or -1. `spool` opens a file for what does not fit into memory.
    """
    sources = [_Source(table, rows) for table, rows in zip(tables, new_rows, strict=True)]
    lengths = np.zeros(count, dtype=np.int32)
    for source in sources:
        kept = source.new_rows >= 0
        lengths[source.new_rows[kept]] = source.lengths[kept]
    rows_file, counts_file = spool("rows"), spool("counts")
    terms, ends, starts, written = bytearray(), array("q"), array("q", [0]), 0
    for spans in _ranges(sources):
        names, of_term, rows, counts = _merged(sources, spans, count)
        rows_file.write(rows.tobytes())
        counts_file.write(counts.tobytes())
        for name in names:
            terms += name
            ends.append(len(terms))
        starts.extend((written + np.cumsum(np.bincount(of_term, minlength=len(names)))).tolist())
        written += len(rows)
    return {
        "terms.utf8": np.frombuffer(bytes(terms), dtype=np.uint8),
        "terms.ends": np.array(ends, dtype=np.int64),
        "starts": np.array(starts, dtype=np.int64),
        "rows": Lazy("<i4", (written,), lambda: _read(rows_file, "<i4")),
        "counts": Lazy("<u2", (written,), lambda: _read(counts_file, "<u2")),
        "lengths": lengths,
    }


def _ranges(sources: Sequence[_Source]) -> Iterator[list[tuple[int, int]]]:
    """Spans of terms, one a source, which together cover the same range of the alphabet: each has about its share of the
    postings at most (one term may have more), whatever the alphabets of the others are.
    """
    step = max(_AT_ONCE // max(len(sources), 1), 1)
    before = [0] * len(sources)
    while any(first < len(source.terms) for first, source in zip(before, sources, strict=True)):
        bounds = [bound for first, source in zip(before, sources, strict=True) if (bound := source.after(first, step))]
        after = [source.find(min(bounds)) if bounds else len(source.terms) for source in sources]
        yield list(zip(before, after, strict=True))
        before = after


def _merged(
    sources: Sequence[_Source], spans: Sequence[tuple[int, int]], count: int
) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
    """Of one range: the terms that are left, and term, row and count of every posting, sorted by term and row."""
    names = [
        [source.terms.raw(n) for n in range(first, last)] for source, (first, last) in zip(sources, spans, strict=True)
    ]
    union = sorted(set().union(*names))
    numbers = {name: number for number, name in enumerate(union)}
    keys, counts = [], []
    for source, (first, last), mine in zip(sources, spans, names, strict=True):
        of_term, rows, found = source.postings(first, last)
        number = np.array([numbers[name] for name in mine], dtype=np.int64)
        keys.append(number[of_term] * max(count, 1) + rows)
        counts.append(found)
    key, all_counts = np.concatenate(keys), np.concatenate(counts)
    order = np.argsort(key, kind="stable")
    of_term = key[order] // max(count, 1)
    left, of_term = np.unique(of_term, return_inverse=True)
    rows = (key[order] % max(count, 1)).astype(np.int32)
    return [union[number] for number in left], of_term, rows, all_counts[order]


def _read(file: BinaryIO, dtype: str) -> Iterator[NDArray[np.generic]]:
    file.seek(0)
    size = np.dtype(dtype).itemsize * _READ
    while data := file.read(size):
        yield np.frombuffer(data, dtype=dtype)
