"""One generation of an index: frozen metadata, complete on its own, to JSON and back (FORMAT.md)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from core.canonical import canonical, digest
from core.errors import CorruptError, FormatError, NoIndexError, SamespaceError, shell
from core.index.fs import Digest
from core.types import Source

FORMAT = 0
MAGIC = {"magic": "samespace", "format": FORMAT}
FOLDERS = ("documents", "chunks", "lexical", "spaces")  # where the files of a generation lie
_LARGEST = 1 << 28  # bytes of the small files that are read whole: no link to a device may fill the memory
_DEEPEST = 32  # levels of a generation's JSON
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at the documents: how they are cut, analysed and embedded."""

    chunking: str
    analyzer: str
    space: str
    role: str = "primary"

    def encoder(self, generation: int) -> str:
        """The name of the encoder that `generation` puts into the index."""
        return f"spaces/{self.space}/encoder.{generation:06d}"

    def find_encoder(self, files: Iterable[str]) -> str | None:
        """The encoder among `files`, or None."""
        return next((name for name in files if name.startswith(f"spaces/{self.space}/encoder.")), None)


@dataclass(frozen=True, slots=True)
class Segment:
    """The documents of one run, as counted when it was written (dead ones included)."""

    name: str
    documents: int
    chunks: int

    def files(self, view: View) -> dict[str, str]:
        """The names of this segment's files for `view`, relative to the index."""
        return {
            "documents": f"documents/{self.name}",
            "chunks": f"chunks/{view.chunking}/{self.name}",
            "lexical": f"lexical/{view.analyzer}/{view.chunking}/{self.name}",
            "vectors": f"spaces/{view.space}/{view.chunking}/{self.name}",
        }

    def graph(self, view: View, generation: int) -> str:
        """The name of the HNSW graph that `generation` builds for this segment."""
        return f"{self.files(view)['vectors']}.{generation:06d}.hnsw"

    def codes(self, view: View, generation: int) -> str:
        """The name of the binary codes that `generation` makes for this segment."""
        return f"{self.files(view)['vectors']}.{generation:06d}.codes"

    def find(self, kind: Literal["hnsw", "codes"], view: View, files: Iterable[str]) -> str | None:
        """The graph or the codes of this segment among `files`, or None."""
        start = f"{self.files(view)['vectors']}."
        return next((name for name in files if name.startswith(start) and name.endswith(f".{kind}")), None)


@dataclass(frozen=True, slots=True)
class Generation:
    generation: int
    parent: int
    created: str
    tool: str
    sources: tuple[Source, ...]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    views: tuple[View, ...]
    segments: tuple[Segment, ...]
    dead: Mapping[str, tuple[int, ...]]
    files: Mapping[str, Digest]
    languages: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    format: int = field(default=FORMAT)

    @property
    def primary(self) -> View:
        return next(view for view in self.views if view.role == "primary")

    @property
    def documents(self) -> int:
        """Live documents."""
        return sum(s.documents for s in self.segments) - sum(len(rows) for rows in self.dead.values())

    def to_bytes(self) -> bytes:
        value = asdict(self)
        return canonical({**value, "sha256": digest(value)}) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> Generation:
        """Raises CorruptError when it is not whole, FormatError when it needs what this version does not know."""
        damaged = CorruptError(
            "this generation is damaged", path=path, fix="restore the index from a copy, or build it again"
        )
        try:
            value = json.loads(data)
            if (
                not isinstance(value, dict)
                or type(value["format"]) is not int
                or not isinstance(value["requires"], list)
            ):
                raise damaged
            if value["format"] != FORMAT or value["requires"]:
                raise newer(path, f"format {value['format']}", value["requires"])
            check_types(value)
            stored = value.pop("sha256")
            if stored != digest(value):
                raise damaged
            generation = cls(
                **{
                    **value,
                    "requires": tuple(value["requires"]),
                    "sources": tuple(Source(**source) for source in value["sources"]),
                    "views": tuple(View(**view) for view in value["views"]),
                    "segments": tuple(Segment(**segment) for segment in value["segments"]),
                    "dead": {name: tuple(rows) for name, rows in value["dead"].items()},
                    "files": {name: Digest(**entry) for name, entry in value["files"].items()},
                }
            )
            generation.check()
            if path.stem != f"{generation.generation:06d}":
                raise ValueError("its number is not that of its file")
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError) as error:
            raise damaged from error
        return generation

    def check(self) -> None:
        """Raises ValueError when the parts do not fit one another or a name would lead out of the index."""
        names = [*self.files, *(s.name for s in self.segments)]
        names += [part for view in self.views for part in (view.chunking, view.analyzer, view.space)]
        for name in names:
            if not name or not all(SAFE_NAME.fullmatch(part) for part in PurePosixPath(name).parts):
                raise ValueError(f"{name!r} is not a name inside an index")
        for name in self.files:
            if name.partition("/")[0] not in FOLDERS or name.endswith("/") or "/" not in name:
                raise ValueError(f"{name!r} is not where files of an index lie")
        for segment in self.segments:
            for view in self.views:
                for name in segment.files(view).values():
                    if name not in self.files:
                        raise ValueError(f"{name} has no digest")
            dead = self.dead.get(segment.name, ())
            if any(not 0 <= row < segment.documents for row in dead) or len(set(dead)) != len(dead):
                raise ValueError("dead rows out of range or twice")
            # Nothing is counted that its file has no room for, so no number can make a reader take memory for it.
            if segment.documents > self.files[f"documents/{segment.name}"].size or segment.chunks >= 1 << 31:
                raise ValueError("more rows than its files hold")
        if len({segment.name for segment in self.segments}) != len(self.segments):
            raise ValueError("a segment stands twice")
        if set(self.dead) - {segment.name for segment in self.segments}:
            raise ValueError("dead rows of an unknown segment")
        _ = self.primary


