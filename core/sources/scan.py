"""One pass over a source: a document for everything read, an outcome for everything that was not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import cast

from core.errors import from_os_error
from core.sources import READERS, SUFFIXES, Empty, Reader, Unreadable
from core.sources.records import lines, parse
from core.sources.walk import Found, nfc, shown, walk
from core.types import Document, Outcome, Source, Status

_CORPUS = "corpus.jsonl"


def scan(source: Source, known: Callable[[str], str | None], limit: int = 100 * 2**20) -> Iterator[Document | Outcome]:
    """What the files and records of `source` hold, in the order of their paths.

    `known` gives the sha256 under which a document id is already indexed, or None; such a file is not parsed again.
    `limit` is the largest file (or line of a .jsonl) read, in bytes. A file or record that cannot be read is an
    outcome, never an exception. Raises UsageError when the root does not exist and StorageError when it cannot be
    listed, both at once and not on the first item; MissingError when a reader's package is not installed.
    """
    return _Scan(source, known, limit).over(walk(source))


@dataclass(slots=True)
class _Scan:
    source: Source
    known: Callable[[str], str | None]
    limit: int
    taken: dict[str, str] = field(default_factory=dict)  # document id -> the file it came from

    def over(self, found: list[Found]) -> Iterator[Document | Outcome]:
        for file in found:
            try:
                if file.status:
                    yield file.outcome(file.status, file.reason)
                elif file.path.name == _CORPUS or (self._is_root(file) and file.path.suffix.lower() == ".jsonl"):
                    yield from self._records(file)
                else:
                    yield self._file(file)
            except OSError as error:
                yield file.outcome("failed", from_os_error(error).message)

    def _is_root(self, file: Found) -> bool:
        return file.spelled == self.source.name

    def _file(self, file: Found) -> Document | Outcome:
        suffix = file.path.suffix.lower()
        if suffix not in SUFFIXES:
            return file.outcome("skipped", _not_read(suffix))
        if file.id in self.taken:
            return Outcome(file.spelled, "failed", f"the same id as {self.taken[file.id]}")
        self.taken[file.id] = file.spelled
        with file.path.open("rb") as stream:
            if (size := os.fstat(stream.fileno()).st_size) > self.limit:
                return file.outcome("skipped", f"larger than the limit: {size:,} of {self.limit:,} bytes")
            data = stream.read()
        return self._read(file, SUFFIXES[suffix], data)

    def _read(self, file: Found, format: str, data: bytes) -> Document | Outcome:
        reader = _reader(format)
        digest = hashlib.sha256(f"{format}/{reader.version}\0".encode())
        digest.update(data)
        if self.known(file.id) == digest.hexdigest():
            return file.outcome("unchanged")
        try:
            text = reader.read(data, shown(file.path.name))
        except Unreadable as reason:
            return file.outcome(*_status(reason))
        meta = {"format": format, **text.meta}
        return Document(file.id, text.title, text.text, self.source.name, digest.hexdigest(), meta)

    def _records(self, file: Found) -> Iterator[Document | Outcome]:
        path = file.id if self._is_root(file) else file.id.removeprefix(f"{nfc(self.source.name)}/")
        with file.path.open("rb") as stream:
            for number, line in enumerate(lines(stream, self.limit), 1):
                try:
                    if line is None:
                        raise Unreadable(f"a line longer than the limit of {self.limit:,} bytes")
                    if line.strip():
                        yield self._record(parse(line, number, path, self.source.name), file)
                except Unreadable as reason:
                    yield Outcome(f"{file.id}:{number}", *_status(reason))

    def _record(self, document: Document, file: Found) -> Document | Outcome:
        if document.id in self.taken:
            raise Unreadable(f"the same id as one before it in {self.taken[document.id]}: {document.id}")
        self.taken[document.id] = file.id
        return Outcome(document.id, "unchanged") if self.known(document.id) == document.sha256 else document


@cache
def _reader(format: str) -> Reader:
    return cast(Reader, READERS.load(format)())


def _status(reason: Unreadable) -> tuple[Status, str]:
    return ("skipped" if isinstance(reason, Empty) else "failed"), str(reason)


def _not_read(suffix: str) -> str:
    if suffix == ".jsonl":
        return f"a .jsonl is read when it is named {_CORPUS} or given itself"
    return f"a {shown(suffix)} is not read" if suffix else "a file without a suffix is not read"
