"""Which document an id stands for, before and after a scan: published, staged, gone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from sys import intern
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.index.columns import Table
from core.index.reader import Index
from core.sources.scan import REPEATED
from core.sources.walk import nfc
from core.types import Document, Outcome, Source


@dataclass(frozen=True, slots=True)
class Entry:
    """A live document: in which segment or staged block it is stored, and the file a record came from. `place` is "" for
    one that was taken just now and is not written yet.
    """

    place: str
    row: int
    sha256: str
    source: str
    path: str


class Ledger:
    """Begins with what is published and staged; `take` and `settle` bring it up to date, source by source."""

    def __init__(self, base: Index | None, staged: Iterable[tuple[str, Table]]):
        """`staged` are the names and documents of the blocks; a later one counts."""
        self._published: dict[str, Entry] = {}
        for segment in base.segments if base else ():
            segment.document_ids()  # finds the columns of one length, or says that they are damaged
            self._published.update(_entries(segment.segment.name, segment.documents, segment.live_documents))
        self._staged: dict[str, Entry] = {}
        for name, table in staged:
            self._staged.update(_entries(name, table, None))
        self._files: dict[tuple[str, str], dict[str, str]] | None = None
        self._gone: set[str] = set()

    def sha256(self, document_id: str, source: Source) -> str | None:
        """Under which digest a document of `source` is known already, for `scan`."""
        known = self._staged.get(document_id) or self._published.get(document_id)
        return known.sha256 if known and known.source == source.name else None

    def records(self, path: str, source: Source) -> dict[str, str]:
        """Id and sha256 of the records that were known of the file `path` of `source` before, for `scan`."""
        if self._files is None:
            self._files = {}
            for id, entry in {**self._published, **self._staged}.items():
                self._files.setdefault((entry.source, entry.path), {})[id] = entry.sha256
        return self._files.get((source.name, path), {})

    def take(self, item: Document | Outcome) -> tuple[Outcome, Document | None]:
        """What became of one thing that `scan` met, and the document when it is to be staged."""
        if isinstance(item, Outcome):
            if item.status == "unchanged" and item.path in self._staged:
                return Outcome(item.path, self._status(item.path)), None  # staged by an earlier run, not published yet
            return item, None
        owner = self._source_of(item.id) or item.source
        if owner != item.source:
            return Outcome(item.id, "failed", f"the source {owner!r} has a document of the same id"), None
        entry = None if item.id in self._gone else self._published.get(item.id)
        if entry and entry.sha256 == item.sha256:
            self._staged.pop(item.id, None)  # changed, and changed back before it was published
            return Outcome(item.id, "unchanged"), None
        self._staged[item.id] = Entry("", 0, item.sha256, item.source, str(item.meta.get("path", "")))
        return Outcome(item.id, self._status(item.id)), item

    def _status(self, document_id: str) -> Any:
        return "changed" if document_id in self._published else "new"

    def _source_of(self, document_id: str) -> str | None:
        if document_id in self._staged:
            return self._staged[document_id].source
        entry = None if document_id in self._gone else self._published.get(document_id)
        return entry.source if entry else None

    def settle(self, source: Source, outcomes: Sequence[Outcome], yes: bool) -> list[Outcome]:
        """All outcomes of a scanned source, those of its documents that are gone among them.

        Gone is what was not met, or was met and can hold nothing now. What failed to be read this time stays as it was.
        Raises UsageError when all that is published of the source would go, without `yes`.
        """
        met = _met(outcomes)
        failed = _Failed(source, outcomes)
        mine = {id: entry.path for id, entry in self._published.items() if entry.source == source.name}
        staged = {id: entry.path for id, entry in self._staged.items() if entry.source == source.name}
        gone = {
            id
            for id, path in {**mine, **staged}.items()
            if (met[id].status == "skipped" if id in met else not failed.held(id, path))
        }
        readable = any(outcome.status in ("new", "changed", "unchanged") for outcome in outcomes)
        if mine and gone >= mine.keys() and not readable and not yes:
            raise UsageError(
                f"the source {source.name!r} has no readable documents any more; the index keeps the {len(mine)} it has",
                path=source.root,
                fix="if it is a mount, mount it; if they are really gone, say so with --yes",
            )
        for id in gone:
            self._staged.pop(id, None)
        removed = [Outcome(id, "removed", met[id].reason if id in met else "") for id in gone & mine.keys()]
        self._gone |= gone & mine.keys()
        return removed + [outcome for outcome in outcomes if outcome.path not in gone & mine.keys()]

    def kept(self) -> dict[str, list[int]]:
        """The rows of the blocks staged earlier that are still to be published, rising, by the block's name."""
        rows: dict[str, list[int]] = {}
        for entry in self._staged.values():
            rows.setdefault(entry.place, []).append(entry.row)
        return {place: sorted(found) for place, found in rows.items()}

    def dead(self) -> dict[str, tuple[int, ...]]:
        """The rows of the base generation that are replaced or removed: segment name -> rising rows."""
        rows: dict[str, list[int]] = {}
        for id, entry in self._published.items():
            if id in self._staged or id in self._gone:
                rows.setdefault(entry.place, []).append(entry.row)
        return {name: tuple(sorted(found)) for name, found in sorted(rows.items())}


def _entries(place: str, table: Table, live: NDArray[np.bool_] | None) -> Iterator[tuple[str, Entry]]:
    """Id and entry of the live documents of a table. Of an index that may come from anywhere, so nothing is taken on trust."""
    columns = [table.strings(name) for name in ("id", "sha256", "source", "meta")]
    for row, (id, sha256, source, meta) in enumerate(zip(*columns, strict=True)):
        if live is None or live[row]:
            yield id, Entry(place, row, sha256, intern(source), intern(_path(meta)) if '"path"' in meta else "")


def _path(meta: str) -> str:
    """The file that a record came from, "" where there is none."""
    try:
        return str(json.loads(meta).get("path", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""


def _met(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    """The outcomes by path. A record may be called as a file is that is not read: then it is the record that counts."""
    met: dict[str, Outcome] = {}
    for outcome in outcomes:
        if outcome.path not in met or outcome.status in ("new", "changed", "unchanged"):
            met[outcome.path] = outcome
    return met


class _Failed:
    """What of a source could not be read this time: files, folders, and files of which a line could not."""

    def __init__(self, source: Source, outcomes: Iterable[Outcome]):
        self._source, self._is_file = nfc(source.name), Path(source.root).is_file()
        self._paths: set[str] = set()
        for outcome in outcomes:
            if outcome.status == "failed" and not outcome.reason.startswith(REPEATED):  # that one was read
                file, _, line = outcome.path.rpartition(":")
                self._paths |= {outcome.path, file} if line.isdecimal() else {outcome.path}

    def held(self, id: str, path: str) -> bool:
        """Whether the document `id`, a record of the file `path` or ("") a file itself, may lie in one of them."""
        inside = path if self._is_file else f"{self._source}/{path}"
        file = PurePosixPath(inside if path else id)
        return any(str(place) in self._paths for place in (file, *file.parents))