def check_types(value: Mapping[str, Any]) -> None:
    """Raises TypeError or KeyError unless every field of a generation's JSON has its type: it may come from anywhere."""

    def texts(*parts: Any) -> bool:
        return all(isinstance(part, str) for part in parts)

    def numbers(*parts: Any) -> bool:
        return all(type(part) is int and 0 <= part < 1 << 63 for part in parts)

    model, settings, languages = value["model"], value["settings"], value.get("languages") or {}
    fits = (
        numbers(value["generation"], value["parent"])
        and texts(value["created"], value["tool"], model["name"], model["provider"])
        and texts(model.get("location", ""), model.get("why", ""), *model.get("languages", ()))
        and numbers(languages.get("rules", 0), *languages.get("thousandths", {}).values())
        and texts(*(settings[stage]["name"] for stage in ("chunker", "analyzer", "ann")))
        and all(texts(source["name"], source["root"]) for source in value["sources"])
        and all(texts(*view.values()) for view in value["views"])
        and all(texts(part["name"]) and numbers(part["documents"], part["chunks"]) for part in value["segments"])
        and all(numbers(*rows) for rows in value["dead"].values())
        and all(numbers(entry["size"]) and texts(entry["sha256"]) for entry in value["files"].values())
    )
    if not fits or _depth(value) > _DEEPEST:
        raise TypeError("a field is not of its type")


