"""The generations that are still there: which they are, and one of them by its number. Needs no array."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from core.errors import CorruptError, UsageError, shell
from core.index.generation import (
    Generation,
    check_magic,
    generation_name,
    nothing_published,
    read_current,
    read_generation_file,
)


def kept_numbers(root: Path) -> list[int]:
    """The numbers of the published generations whose files are there, rising; the last is the current one.

    Raises NoIndexError (no index, nothing published), CorruptError, FormatError.
    """
    check_magic(root)
    current = read_current(root)
    if not current:
        raise nothing_published(root)
    # Listed, not globbed: glob takes a folder that may not be listed for an empty one, and `collect` would keep nothing.
    names = [path.name for path in (root / "generations").iterdir()]
    numbers = (int(name[:-5]) for name in names if re.fullmatch(r"[0-9]{6,}\.json", name))
    return sorted(number for number in numbers if 0 < number <= current)


def read_kept(root: Path, number: int) -> Generation:
    """The generation of that number. Raises UsageError when it is not there, and what `kept_numbers` raises."""
    numbers = kept_numbers(root)
    if number not in numbers:
        raise UsageError(
            f"there is no generation {number} in this index; it has {in_words(numbers)}",
            path=root,
            fix=f"samespace history {shell(root)} lists them; `samespace gc` removes old ones",
        )
    try:
        return read_generation(root, number)
    except CorruptError as error:
        if number == numbers[-1]:
            raise
        newer = len([other for other in numbers if other > number])
        raise CorruptError(
            f"the file of the older generation {number} is damaged or missing; the index itself does not need it",
            path=error.path,
            fix=f"choose another: samespace history {shell(root)}; samespace gc {shell(root)} --keep {newer} lets it go with "
            "all that are older",
        ) from error


def read_generation(root: Path, number: int) -> Generation:
    """Raises MissingFileError, CorruptError, FormatError."""
    path = root / generation_name(number)
    return Generation.from_bytes(read_generation_file(path), path)


def number_of(root: Path, word: str) -> int:
    """The number that `word` stands for: a number, or `current`. Raises UsageError and what `kept_numbers` raises."""
    if word == "current":
        return kept_numbers(root)[-1]
    if not re.fullmatch("[0-9]{1,18}", word):
        raise UsageError(
            f"{word!r} is no generation",
            path=root,
            fix=f"a number, or the word current; samespace history {shell(root)} lists them",
        )
    return int(word)


def in_words(numbers: Sequence[int]) -> str:
    """`1, 3-5`: rising numbers, neighbours joined."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)
