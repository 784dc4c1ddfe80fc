"""Writing an index: creating the directory, holding it, publishing a generation. FORMAT.md says in which order and why."""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from core.canonical import canonical
from core.errors import CorruptError, LockedError, SamespaceError, StorageError, UsageError
from core.index import fs
from core.index.fs import Digest
from core.index.generation import (
    MAGIC,
    NOTHING_PUBLISHED,
    Generation,
    check_magic,
    current_line,
    current_number,
    generation_name,
    read_current,
    read_generation_file,
)
from core.index.state import read_state

_SEGMENT_FILE = re.compile(
    r"(documents/\d{6}|chunks/c-[0-9a-f]{16}/\d{6}|lexical/a-[0-9a-f]{16}/c-[0-9a-f]{16}/\d{6}"
    r"|spaces/s-[0-9a-f]{16}/(space\.json|canaries|encoder\.\d{6}|(tolerances|attestations)/\d{6}|c-[0-9a-f]{16}/\d{6}(\.\d{6}\.(hnsw|codes))?)|generations/\d{6}\.json)(\.tmp)?"
)


_held: set[Path] = set()  # what this process holds: `build` holds the index around its four stages


def create(root: Path) -> None:
    """Make `root` an empty index, unless it is one already.

    Raises UsageError for a folder that holds other things, StorageError, CorruptError, FormatError.
    """
    if root.exists() and not root.is_dir():
        raise UsageError("an index is a directory; this is a file", path=root, fix="choose another name with --to")
    names = {path.name for path in root.iterdir()} if root.is_dir() else set()
    if "samespace.json" in names:
        check_magic(root)
        return
    # What a creation that was cut short leaves is no stranger's.
    if any(name != "CURRENT" and not name.startswith(("CURRENT.tmp", "samespace.json.tmp")) for name in names):
        raise UsageError(
            "this folder holds other things and is no samespace index; nothing was changed in it",
            path=root,
            fix="choose a new or empty folder with --to",
        )
    fs.write_new(root / "CURRENT", [NOTHING_PUBLISHED])  # never over one that another process has published since
    fs.write_new(root / "samespace.json", [canonical(MAGIC) + b"\n"])


def uncreate(root: Path, made: bool) -> None:
    """Take back a creation from which nothing came: no document was staged. `made`: the folder too. Held by the caller."""
    try:
        state = read_state(root)
        if current_number(root) or (state is not None and state.documents):
            return
    except SamespaceError:
        return  # what is damaged is not ours to remove
    fs.discard(root / "samespace.json")  # first: what has none is no index
    shutil.rmtree(root / "staging", ignore_errors=True)
    fs.discard(root / "CURRENT")
    fs.discard(root / "LOCK")
    if made:
        with contextlib.suppress(OSError):  # somebody has put something into it meanwhile
            root.rmdir()


@contextlib.contextmanager
def writing(root: Path, wait: float = 0.0, told: Callable[[str], None] = fs.untold) -> Iterator[None]:
    """Hold the index for writing, swept of what earlier crashes left; inside a block that holds it, nothing more is done.

    Where another process holds it, it is tried again for `wait` seconds, and `told` gets one line that says so. Raises
    LockedError, StorageError (read-only) and what check_magic raises.
    """
    with holding(root, wait, told) as is_new:
        if is_new:
            sweep(root)
        yield


@contextlib.contextmanager
def holding(root: Path, wait: float = 0.0, told: Callable[[str], None] = fs.untold) -> Iterator[bool]:
    """`writing` without the sweep. Gives False inside a block that holds the index already. Raises the same."""
    check_magic(root)
    key = root.resolve()
    if key in _held:
        yield False
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(fs.lock(root / "LOCK", wait, told))
        except LockedError:
            check_magic(root)  # whoever held it may have taken the whole index back
            raise
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            raise StorageError(
                f"this index cannot be written to ({error.strerror})",
                path=root,
                fix="searching works; to change it, copy it to a place where you may write",
            ) from error
        refuse_linked_folders(root)
        _held.add(key)
        stack.callback(_held.discard, key)
        yield True


def refuse_linked_folders(root: Path) -> None:
    """An index may come from anywhere: nothing is written through a link that somebody put into it."""
    for folder in ("staging", "generations", "documents", "chunks", "lexical", "spaces"):
        for path in (root / folder, *fs.everything_in(root / folder)):
            if path.is_symlink() and path.is_dir():
                raise CorruptError("a folder of this index is a link", path=path, fix="put the folder itself there")


def sweep(root: Path) -> None:
    """Remove what earlier crashes left: files of our shapes that no generation names, and temporary files."""
    current = read_current(root)
    named: set[str] = set()
    # Listed, not globbed: glob takes a folder that may not be listed for an empty one, and then nothing would be named.
    for path in sorted((root / "generations").iterdir()) if current else ():
        if path.suffix == ".json" and path.stem.isdecimal() and int(path.stem) <= current:
            try:
                named |= {f"generations/{path.name}", *Generation.from_bytes(read_generation_file(path), path).files}
            except SamespaceError:
                return  # what a damaged generation named is not known: nothing is removed until that is mended
    for path in unnamed(root, named):
        fs.remove(path)
    for leftover in (*root.glob("CURRENT.tmp*"), *root.glob("samespace.json.tmp*")):
        fs.remove(leftover)


def unnamed(root: Path, named: Collection[str]) -> list[Path]:
    """The files of our shapes (promise 9) that are not among `named`: generations first, rising by number."""
    found = []
    for folder in ("generations", "documents", "chunks", "lexical", "spaces"):
        for path in fs.everything_in(root / folder):
            name = path.relative_to(root).as_posix()
            if path.is_file() and not path.is_symlink() and name not in named and _SEGMENT_FILE.fullmatch(name):
                found.append(path)
    return found


def next_number(root: Path) -> int:
    """A generation's number that was never used in this directory, published or not."""
    used = [read_current(root)]
    for folder in ("generations", "documents"):
        used += [int(path.name[:6]) for path in (root / folder).glob("*") if path.name[:6].isdecimal()]
    return 1 + max(used)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file of the generation to come: bytes, or a finished file that gets a second name."""

    name: str
    content: bytes | Path


def publish(root: Path, generation: Generation, new_files: list[NewFile]) -> Generation:
    """Write `new_files`, then the generation that names them beside those it names already, then CURRENT.

    The caller holds the lock. On any failure the published generation is the one it was, and the new files are gone.
    Returns the generation as published. Raises OSError.
    """
    files: dict[str, Digest] = dict(generation.files)
    written: list[Path] = []
    try:
        for new in new_files:
            path = root / new.name
            if path.exists():
                raise OSError(errno.EEXIST, "a file of this name is there already", str(path))
            written.append(path)
            files[new.name] = (
                fs.place(new.content, path) if isinstance(new.content, Path) else fs.write(path, [new.content])
            )
        generation = replace(generation, files=dict(sorted(files.items())))
        generation.check()
        path = root / generation_name(generation.generation)
        written.append(path)
        digest = fs.write(path, [generation.to_bytes()])
        fs.write(root / "CURRENT", [current_line(generation.generation, digest.sha256)])
    except BaseException:
        if current_number(root) != generation.generation:
            for path in written:
                fs.discard(path)
        raise
    return generation


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