def _depth(value: Any) -> int:
    """Levels of lists and objects within one another, counted up to one more than may be."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        nested = [part for part in level if isinstance(part, list | dict)]
        level = [inner for part in nested for inner in (part.values() if isinstance(part, dict) else part)]
        depth += bool(nested)
    return depth


def newer(path: Path, what: str, requires: Any = ()) -> FormatError:
    needs = f", needing {', '.join(map(str, requires))}" if requires else ""
    return FormatError(
        f"this index has {what}{needs}; this samespace reads format {FORMAT}",
        path=path,
        fix="upgrade samespace, or build the index again with this version",
    )


def check_magic(root: Path) -> None:
    """Raises NoIndexError, CorruptError or FormatError unless `root` is an index this version reads."""
    if not root.exists():
        raise NoIndexError(
            "there is no index here", path=root, fix=f"make one: samespace build FOLDER --to {shell(root)}"
        )
    try:
        value = json.loads(read_small(root / "samespace.json"))
        magic, number = value["magic"], value["format"]
    except (FileNotFoundError, NotADirectoryError):
        raise NoIndexError(
            "this is not a samespace index (it has no samespace.json)",
            path=root,
            fix="name an index directory; a new one is made by: samespace build FOLDER --to NEW.index",
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError, IsADirectoryError) as error:
        raise CorruptError(
            "samespace.json is damaged", path=root / "samespace.json", fix=f"it should read {json.dumps(MAGIC)}"
        ) from error
    if magic != "samespace" or type(number) is not int:
        raise NoIndexError("this is not a samespace index", path=root, fix="name an index directory")
    if number != FORMAT:
        raise newer(root, f"format {number}")


def current_line(number: int, sha256: str) -> bytes:
    """What CURRENT holds: the generation's number, and the beginning of its file's digest, so that no flipped bit can
    make it name another one."""
    return b"%06d %s\n" % (number, sha256[:16].encode())


NOTHING_PUBLISHED = current_line(0, "0" * 16)


def current_number(root: Path) -> int:
    """The number in CURRENT, 0 when nothing is published yet. Raises CorruptError when CURRENT is not whole."""
    return _parse_current(root)[0]


def read_current(root: Path) -> int:
    """The number in CURRENT, once the generation it names was found whole; 0 when nothing is published yet.

    Raises CorruptError, MissingFileError.
    """
    number, digest = _parse_current(root)
    if not number:
        return 0
    path = root / generation_name(number)
    try:
        data = read_generation_file(path)
    except MissingFileError as error:
        raise MissingFileError(error.message, path=path, fix=_damaged_current(root, "").fix) from None
    if not hashlib.sha256(data).hexdigest().startswith(digest):
        raise _damaged_current(
            root, f"CURRENT and {generation_name(number)} do not fit one another: one of them is damaged"
        )
    return number


def published_number(root: Path) -> int:
    """The same, and 0 where there is no index at all."""
    return read_current(root) if (root / "samespace.json").exists() else 0


def read_generation_file(path: Path) -> bytes:
    """Raises MissingFileError when it is not there or no file."""
    try:
        return read_small(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise missing(path) from None


def read_small(path: Path) -> bytes:
    """A file of an index that is read whole: no device, no pipe that nobody writes to, and not larger than memory.

    Raises CorruptError, OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise CorruptError(
                "this is no file of an index: too large, or a device or a pipe",
                path=path,
                fix="restore it from a copy, or build the index again in a new place",
            )
        return file.read()


def _parse_current(root: Path) -> tuple[int, str]:
    try:
        text = read_small(root / "CURRENT")
    except (FileNotFoundError, IsADirectoryError):
        text = b""
    match = re.fullmatch(rb"(\d{6,18}) ([0-9a-f]{16})\n", text)
    if not match or (not int(match[1]) and text != NOTHING_PUBLISHED):
        raise _damaged_current(root, "CURRENT is damaged or missing: it does not name a generation")
    return int(match[1]), match[2].decode()


def newest_line(root: Path) -> tuple[int, bytes] | None:
    """The newest generation whose file is whole, and what CURRENT holds when it names it; None where there is none."""
    for path in sorted((root / "generations").glob("*.json"), reverse=True):
        with contextlib.suppress(SamespaceError, OSError):
            data = read_small(path)
            number = Generation.from_bytes(data, path).generation
            return number, current_line(number, hashlib.sha256(data).hexdigest())
    return None


def _damaged_current(root: Path, what: str) -> CorruptError:
    """Says how to name the newest generation again where a whole one is still there."""
    fix = "no whole generation is there: restore the index from a copy, or build it again in a new place"
    if (newest := newest_line(root)) is not None:
        number, line = newest
        fix = (
            f"the newest whole generation is {number}; samespace repair {shell(root)} goes back to it (later ones are then "
            f"removed), or by hand: echo '{line.decode().strip()}' > {shell(root / 'CURRENT')}"
        )
    return CorruptError(what, path=root / "CURRENT", fix=fix)


class MissingFileError(CorruptError):
    """A file that a generation names is not there: damage, or the generation was collected since CURRENT was read."""


def missing(path: Path) -> MissingFileError:
    return MissingFileError(
        "a file of the published generation is missing",
        path=path,
        fix="restore it from a copy, or build the index again in a new place",
    )


def nothing_published(root: Path) -> NoIndexError:
    return NoIndexError(
        "nothing is published in this index yet",
        path=root,
        fix=f"finish it: samespace build --to {shell(root)}   (`samespace info {shell(root)}` shows what is staged)",
    )


def generation_name(number: int) -> str:
    return f"generations/{number:06d}.json"
