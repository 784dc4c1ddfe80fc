"""One pass over a source: a document for everything read, an outcome for everything that was not."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import cast

from core.errors import from_os_error
from core.sources import READERS, SUFFIXES, Empty, Reader, Unreadable
from core.sources.memory import Held, Memory, records_digest
from core.sources.records import VERSION as RECORDS_VERSION
from core.sources.records import lines, parse
from core.sources.walk import Found, nfc, shown, walk
from core.types import Document, Outcome, Source, Status

_CORPUS = "corpus.jsonl"
REPEATED = "the same id as one before it"


def scan(
    source: Source,
    known: Callable[[str], str | None],
    limit: int = 100 * 2**20,
    *,
    records: Callable[[str], Mapping[str, str]] = lambda path: {},
    memory: Memory | None = None,
) -> Iterator[Document | Outcome]:
    """What the files and records of `source` hold, in the order of their paths.

    `known` gives the sha256 under which a document id is already indexed, or None; such a file is not parsed again.
    `records` gives those of all records of a .jsonl that are indexed, by its path in the source. With a `memory` a file
    that nobody has touched is not even read. `limit` is the largest file (or line of a .jsonl) read, in bytes. A file or
    record that cannot be read is an outcome, never an exception. Raises UsageError when the root does not exist and
    StorageError when it cannot be listed, both at once and not on the first item; MissingError when a reader's package is
    not installed.
    """
    return _Scan(source, known, limit, records, memory).over(walk(source))


@dataclass(slots=True)
class _Scan:
    source: Source
    known: Callable[[str], str | None]
    limit: int
    records: Callable[[str], Mapping[str, str]]
    memory: Memory | None
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

    def _recall(self, file: Found, how: str) -> Held | None:
        return self.memory.recall(file.path, how) if self.memory else None

    def _learn(self, file: Found, how: str, before: os.stat_result, begun: int, held: Held) -> None:
        if self.memory:
            self.memory.learn(file.path, how, before, begun, held)

    def _file(self, file: Found) -> Document | Outcome:
        suffix = file.path.suffix.lower()
        if suffix not in SUFFIXES:
            return file.outcome("skipped", _not_read(suffix))
        if file.id in self.taken:
            return Outcome(file.spelled, "failed", f"the same id as {self.taken[file.id]}")
        self.taken[file.id] = file.spelled
        reader = _reader(SUFFIXES[suffix])
        how = f"{SUFFIXES[suffix]}/{reader.version}/{self.limit}/{file.id}"
        if held := self._recall(file, how):
            if held.left_out and self.known(file.id) is None:
                return held.left_out[0]
            if not held.left_out and self.known(file.id) == held.sha256:
                return file.outcome("unchanged")
        begun = time.time_ns()
        with file.path.open("rb") as stream:
            before = os.fstat(stream.fileno())
            if before.st_size > self.limit:
                return file.outcome("skipped", f"larger than the limit: {before.st_size:,} of {self.limit:,} bytes")
            data = stream.read()
        read, sha256 = self._read(file, SUFFIXES[suffix], reader, data)
        left_out = (read,) if isinstance(read, Outcome) and read.status == "skipped" else ()
        if not isinstance(read, Outcome) or read.status != "failed":  # that may lie in something else than the file
            self._learn(file, how, before, begun, Held(sha256, left_out))
        return read

    def _read(self, file: Found, format: str, reader: Reader, data: bytes) -> tuple[Document | Outcome, str]:
        """What came of the file's bytes, and their digest."""
        digest = hashlib.sha256(f"{format}/{reader.version}\0".encode())
        digest.update(data)
        sha256 = digest.hexdigest()
        if self.known(file.id) == sha256:
            return file.outcome("unchanged"), sha256
        try:
            text = reader.read(data, shown(file.path.name))
        except Unreadable as reason:
            return file.outcome(*_status(reason)), sha256
        meta = {"format": format, **text.meta}
        return Document(file.id, text.title, text.text, self.source.name, sha256, meta), sha256

    def _records(self, file: Found) -> Iterator[Document | Outcome]:
        path = file.id if self._is_root(file) else file.id.removeprefix(f"{nfc(self.source.name)}/")
        how = f"jsonl/{RECORDS_VERSION}/{self.limit}/{file.id}"
        if held := self._recall(file, how):
            here = self.records(path)
            if self.taken.keys().isdisjoint(here) and records_digest(here) == held.sha256:
                self.taken.update(dict.fromkeys(here, file.id))
                yield from (Outcome(id, "unchanged") for id in here)
                yield from held.left_out
                return
        found: dict[str, str] = {}
        by_itself, begun = True, time.time_ns()
        left_out: list[Outcome] = []
        with file.path.open("rb") as stream:
            before = os.fstat(stream.fileno())
            for number, line in enumerate(lines(stream, self.limit), 1):
                try:
                    if line is None:
                        raise Unreadable(f"a line longer than the limit of {self.limit:,} bytes")
                    if line.strip():
                        document = parse(line, number, path, self.source.name)
                        by_itself &= self.taken.get(document.id, file.id) == file.id  # else another file decides
                        yield self._record(document, file)
                        found[document.id] = document.sha256
                except Unreadable as reason:
                    left_out.append(Outcome(f"{file.id}:{number}", *_status(reason)))
                    yield left_out[-1]
        if by_itself:
            self._learn(file, how, before, begun, Held(records_digest(found), tuple(left_out)))

    def _record(self, document: Document, file: Found) -> Document | Outcome:
        if document.id in self.taken:
            raise Unreadable(f"{REPEATED} in {self.taken[document.id]}: {document.id}")
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
