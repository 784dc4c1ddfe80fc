"""The one module that touches the disk for an index: every change is announced, written aside, synced, then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import LockedError

TMP = ".tmp"
_AGAIN = 0.1  # seconds between two tries to get the lock


def _nothing(step: str, path: Path) -> None: ...


# Called before each step with its name and path. Tests put a function here that raises at the k-th step.
on_step: Callable[[str, Path], None] = _nothing


@dataclass(frozen=True, slots=True)
class Digest:
    size: int
    sha256: str


def make_folder(path: Path) -> None:
    """`path` and its missing parents, each synced into the folder above it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        on_step("mkdir", folder)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def everything_in(folder: Path) -> list[Path]:
    """Every file and folder below, sorted; links are not followed. [] where it is not there. Raises OSError for one that may
    not be listed: Path.rglob takes that for empty, and what is not seen would be taken for not needed."""

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    if folder.is_dir():
        for place, folders, files in os.walk(folder, onerror=refuse):
            found += [Path(place, name) for name in (*folders, *files)]
    return sorted(found)


def sync_folder(path: Path) -> None:
    on_step("sync-folder", path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, parts: Iterable[bytes | memoryview]) -> Digest:
    """Write a file whole or not at all: aside, fsync, rename, fsync the folder. Returns what was written.

    Raises OSError; then `path` is what it was before.
    """
    make_folder(path.parent)
    aside = path.with_name(path.name + TMP)
    digest, size = hashlib.sha256(), 0
    try:
        on_step("write", aside)
        aside.unlink(missing_ok=True)
        # Exclusive, and no link is followed: what somebody planted under this name is not written through.
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
            file.flush()
            on_step("sync", aside)
            os.fsync(file.fileno())
        if aside.stat().st_size != size:
            raise OSError(5, "the file did not keep all that was written", str(aside))
        rename(aside, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # the kernel does not say which file was too large for the disk
        discard(aside)
        raise
    return Digest(size, digest.hexdigest())


def scratch(path: Path) -> BinaryIO:
    """A file of our own to write and read again, under a name where no link is followed; it is never published."""
    on_step("write", path)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    return os.fdopen(descriptor, "w+b")


def write_new(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file whole unless there is one of this name already; that one stays."""
    aside = path.with_name(f"{path.name}{TMP}{os.getpid()}")
    try:
        write(aside, parts)
        on_step("link", path)
        _link_new(aside, path)
    except FileNotFoundError:
        # A writer that was quicker has made the index meanwhile, and swept `aside` away as a leftover.
        if not path.exists():
            raise
    discard(aside)
    sync_folder(path.parent)


def _link_new(aside: Path, path: Path) -> None:
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    except OSError:  # no hard links here
        if not path.exists():
            aside.replace(path)


def rename(aside: Path, path: Path) -> None:
    on_step("rename", path)
    aside.replace(path)
    sync_folder(path.parent)


def place(source: Path, target: Path) -> Digest:
    """Give a finished file a second name (a hard link, or a copy where links are not possible). Returns its digest.

    The digest is of what is read back from the disk.
    """
    make_folder(target.parent)
    with source.open("rb") as file:
        os.fsync(file.fileno())  # not all that is given was written by `write`: hnswlib syncs nothing
    on_step("link", target)
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        return write(target, blocks(source))
    sync_folder(target.parent)
    return digest(target)


def blocks(path: Path, size: int = 1 << 20) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(size):
            yield block


def digest(path: Path) -> Digest:
    """Size and sha256 of a file as it lies on the disk."""
    with path.open("rb") as file:
        return Digest(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def discard(path: Path) -> None:
    """Remove a file while another error is on its way; that one is what counts."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def remove(path: Path) -> None:
    on_step("remove", path)
    path.unlink(missing_ok=True)


def remove_empty(path: Path) -> None:
    """Remove a folder in which nothing is."""
    on_step("rmdir", path)
    path.rmdir()


def remove_folder(path: Path) -> None:
    """Remove a folder of staging with the files in it (links are removed, never followed)."""
    if not path.is_dir() or path.is_symlink():
        return
    for child in sorted(path.iterdir()):
        if child.is_dir() and not child.is_symlink():
            remove_folder(child)
        else:
            remove(child)
    on_step("rmdir", path)
    path.rmdir()


def untold(message: str) -> None: ...


@contextlib.contextmanager
def lock(path: Path, wait: float = 0.0, told: Callable[[str], None] = untold) -> Iterator[None]:
    """Hold the writer's lock for the block. The kernel releases it when the process ends, however it ends.

    Where another process holds it, it is tried again for `wait` seconds; `told` gets one line that says so. Raises
    LockedError with who holds it and how long was waited; OSError when the file cannot be opened for writing.
    """
    on_step("lock", path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "a+", encoding="utf-8", errors="replace") as file:
        _acquire(file.fileno(), path, wait, told)
        import socket  # a reader never needs it, and starts 2 ms sooner

        file.truncate(0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
        try:
            os.write(file.fileno(), json.dumps(holder).encode())
        except OSError as error:
            error.filename = str(path)  # the kernel does not say it
            raise
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _acquire(descriptor: int, path: Path, wait: float, told: Callable[[str], None]) -> None:
    """Lock the open file of `path`. Raises LockedError when `wait` seconds have passed."""
    start = time.monotonic()
    end, is_told = start + wait, False
    while not _locked(descriptor):
        who = f"another process is writing to this index ({_holder(os.pread(descriptor, 1000, 0))})"
        now = time.monotonic()
        if not now < end:
            raise LockedError(
                f"{who}; waited {now - start:.1f} seconds" if wait > 0 else who,
                path=path.parent,
                fix="wait until it has finished; searching works meanwhile (--wait SECONDS waits for it)",
            )
        if not is_told:
            told(f"{who}; waiting up to {wait:g} seconds")
            is_told = True
        time.sleep(min(_AGAIN, end - now))
    # Who held it may have taken a creation back, and the file with it: a lock on what has no name holds nobody off.
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise LockedError(
            "this index was taken away or made anew by another process", path=path.parent, fix="run the command again"
        )


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(text: bytes) -> str:
    try:
        holder = json.loads(text)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['pid']} on {holder['host']}, since {since}"
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return "it has not said which"
