"""The files of a source, in an order that does not depend on the file system."""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError, from_os_error
from core.types import Outcome, Source, Status


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A file, and why it is not to be opened (`status` and `reason`) if it is not.

    `id` is what documents are called by; `spelled` is the same before Unicode normalisation.
    """

    id: str
    spelled: str
    path: Path
    status: Status | None = None
    reason: str = ""

    def outcome(self, status: Status, reason: str = "") -> Outcome:
        return Outcome(self.id, status, reason)


def shown(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def walk(source: Source) -> list[Found]:
    """Everything in a source but hidden files and folders, sorted by id.

    Raises UsageError when the root does not exist, StorageError when it cannot be looked at.
    """
    try:
        mode = Path(source.root).stat().st_mode
        if stat.S_ISDIR(mode):
            return sorted(_folder(source))
        return [_found(source.name, Path(source.root), *_refusal(mode))]
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UsageError(
            "there is no such file or folder", path=source.root, fix="check the path, or leave this source out"
        ) from error
    except OSError as error:
        raise from_os_error(error) from error


def _folder(source: Source) -> list[Found]:
    inside = os.path.realpath(source.root)
    found: list[Found] = []
    pending = [(Path(source.root), source.name)]
    while pending:
        folder, spelled = pending.pop()
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except OSError as error:
            if spelled == source.name:
                raise
            found.append(_found(spelled, folder, "failed", from_os_error(error).message))
            continue
        if any(entry.name == "samespace.json" for entry in listed):
            found.append(_found(spelled, folder, "skipped", "a samespace index"))
            continue
        for entry in listed:
            name = f"{spelled}/{shown(entry.name)}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append((Path(entry.path), name))
            else:
                found.append(_found(name, Path(entry.path), *_judged(entry, inside)))
    return found


def _found(spelled: str, path: Path, status: Status | None, reason: str) -> Found:
    return Found(nfc(spelled), spelled, path, status, reason)


def _judged(entry: os.DirEntry[str], inside: str) -> tuple[Status | None, str]:
    """Links are followed to files within the source; folders are read where they lie, so no loop can arise."""
    try:
        if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(inside):
            return "skipped", "a link that leads out of the source"
        return _refusal(entry.stat().st_mode)
    except OSError as error:
        reason = "a link that leads nowhere" if entry.is_symlink() else from_os_error(error).message
        return "failed", reason


def _refusal(mode: int) -> tuple[Status | None, str]:
    """Only regular files are opened: opening a pipe waits, and opening a device may do anything."""
    if stat.S_ISREG(mode):
        return None, ""
    return "skipped", "a link to a folder" if stat.S_ISDIR(mode) else "not a regular file (a pipe, socket or device)"
