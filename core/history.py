"""history and diff: what each generation holds, and what tells two of them apart, without decoding a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import SamespaceError, from_os_error
from core.index.generation import Generation, MissingFileError
from core.index.kept import kept_numbers, read_generation, read_kept
from core.index.reader import Index, SegmentReader

Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids of documents, sorted, and how many are the same in both."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept generation. `added`, `changed` and `removed` count documents, and `new` bytes, against its parent.

    None stands for what cannot be known: the parent is gone, or this generation is damaged; `error` then says how.
    """

    number: int
    current: bool
    created: str = ""
    tool: str = ""
    parent: int | None = None
    documents: int | None = None
    chunks: int | None = None
    segments: int | None = None
    added: int | None = None
    changed: int | None = None
    removed: int | None = None
    size: int | None = None
    new: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Diff:
    """From generation `old` to `new`: documents, and each setting that differs with both its values."""

    old: int
    new: int
    changes: Changes
    differences: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


def history(root: Path) -> list[Entry]:
    """Every kept generation, the oldest first. Damage is told in its entry; `check` looks closer than this does.

    Raises NoIndexError, FormatError, and CorruptError when it is not known which generation is the current one.
    """
    numbers = kept_numbers(root)
    found: dict[int, Index | SamespaceError] = {}
    for number in numbers:
        try:
            found[number] = Index(root, read_generation(root, number))
        except (SamespaceError, OSError) as error:
            found[number] = error if isinstance(error, SamespaceError) else from_os_error(error)
    for number in set(numbers) - set(kept_numbers(root)):
        del found[number]  # collected meanwhile
    return [_entry(number, found, number == numbers[-1]) for number in found]


def diff(root: Path, old: int, new: int) -> Diff:
    """What has changed from generation `old` to `new`, which may be the older one as well.

    Raises UsageError (a generation that is not there), NoIndexError, CorruptError, FormatError.
    """
    before, after = read_kept(root, old), read_kept(root, new)
    try:
        changes = compare(Index(root, before), Index(root, after))
    except MissingFileError:
        for number in (old, new):
            read_kept(root, number)  # it may have been collected meanwhile
        raise
    mine, theirs = _settings(before), _settings(after)
    names = dict.fromkeys([*mine, *theirs])
    differing = {name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)}
    return Diff(old, new, changes, differing)


def compare(old: Index, new: Index) -> Changes:
    """The live documents of `old` against those of `new`, by id and sha256. Raises CorruptError.

    A row that lives in both is the same document: only rows that live in one of them are read.
    """
    mine, theirs = _segments(old), _segments(new)
    before: dict[bytes, bytes] = {}
    after: dict[bytes, bytes] = {}
    unchanged = 0
    for key in mine.keys() | theirs.keys():
        a, b = mine.get(key), theirs.get(key)
        if a and b:
            rows_a, rows_b = _live(a), _live(b)
            unchanged += int((rows_a & rows_b).sum())
            before |= _read(a, rows_a & ~rows_b)
            after |= _read(b, rows_b & ~rows_a)
        elif a:
            before |= _read(a, _live(a))
        elif b:
            after |= _read(b, _live(b))
    both = before.keys() & after.keys()
    changed = {id for id in both if before[id] != after[id]}
    return Changes(
        added=_sorted(after.keys() - both),
        changed=_sorted(changed),
        removed=_sorted(before.keys() - both),
        unchanged=unchanged + len(both) - len(changed),
    )


def _entry(number: int, found: Mapping[int, Index | SamespaceError], is_current: bool) -> Entry:
    index = found[number]
    if isinstance(index, SamespaceError):
        return Entry(number, is_current, error=_in_words(index))
    generation = index.generation
    entry = Entry(
        number,
        is_current,
        created=generation.created,
        tool=generation.tool,
        parent=generation.parent,
        documents=generation.documents,
        segments=len(generation.segments),
        size=sum(digest.size for digest in generation.files.values()),
    )
    try:
        for name in generation.files:
            index.sized(name)
        entry = replace(entry, chunks=sum(live_chunks(segment) for segment in index.segments))
    except SamespaceError as error:
        return replace(entry, error=_in_words(error))
    return _against_parent(entry, index, found.get(generation.parent))


def _against_parent(entry: Entry, index: Index, parent: Index | SamespaceError | None) -> Entry:
    generation = index.generation
    if not generation.parent:
        return replace(entry, added=entry.documents, changed=0, removed=0, new=entry.size)
    if not isinstance(parent, Index):
        return entry
    theirs = parent.generation.files
    new = sum(digest.size for name, digest in generation.files.items() if theirs.get(name) != digest)
    try:
        changes = compare(parent, index)
    except SamespaceError as error:
        is_own = any(error.path == str(index.root / name) for name in generation.files)
        return replace(entry, new=new, error=_in_words(error) if is_own else "")
    added, changed, removed = map(len, (changes.added, changes.changed, changes.removed))
    return replace(entry, added=added, changed=changed, removed=removed, new=new)


def live_chunks(segment: SegmentReader) -> int:
    """How many chunks of a segment are of documents that live. Raises CorruptError."""
    return segment.segment.chunks if segment.live is None else int(segment.live.sum())


def _segments(index: Index) -> dict[tuple[str, str, int], SegmentReader]:
    """By the name, digest and number of their documents: where all are the same, so is every row. Raises CorruptError where
    a file has not the size that bounds this number."""
    files = index.generation.files
    for segment in index.segments:
        index.sized(f"documents/{segment.segment.name}")
    return {
        (s.segment.name, files[f"documents/{s.segment.name}"].sha256, s.segment.documents): s for s in index.segments
    }


def _live(segment: SegmentReader) -> Rows:
    mask = segment.live_documents
    return np.ones(segment.segment.documents, dtype=bool) if mask is None else mask


def _read(segment: SegmentReader, rows: Rows) -> dict[bytes, bytes]:
    """Id -> sha256 of these rows. Where there are none, no file is opened."""
    chosen = np.flatnonzero(rows).tolist()
    if not chosen:
        return {}
    ids, digests = segment.document_ids(), segment.document_digests()
    return {ids.raw(row): digests.raw(row) for row in chosen}


def _sorted(ids: set[bytes]) -> tuple[str, ...]:
    return tuple(id.decode("utf-8", "replace") for id in sorted(ids))


def _settings(generation: Generation) -> dict[str, Any]:
    """All that decides how the documents are read, cut, analysed, embedded and searched."""
    return {
        "sources": [asdict(source) for source in generation.sources],
        "model": dict(generation.model),
        **{f"settings.{name}": value for name, value in generation.settings.items()},
        **{f"views.{view.role}": asdict(view) for view in generation.views},
    }


def _in_words(error: SamespaceError) -> str:
    return f"{error.message} ({error.path})"
