"""Segments and staged blocks written as one: their live documents in the order of their ids, and what belongs to them.

The same documents give the same tables, to the bit, however they were spread before (but for vectors, which are taken as
they are). Nothing is held in memory but numbers: strings, vectors and postings go from map to file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.index.columns import Column, Lazy, Strings, Table
from core.index.staging import row_runs
from core.lexical.merge import Spool, merge_postings
from core.space.canaries import Canaries, compare
from core.types import Side

_BLOCK = 4096  # rows at once

DOCUMENT_STRINGS = ("id", "title", "text", "source", "sha256", "meta")


@dataclass(frozen=True, slots=True)
class Part:
    """The four tables of a segment or a staged block, and which of its documents live (None: all)."""

    documents: Table
    chunks: Table
    lexical: Table
    vectors: Table
    live: NDArray[np.bool_] | None = None


class Merge:
    """`documents` and `chunks` count the rows; the methods give the columns of each table."""

    def __init__(self, parts: Sequence[Part]):
        self._parts = parts
        ids = []
        for number, part in enumerate(parts):
            for row, id in enumerate(part.documents.strings("id")):
                if part.live is None or part.live[row]:
                    ids.append((id, number, row))
        ids.sort()
        self._of = np.array([number for _, number, _ in ids], dtype=np.int32)  # the part of each new document row
        self._row = np.array([row for _, _, row in ids], dtype=np.int64)  # and its row there

    @property
    def documents(self) -> int:
        return len(self._row)

    @property
    def chunks(self) -> int:
        return len(self._chunk_row)

    def document_columns(self) -> dict[str, Column]:
        columns: dict[str, Column] = {}
        for name in DOCUMENT_STRINGS:
            columns |= _strings(name, [part.documents.strings(name) for part in self._parts], self._of, self._row)
        return columns

    # chunks: those of a document lie together, in its part and here

    @cached_property
    def _spans(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """First chunk and number of chunks of every document, for each part."""
        spans = []
        for part in self._parts:
            owners = part.chunks.array("document", "<i4")
            counts = np.bincount(owners, minlength=len(part.documents.strings("id"))).astype(np.int64)
            spans.append((np.cumsum(counts) - counts, counts))
        return spans

    @cached_property
    def _chunk_counts(self) -> NDArray[np.int64]:
        """Chunks of each new document row."""
        return _gather([counts for _, counts in self._spans], self._of, self._row)

    @cached_property
    def _chunk_of(self) -> NDArray[np.int32]:
        return np.repeat(self._of, self._chunk_counts)

    @cached_property
    def _chunk_row(self) -> NDArray[np.int64]:
        """The old row of each new chunk row."""
        firsts, counts = _gather([first for first, _ in self._spans], self._of, self._row), self._chunk_counts
        begins = np.cumsum(counts) - counts
        return np.repeat(firsts - begins, counts) + np.arange(int(counts.sum()), dtype=np.int64)

    def chunk_columns(self) -> dict[str, Column]:
        of, row, tables = self._chunk_of, self._chunk_row, [part.chunks for part in self._parts]
        columns: dict[str, Column] = {
            name: _gather([table.array(name, dtype) for table in tables], of, row)
            for name, dtype in (("ordinal", "<i4"), ("start", "<i8"), ("end", "<i8"))
        }
        columns["document"] = np.repeat(np.arange(self.documents, dtype=np.int32), self._chunk_counts)
        return columns | _strings("context", [table.strings("context") for table in tables], of, row)

    def vector_columns(self, recorded: Canaries) -> dict[str, Column]:
        """With the canaries of that run, of those that wrote the parts, which lay furthest from the space's `recorded` ones."""
        tables = [part.vectors for part in self._parts]
        columns: dict[str, Column] = {
            name: _lazy([table.array(name, dtype, ndim) for table in tables], self._chunk_of, self._chunk_row)
            for name, dtype, ndim in (("vectors", "<f4", 2), ("norms", "<f4", 1), ("texts", "|u1", 2))
        }
        columns["runs"] = _gather(
            [row_runs(table, len(table.array("texts", "|u1", 2))) for table in tables], self._chunk_of, self._chunk_row
        )
        worst = further(recorded, tables)
        return {**columns, "canaries_query": worst.query, "canaries_passage": worst.passage}

    def posting_columns(self, spool: Spool) -> dict[str, Column]:
        rows = []
        for number, part in enumerate(self._parts):
            new = np.full(len(part.chunks.array("document", "<i4")), -1, dtype=np.int32)
            mine = np.flatnonzero(self._chunk_of == number)
            new[self._chunk_row[mine]] = mine
            rows.append(new)
        return merge_postings([part.lexical for part in self._parts], rows, self.chunks, spool)


def further(recorded: Canaries, tables: Sequence[Table], *runs: Canaries) -> Canaries:
    """Of the runs that wrote the tables of vectors, and other `runs`, the canaries that lie furthest from the `recorded`."""
    written = [
        Canaries(recorded.texts, table.array("canaries_query", "<f4", 2), table.array("canaries_passage", "<f4", 2))
        for table in tables
    ]
    return max([*written, *runs], key=lambda run: _distance(recorded, run))


def _distance(recorded: Canaries, run: Canaries) -> float:
    sides: tuple[Side, ...] = ("query", "passage")
    agreement = compare({s: recorded.vectors(s) for s in sides}, {s: run.vectors(s) for s in sides}, 0.0)
    return max(agreement.worst_distance, agreement.worst_length)


def _strings(name: str, columns: Sequence[Strings], of: NDArray[np.int32], row: NDArray[np.int64]) -> dict[str, Column]:
    ends = np.cumsum(_gather([column.sizes() for column in columns], of, row), dtype=np.int64)

    def parts() -> Iterator[NDArray[np.uint8]]:
        for number, rows in _runs(of, row):
            yield columns[number].joined(rows)

    size = int(ends[-1]) if len(ends) else 0
    return {f"{name}.utf8": Lazy("|u1", (size,), parts), f"{name}.ends": ends}


def _gather(arrays: Sequence[NDArray[Any]], of: NDArray[np.int32], row: NDArray[np.int64]) -> NDArray[Any]:
    """`arrays[of[n]][row[n]]` for every n."""
    out = np.empty((len(row), *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    for number, array in enumerate(arrays):
        mine = of == number
        out[mine] = array[row[mine]]
    return out


def _lazy(arrays: Sequence[NDArray[Any]], of: NDArray[np.int32], row: NDArray[np.int64]) -> Lazy:
    def parts() -> Iterable[NDArray[Any]]:
        for start in range(0, len(row), _BLOCK):
            yield _gather(arrays, of[start : start + _BLOCK], row[start : start + _BLOCK])

    return Lazy(arrays[0].dtype.str, (len(row), *arrays[0].shape[1:]), parts)


def _runs(of: NDArray[np.int32], row: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Rows of one part that follow one another in the new order, at most `_BLOCK` at once."""
    for start in range(0, len(row), _BLOCK):
        part, rows = of[start : start + _BLOCK], row[start : start + _BLOCK]
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
        for first, last in pairwise(edges):
            yield int(part[first]), rows[first:last]
