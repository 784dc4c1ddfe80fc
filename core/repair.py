"""repair: what is derived is made again from what is not. Nothing that is whole is touched.

Postings come from documents and chunks, codes and graphs from vectors, each by steps that give the same bytes every time.
Bytes with the digest that the generation names are put back under their name. Other bytes (made by another version, on
another processor, or where the index was not what it said) get a new name in a new generation.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.check.files import DERIVED, Kind, advice, kind_of, read_whole, whole_older
from core.check.structure import lengths_fit
from core.errors import CorruptError, MissingError, SamespaceError, shell
from core.index import fs
from core.index.columns import concatenate, write_columns
from core.index.fs import Digest
from core.index.generation import (
    Generation,
    Segment,
    View,
    check_magic,
    current_number,
    newest_line,
    read_current,
    read_generation_file,
)
from core.index.reader import Index, SegmentReader, open_index
from core.index.staging import Staging
from core.index.successor import publish_successor
from core.index.verified import Verified
from core.index.writer import writing
from core.lexical import ANALYZERS, Analyzer
from core.lexical.postings import count
from core.pipeline.spaces import space_files
from core.progress import SILENT, Progress
from core.space.record import read_record
from core.types import Finding
from core.vectors.codes import make_codes


@dataclass(frozen=True, slots=True)
class RepairReport:
    """`repaired`: files that were made again, and under which name; a dry run says those that would be. `lost`: what
    cannot be made again, each with what to do. `generation` is the one that is published now, 0 when there is none.
    """

    generation: int
    published: bool
    repaired: Mapping[str, str]
    lost: tuple[Finding, ...]
    notes: tuple[str, ...]


def repair(
    root: Path, *, untrusted: bool = False, dry_run: bool = False, wait: float = 0.0, progress: Progress = SILENT
) -> RepairReport:
    """Make the damaged files of the published generation again, and name one that is whole where CURRENT is damaged.

    Every byte of the generation is read. `untrusted`: whatever the digests say, all derived files are made again. A dry
    run takes no lock and changes nothing. `wait`: for how many seconds another writer is waited for. Raises NoIndexError,
    FormatError, CorruptError (no whole generation is there), LockedError, StorageError.
    """
    check_magic(root)
    if dry_run:
        return _foresee(root, untrusted, progress)
    notes = _mend_current(root, wait, progress)
    with writing(root, wait, progress.note):
        notes += _clear_staging(root)
        if not read_current(root):
            return RepairReport(0, False, {}, (), tuple(notes))
        index = open_index(root)
        damaged = _damaged(index, progress)
        with tempfile.TemporaryDirectory(prefix="samespace-") as scratch:
            work = _Work(index, damaged, Path(scratch))
            wanted = [name for name in index.generation.files if _is_wanted(name, damaged, untrusted)]
            progress.stage("repair", len(wanted))
            for name in wanted:
                work.make(name)
                progress.advance()
            number = work.publish()
        lost = (*work.lost, *_lost(index, damaged))
    return RepairReport(number, number != index.generation.generation, work.repaired, lost, (*notes, *work.notes))


def _is_wanted(name: str, damaged: Mapping[str, str], untrusted: bool) -> bool:
    return kind_of(name) in DERIVED and (untrusted or name in damaged)


def _damaged(index: Index, progress: Progress) -> dict[str, str]:
    damaged = read_whole(index.root, index.generation, progress)
    remembered = Verified(index.root)
    for name in damaged:
        remembered.forget(name)
    return damaged


def _lost(index: Index, damaged: Mapping[str, str]) -> Iterator[Finding]:
    """What is damaged and derived from nothing."""
    names = [name for name in damaged if kind_of(name) not in DERIVED]
    older = whole_older(index.root, index.generation, set(names)) if names else None
    for name in names:
        yield Finding(kind_of(name), "error", damaged[name], advice(index.root, name, older), {"path": name})


def _foresee(root: Path, untrusted: bool, progress: Progress) -> RepairReport:
    """What `repair` would do, as far as it can be said without doing it."""
    notes: list[str] = []
    try:
        number = read_current(root)
    except CorruptError as error:
        if (newest := newest_line(root)) is None:
            raise
        number = newest[0]
        notes.append(f"{error.message}; it would name generation {number}")
    if _is_staging_damaged(root):
        notes.append("the staged work is damaged and would be cleared")
    if not number:
        return RepairReport(0, False, {}, (), tuple(notes))
    path = root / f"generations/{number:06d}.json"
    index = Index(root, Generation.from_bytes(read_generation_file(path), path))
    damaged = read_whole(root, index.generation, progress)
    work = _Work(index, damaged, root)
    for name in index.generation.files:
        if _is_wanted(name, damaged, untrusted) and work.can_make(name):
            work.repaired[name] = name
    return RepairReport(number, False, work.repaired, (*work.lost, *_lost(index, damaged)), tuple(notes))


def _mend_current(root: Path, wait: float, progress: Progress) -> list[str]:
    """Let CURRENT name the newest generation whose file is whole, where it names none that is. Returns what was done."""
    try:
        read_current(root)
        return []
    except CorruptError as error:
        with fs.lock(root / "LOCK", wait, progress.note):
            if (newest := newest_line(root)) is None:
                raise
            number, line = newest
            path = root / "CURRENT"
            is_later = _named(root) > number
            if path.is_dir() and not path.is_symlink():
                fs.remove_empty(path)
            fs.write(path, [line])
        notes = [f"{error.message}: it names generation {number} now, the newest whose file is whole"]
        if is_later or any(_number(path) > number for path in (root / "generations").glob("*.json")):
            again = f"samespace build --to {shell(root)} reads the sources again"
            notes.append(f"what was published after generation {number} cannot be read, so it is given up; {again}")
        return notes


def _named(root: Path) -> int:
    """The number in CURRENT, right or wrong; 0 when there is none."""
    try:
        return current_number(root)
    except CorruptError:
        return 0


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdecimal() else 0


def _is_staging_damaged(root: Path) -> bool:
    try:
        Staging(root).state()
    except (SamespaceError, IsADirectoryError):
        return True
    return False


def _clear_staging(root: Path) -> list[str]:
    """Staging that is damaged goes: it holds nothing that the sources do not."""
    if not _is_staging_damaged(root):
        return []
    fs.remove_folder(root / "staging")
    return [f"the staged work was damaged and is cleared; samespace build --to {shell(root)} reads the sources again"]


@dataclass(frozen=True, slots=True)
class _Place:
    """A derived file: what it is, of which segment and view, and the files that it is made from."""

    kind: Kind
    segment: Segment
    view: View

    @property
    def needs(self) -> list[str]:
        files = self.segment.files(self.view)
        if self.kind == "lexical":
            return [files["documents"], files["chunks"]]
        return [files["vectors"], *space_files(self.view.space)]


def _places(generation: Generation) -> dict[str, _Place]:
    """Every derived file of the generation by its name."""
    found: dict[str, _Place] = {}
    for segment in generation.segments:
        for view in generation.views:
            found[segment.files(view)["lexical"]] = _Place("lexical", segment, view)
            if name := segment.find("codes", view, generation.files):
                found[name] = _Place("codes", segment, view)
            if name := segment.find("hnsw", view, generation.files):
                found[name] = _Place("graph", segment, view)
    return found


@dataclass
class _Work:
    """Files made again. `others` are those whose bytes are not what the generation names."""

    index: Index
    damaged: Mapping[str, str]
    scratch: Path
    repaired: dict[str, str] = field(default_factory=dict)
    others: dict[str, bytes | Path] = field(default_factory=dict)
    lost: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = _places(self.index.generation)

    def _give_up(self, name: str, why: str, fix: str) -> None:
        self.lost.append(Finding(kind_of(name), "error", f"{name} cannot be made again: {why}", fix, {"path": name}))

    def can_make(self, name: str) -> bool:
        """Whether all is whole that the file is made from; where not, it is among the lost."""
        place = self._places.get(name)
        if place is None:
            self._give_up(name, "it belongs to no segment", "restore it from a copy, or build again in a new place")
            return False
        missing = [need for need in place.needs if need in self.damaged]
        if missing:
            fix = f"once that is whole again: samespace repair {shell(self.index.root)}"
            self._give_up(name, f"{missing[0]}, which it is made from, is damaged", fix)
        return not missing

    def make(self, name: str) -> None:
        """Make a derived file again; put it back where its bytes are the ones that the generation names."""
        if not self.can_make(name):
            return
        try:
            content = self._content(self._places[name])
        except (SamespaceError, ImportError) as error:
            message = error.message if isinstance(error, SamespaceError) else str(error)
            fix = error.fix if isinstance(error, SamespaceError) else "pip install hnswlib"
            self._give_up(name, message, fix)
            return
        if _digest(content) != self.index.generation.files[name]:
            self.others[name] = content
        elif name in self.damaged:
            self._put_back(name, content)

    def _content(self, place: _Place) -> bytes | Path:
        segment = SegmentReader(self.index, place.segment, place.view)
        if place.kind == "lexical":
            analyzer: Analyzer = ANALYZERS.load(self.index.generation.settings["analyzer"]["name"])()
            if analyzer.identity != place.view.analyzer:
                fix = "repair with the version of samespace that made it, or restore the file from a copy"
                raise MissingError("this version cuts words in another way than the index's", fix=fix)
            return concatenate(write_columns(count(analyzer, _texts(segment))))
        vectors, norms = segment.vectors.array("vectors", "<f4", 2), segment.vectors.array("norms", "<f4")
        if not len(vectors) == len(norms) == place.segment.chunks or not lengths_fit(vectors, norms):
            fix = "build another index in a new place: samespace build FOLDER --to NEW.index"
            raise CorruptError(
                "the vectors do not fit the segment, or are no numbers", path=segment.vectors.path, fix=fix
            )
        metric = self._metric(place.view)
        if place.kind == "codes":
            return concatenate(write_columns(make_codes(vectors, metric)))
        from core.vectors.hnsw import build_graph

        path = self.scratch / f"{place.segment.name}-{place.view.space}.hnsw"
        build_graph(vectors, metric, path)
        return path

    def _metric(self, view: View) -> str:
        name, canaries = space_files(view.space)
        path = self.index.verified(name)
        return read_record(path.read_bytes(), self.index.table(canaries), str(path)).metric

    def _put_back(self, name: str, content: bytes | Path) -> None:
        path = self.index.root / name
        if path.is_dir() and not path.is_symlink():
            try:
                fs.remove_empty(path)
            except OSError:
                fix = f"move {path} away, then: samespace repair {shell(self.index.root)}"
                self._give_up(name, "a folder that holds something is in its place", fix)
                return
        fs.write(path, fs.blocks(content) if isinstance(content, Path) else [content])
        self.repaired[name] = name

    def publish(self) -> int:
        """Publish a generation that names the files which came out with other bytes, if there are any. Returns the number
        of the generation that is published then.
        """
        base = self.index.generation
        if not self.others:
            return base.generation
        if self.lost or any(kind_of(name) not in DERIVED for name in self.damaged):
            for name in self.others:
                why = "it comes out with other bytes, and no generation is published upon others that are damaged"
                self._give_up(name, why, f"once those are whole again: samespace repair {shell(self.index.root)}")
            return base.generation
        published = publish_successor(self.index, self.others)
        self.notes.extend(published.notes)
        self.repaired.update(published.names)
        return published.generation


def _texts(segment: SegmentReader) -> Iterator[str]:
    """What the words of each chunk are counted in."""
    document, last = None, -1
    for row, number in enumerate(segment.chunk_documents.tolist()):
        if document is None or number != last:
            document, last = segment.document(number), number
        piece = segment.chunk(row, document)
        yield f"{piece.context}\n{piece.text}"


def _digest(content: bytes | Path) -> Digest:
    if isinstance(content, Path):
        return fs.digest(content)
    return Digest(len(content), hashlib.sha256(content).hexdigest())
