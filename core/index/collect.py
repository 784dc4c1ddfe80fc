"""Collecting: old generations go, and then every file that none of the kept ones names. FORMAT.md says in which order."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from core.errors import CorruptError, UsageError, shell
from core.index import fs
from core.index.generation import Generation, MissingFileError, check_magic, generation_name
from core.index.kept import kept_numbers, read_generation
from core.index.writer import holding, refuse_linked_folders, sweep, unnamed
from core.progress import SILENT, Progress

_FOLDER = re.compile(
    r"chunks/c-[0-9a-f]{16}|lexical/a-[0-9a-f]{16}(/c-[0-9a-f]{16})?|spaces/s-[0-9a-f]{16}(/c-[0-9a-f]{16})?"
)


@dataclass(frozen=True, slots=True)
class Collected:
    """The generations that were removed, the names of the other files that were, the bytes of both, and what was kept."""

    generations: tuple[int, ...]
    files: tuple[str, ...]
    size: int
    kept: tuple[int, ...]


def collect(
    root: Path, keep: int, *, wait: float = 0.0, dry_run: bool = False, progress: Progress = SILENT
) -> Collected:
    """Keep the newest `keep` published generations and remove the others, with every file that none of the kept names.

    The current generation is always kept; readers beside it are not disturbed. Stopped anywhere, the index answers as
    before, and the next call finishes. `dry_run` takes no lock, changes nothing and says what would go; `wait` is for
    how many seconds another writer is waited for. Raises UsageError, CorruptError (a generation to be kept is damaged:
    then nothing is removed), NoIndexError, LockedError, StorageError, FormatError.
    """
    if keep < 1:
        raise UsageError("at least one generation has to stay", path=root, fix="--keep 1 keeps the current one alone")
    if dry_run:
        check_magic(root)
        refuse_linked_folders(root)
    with nullcontext() if dry_run else holding(root, wait, progress.note):
        numbers = kept_numbers(root)
        kept, old = numbers[-keep:], numbers[:-keep]
        named = {name for generation in _read(root, kept) for name in generation.files}
        named |= {generation_name(number) for number in kept}
        doomed = unnamed(root, named)
        sizes = {path.relative_to(root).as_posix(): _size(path) for path in doomed}
        if not dry_run:
            _remove(root, doomed)
        generations = [generation_name(number) for number in old]
        files = [name for name in sizes if name not in generations]
        return Collected(tuple(old), tuple(files), sum(sizes.values()), tuple(kept))


def _read(root: Path, kept: Sequence[int]) -> list[Generation]:
    """The generations to be kept, the newest first: what a damaged one names is not known, so nothing may go then."""
    found: list[Generation] = []
    for number in reversed(kept):
        try:
            found.append(read_generation(root, number))
        except MissingFileError:
            raise
        except CorruptError as error:
            fix = "restore it from a copy of the index"
            if found:
                fix += f", or let it go with all that are older: samespace gc {shell(root)} --keep {len(found)}"
            raise CorruptError(
                f"generation {number} is damaged, so what it needs is not known; nothing was removed",
                path=error.path,
                fix=fix,
            ) from error
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a writer beside a dry run
        return 0


def _remove(root: Path, doomed: Sequence[Path]) -> None:
    """Each generation is gone for good before a file that it names goes: none that is there ever lacks a file."""
    for path in doomed:
        fs.remove(path)
        if path.parent.name == "generations":
            fs.sync_folder(path.parent)
    sweep(root)
    for path in sorted(root.rglob("*"), reverse=True):  # the inner ones first
        if path.is_dir() and not path.is_symlink() and _FOLDER.fullmatch(path.relative_to(root).as_posix()):
            with contextlib.suppress(OSError):  # something is in it
                fs.remove_empty(path)
