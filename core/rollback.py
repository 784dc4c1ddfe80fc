"""rollback: what an older generation holds, published again as a new one. Nothing is copied and nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import CorruptError, SamespaceError, shell
from core.index.generation import Generation
from core.index.kept import kept_numbers, read_generation, read_kept
from core.index.reader import Index
from core.index.staging import Staging
from core.index.writer import next_number, now, publish, writing
from core.progress import SILENT, Progress
from core.version import VERSION


@dataclass(frozen=True, slots=True)
class Rollback:
    """`generation` is the current one now; `published` is false when it held the same already. `dropped`: staged work was."""

    published: bool
    generation: Generation
    dropped: bool = False


def rollback(root: Path, number: int, *, wait: float = 0.0, progress: Progress = SILENT) -> Rollback:
    """Publish a new generation that names the files of generation `number`; its parent is the current one.

    Work that is staged was made for the current one and is dropped. `wait`: for how many seconds another writer is
    waited for. Raises UsageError (a generation that is not there), CorruptError (a file of it is missing or damaged),
    NoIndexError, LockedError, StorageError, FormatError.
    """
    with writing(root, wait, progress.note):
        target = read_kept(root, number)
        current = read_generation(root, kept_numbers(root)[-1])
        new = replace(target, generation=next_number(root), parent=current.generation, created=now(), tool=VERSION)
        if _like(new, current):
            return Rollback(False, current)
        _verify(Index(root, target), progress)
        is_staged = _is_staged(root)
        generation = publish(root, new, [])
        Staging(root).clear()
    return Rollback(True, generation, is_staged)


def _like(new: Generation, current: Generation) -> bool:
    """Whether both hold the same, whoever published it and when."""
    own = {name: getattr(current, name) for name in ("generation", "parent", "created", "tool")}
    return replace(new, **own) == current


def _verify(index: Index, progress: Progress) -> None:
    """Raises CorruptError with every file of the generation that is missing or damaged."""
    broken = []
    progress.stage("verify", len(index.generation.files))
    for name in index.generation.files:
        progress.advance()
        try:
            index.verified(name)
        except CorruptError:
            broken.append(name)
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise CorruptError(
            f"generation {index.generation.generation} cannot be published again: {len(broken)} of its files are missing "
            f"or damaged: {', '.join(broken[:5])}{more}",
            path=index.root,
            fix=f"restore them from a copy, or go back to another generation: samespace history {shell(index.root)}",
            details={"files": broken},
        )


def _is_staged(root: Path) -> bool:
    try:
        return Staging(root).state() is not None
    except SamespaceError:
        return True  # damaged: it goes, too
