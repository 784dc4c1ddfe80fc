"""The files of generations: there, of their size and digest; what is there besides; and what to do about damage."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from core.errors import SamespaceError, from_os_error, shell
from core.index import fs
from core.index.fs import Digest
from core.index.generation import Generation, generation_name, read_generation_file
from core.index.verified import Verified
from core.progress import SILENT, Progress
from core.types import Finding

Kind = Literal["documents", "chunks", "vectors", "space", "encoder", "lexical", "codes", "graph"]
DERIVED: tuple[Kind, ...] = ("lexical", "codes", "graph")  # made from the others, and made again by `repair`
FOLDERS = ("documents", "chunks", "lexical", "spaces", "generations")


def kind_of(name: str) -> Kind:
    """What the file of this name in a generation holds."""
    folder, last = name.split("/")[0], name.split("/")[-1]
    if folder != "spaces":
        return folder  # type: ignore[return-value]
    if last in ("space.json", "canaries") or name.split("/")[-2] in ("tolerances", "attestations"):
        return "space"
    if last.startswith("encoder."):
        return "encoder"
    return "codes" if last.endswith(".codes") else "graph" if last.endswith(".hnsw") else "vectors"


def damage(root: Path, name: str, expected: Digest, verified: Verified | None = None) -> str:
    """What is wrong with a file, "" when nothing is. Where `verified` vouches for it, it is not read again."""
    path = root / name
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            return f"{name} is no file but a device or a pipe"
        if path.is_file() and found.st_size != expected.size:
            return f"{name} has {found.st_size:,} bytes instead of {expected.size:,}"
        if verified is not None and verified.knows(name, expected):
            return ""
        content = fs.digest(path)
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return "" if content == expected else f"the content of {name} changed (sha256 differs)"


def check_files(root: Path, generation: Generation, progress: Progress, verified: Verified | None) -> Iterator[Finding]:
    """A finding for every damaged file of the generation that is published."""
    progress.stage("check", len(generation.files))
    remembered = verified or Verified(root)
    damaged: dict[str, str] = {}
    for name, expected in generation.files.items():
        progress.advance()
        if what := damage(root, name, expected, verified):
            damaged[name] = what
            remembered.forget(name)
        elif not remembered.knows(name, expected):
            remembered.add(name, expected)
    whole = whole_older(root, generation, set(damaged)) if any(kind_of(n) not in DERIVED for n in damaged) else None
    for name, what in damaged.items():
        expected = generation.files[name]
        details = {"path": name, "size": expected.size, "sha256": expected.sha256}
        yield Finding("file", "error", what, advice(root, name, whole), details)


def advice(root: Path, name: str, older: int | None) -> str:
    """What to do about a damaged file of the published generation; `older` is a generation that is whole, if any."""
    kind = kind_of(name)
    if kind in DERIVED:
        return f"samespace repair {shell(root)} makes it again"
    copy = f"restore the file {name} from a copy of the index"
    new = "build another index in a new place from the documents: samespace build FOLDER --to NEW.index"
    if kind == "encoder":
        return f"samespace index {shell(root)} --self-contained puts it in again where the model is; or {copy}"
    back = f"go back to generation {older}, which is whole: samespace rollback {shell(root)} {older}"
    return f"{copy}; or {new}" if older is None else f"{copy}; or {back}; or {new}"


def older_generations(root: Path, generation: Generation) -> Iterator[tuple[int, Generation | SamespaceError]]:
    """The number of every older generation that is kept, newest first, with what its file says or what is wrong with it."""
    numbers = [int(path.stem) for path in (root / "generations").glob("*.json") if path.stem.isdecimal()]
    for number in sorted((n for n in numbers if n < generation.generation), reverse=True):
        path = root / generation_name(number)
        try:
            yield number, Generation.from_bytes(read_generation_file(path), path)
        except SamespaceError as error:
            yield number, error
        except PermissionError as error:
            yield number, from_os_error(error)


def whole_older(root: Path, generation: Generation, damaged: set[str]) -> int | None:
    """The newest older generation of which every file is whole; `damaged` is what is known not to be."""
    for number, older in older_generations(root, generation):
        if isinstance(older, SamespaceError) or damaged & set(older.files):
            continue
        if not any(damage(root, name, expected) for name, expected in older.files.items()):
            return number
    return None


def check_older(root: Path, generation: Generation, progress: Progress) -> Iterator[Finding]:
    """A finding for every damaged file that only older generations name, each read once."""
    seen = dict(generation.files)
    fix = f"searching does not need it; samespace gc {shell(root)} removes older generations, or restore it from a copy"
    for number, older in older_generations(root, generation):
        if isinstance(older, SamespaceError):
            if (root / generation_name(number)).exists():  # else it was collected meanwhile
                message = f"the file of the older generation {number} is damaged: {older.message}"
                yield Finding("generation", "error", message, fix, {"path": generation_name(number)})
            continue
        files = {name: expected for name, expected in older.files.items() if seen.get(name) != expected}
        progress.stage(f"check {number}", len(files))
        for name, expected in files.items():
            progress.advance()
            if (what := damage(root, name, expected)) and (root / generation_name(number)).exists():
                details = {"path": name, "size": expected.size, "sha256": expected.sha256, "generation": number}
                yield Finding("file", "error", f"{what}; only older generations name it ({number})", fix, details)
        seen.update(files)


def leftovers(root: Path, current: int) -> Iterator[Finding]:
    """A note with the bytes of what no generation up to the current one names."""
    named: set[str] = set()
    for path in (root / "generations").glob("*.json"):
        if not path.stem.isdecimal() or int(path.stem) > current:
            continue
        try:
            named |= {f"generations/{path.name}", *Generation.from_bytes(path.read_bytes(), path).files}
        except (SamespaceError, OSError):
            return  # what it named is not known
    paths = [path for folder in FOLDERS for path in (root / folder).rglob("*")]
    paths += [*root.glob("CURRENT.tmp*"), *root.glob("samespace.json.tmp*")]
    names = {path.relative_to(root).as_posix(): path for path in sorted(paths) if path.is_symlink() or path.is_file()}
    left = {name: size for name, path in names.items() if name not in named and (size := _size(path)) is not None}
    if left:
        size = sum(left.values())
        message = (
            f"{len(left):,} files with {size:,} bytes are named by no generation, as after a crash: {next(iter(left))}"
        )
        fix = f"samespace build --to {shell(root)} removes those that are its own; others are left alone"
        yield Finding("leftovers", "note", message, fix, {"files": list(left)[:100], "count": len(left), "bytes": size})


def _size(path: Path) -> int | None:
    """None when it has gone since it was listed: a writer is at work."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return None


def read_whole(root: Path, generation: Generation, progress: Progress = SILENT) -> dict[str, str]:
    """The damaged files of a generation, name -> what is wrong; every byte is read, nothing remembered is trusted."""
    progress.stage("check", len(generation.files))
    found = {}
    for name, expected in generation.files.items():
        progress.advance()
        if what := damage(root, name, expected):
            found[name] = what
    return found
