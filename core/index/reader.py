"""Reading an index: no lock, nothing written, every file checked before it is used."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError, shell
from core.index import fs
from core.index.columns import Strings, Table
from core.index.generation import (
    Generation,
    MissingFileError,
    Segment,
    View,
    check_magic,
    current_number,
    generation_name,
    missing,
    nothing_published,
    published_number,
    read_current,
    read_generation_file,
)
from core.index.verified import Verified
from core.types import Chunk, Document

T = TypeVar("T")


class SegmentReader:
    """The files of one segment, for one view, opened as they are asked for."""

    def __init__(self, index: Index, segment: Segment, view: View):
        self._index, self.segment, self.view = index, segment, view
        self._names = segment.files(view)

    @cached_property
    def documents(self) -> Table:
        return self._index.table(self._names["documents"])

    @cached_property
    def chunks(self) -> Table:
        return self._index.table(self._names["chunks"])

    @cached_property
    def lexical(self) -> Table:
        return self._index.table(self._names["lexical"])

    @cached_property
    def vectors(self) -> Table:
        return self._index.table(self._names["vectors"])

    @property
    def has_graph(self) -> bool:
        return self.segment.find("hnsw", self.view, self._index.generation.files) is not None

    @property
    def graph(self) -> Path | None:
        """The file of the HNSW graph, its digest verified, or None when this segment has none."""
        name = self.segment.find("hnsw", self.view, self._index.generation.files)
        return self._index.verified(name) if name else None

    @property
    def codes(self) -> Table | None:
        """The table of the binary codes, or None when this segment has none."""
        name = self.segment.find("codes", self.view, self._index.generation.files)
        return self._index.table(name) if name else None

    @cached_property
    def live_documents(self) -> NDArray[np.bool_] | None:
        """A mask of the document rows, None when all are alive."""
        dead = self._index.generation.dead.get(self.segment.name, ())
        if not dead:
            return None
        mask = np.ones(self.segment.documents, dtype=bool)
        mask[list(dead)] = False
        return mask

    @cached_property
    def chunk_documents(self) -> NDArray[np.int32]:
        """The document row of every chunk row: rising, so that the chunks of a document lie together."""
        rows = self.chunks.array("document", "<i4")
        if len(rows) != self.segment.chunks or (
            len(rows) and not (0 <= rows[0] <= rows[-1] < self.segment.documents and (rows[1:] >= rows[:-1]).all())
        ):
            raise self._index.damaged(self._names["chunks"], "its rows do not fit the segment")
        return rows

    @cached_property
    def live(self) -> NDArray[np.bool_] | None:
        """A mask of the chunk rows, None when all are alive."""
        return None if self.live_documents is None else self.live_documents[self.chunk_documents]

    @cached_property
    def _document_columns(self) -> dict[str, Strings]:
        columns = {name: self.documents.strings(name) for name in ("id", "title", "text", "meta", "source", "sha256")}
        if any(len(column) != self.segment.documents for column in columns.values()):
            raise self._index.damaged(self._names["documents"], "its columns do not fit the segment")
        return columns

    def document_ids(self) -> Strings:
        return self._document_columns["id"]

    def document_digests(self) -> Strings:
        return self._document_columns["sha256"]

    def document_sources(self) -> Strings:
        return self._document_columns["source"]

    def document(self, row: int) -> Document:
        values = {name: column[row] for name, column in self._document_columns.items()}
        return Document(**{**values, "meta": self.meta(row)})

    def meta(self, row: int) -> dict[str, Any]:
        """What the reader of a document row's file knew of it."""
        try:
            meta = json.loads(self._document_columns["meta"][row])
            pages = meta.get("pages", [])
            if not isinstance(pages, list) or not all(type(page) is int for page in pages):
                raise ValueError("pages are not numbers")
            return dict(meta)
        except (ValueError, AttributeError, RecursionError) as error:
            raise self._index.damaged(self._names["documents"], f"row {row}: {error}") from error

    @cached_property
    def _chunk_columns(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], Strings]:
        chunks = self.chunks
        numbers = (chunks.array("ordinal", "<i4"), chunks.array("start", "<i8"), chunks.array("end", "<i8"))
        context = chunks.strings("context")
        if any(len(column) != self.segment.chunks for column in (*numbers, context)):
            raise self._index.damaged(self._names["chunks"], "its columns do not fit the segment")
        return (*numbers, context)

    @property
    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each chunk starts and ends in its document."""
        return self._chunk_columns[1:3]

    def name_of(self, row: int) -> tuple[str, int]:
        """Document id and ordinal of a chunk row: what tells chunks apart in every generation."""
        return self.document_ids()[int(self.chunk_documents[row])], int(self._chunk_columns[0][row])

    def searched_texts(self, rows: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Each of these chunk rows with what its words were counted of: context and text."""
        context = self._chunk_columns[3]
        for row, text in self.texts(rows):
            yield row, f"{context[row]}\n{text}"

    def texts(self, rows: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Each of these chunk rows with its text; rising rows read every document once."""
        _, start, end, _ = self._chunk_columns
        known, text = -1, ""
        for row in rows:
            if (document := int(self.chunk_documents[row])) != known:
                known, text = document, self._document_columns["text"][document]
            yield row, text[int(start[row]) : int(end[row])]

    def chunk(self, row: int, document: Document) -> Chunk:
        ordinal, start, end, context = self._chunk_columns
        a, b = int(start[row]), int(end[row])
        return Chunk(document.id, int(ordinal[row]), a, b, document.text[a:b], context[row])


class Index:
    """One published generation of an index directory, opened for reading."""

    def __init__(self, root: Path, generation: Generation):
        self.root, self.generation = root, generation
        self._verified = Verified(root)

    @property
    def view(self) -> View:
        return self.generation.primary

    @cached_property
    def segments(self) -> list[SegmentReader]:
        return [SegmentReader(self, segment, self.view) for segment in self.generation.segments]

    def damaged(self, name: str, what: str) -> CorruptError:
        return CorruptError(
            f"a file of generation {self.generation.generation} is damaged: {what}",
            path=self.root / name,
            fix="restore it from a copy, or build the index again in a new place; "
            f"`samespace check {shell(self.root)}` lists all that is damaged, `samespace repair` makes again what it can",
        )

    def sized(self, name: str) -> Path:
        """The path of a file of this generation, found to be there and as long as it should be. Raises CorruptError."""
        path, expected = self.root / name, self.generation.files.get(name)
        if expected is None:
            raise self.damaged(name, "the generation does not name it")
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise missing(path) from None
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise self.damaged(name, "it is a device or a pipe")
        size = found.st_size
        if size != expected.size:
            raise self.damaged(name, f"{size:,} bytes instead of {expected.size:,}")
        return path

    def verified(self, name: str) -> Path:
        """The path of a file of this generation, its size and sha256 checked. Raises CorruptError."""
        path = self.sized(name)
        expected = self.generation.files[name]
        if not self._verified.knows(name, expected):
            if fs.digest(path) != expected:
                raise self.damaged(name, "its content changed (sha256 differs)")
            self._verified.add(name, expected)
        return path

    def table(self, name: str) -> Table:
        return Table(self.verified(name))

    def live_documents(self) -> Iterator[tuple[SegmentReader, int]]:
        for segment in self.segments:
            mask = segment.live_documents
            for row in range(segment.segment.documents):
                if mask is None or mask[row]:
                    yield segment, row


def open_index(root: Path) -> Index:
    """The generation that CURRENT names.

    Raises NoIndexError (no index, nothing published), CorruptError, FormatError.
    """
    check_magic(root)
    number = read_current(root)
    if not number:
        raise nothing_published(root)
    path = root / generation_name(number)
    return Index(root, Generation.from_bytes(read_generation_file(path), path))


def open_published(root: Path) -> Index | None:
    """The generation that CURRENT names; None where there is no index, or nothing is published in it yet. Raises as above."""
    return open_index(root) if published_number(root) else None


def reading(root: Path, use: Callable[[Index], T]) -> T:
    """`use(index)`, once more when a file was missing and CURRENT has moved on meanwhile (promise 4)."""
    while True:
        number = current_number(root) if (root / "CURRENT").exists() else 0
        try:
            return use(open_index(root))
        except (MissingFileError, FileNotFoundError):  # the latter: it went between its check and its opening
            if current_number(root) <= number:
                raise
        except (IsADirectoryError, NotADirectoryError) as error:
            raise CorruptError(
                "there is a folder where a file of the published generation should be, or a file for a folder",
                path=error.filename,
                fix="restore it from a copy, or build the index again",
            ) from error
