"""check: is every file of an index there, whole, and does it fit the others? Returns findings, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.check.files import check_files, check_older, leftovers
from core.check.structure import check_structure
from core.errors import SamespaceError, shell
from core.index.generation import (
    Generation,
    check_magic,
    current_number,
    generation_name,
    read_current,
    read_generation_file,
)
from core.index.reader import Index
from core.index.staging import Staging
from core.index.verified import Verified
from core.progress import SILENT, Progress
from core.types import Finding


def check(root: Path, progress: Progress = SILENT, *, read_data: bool = False, deep: bool = False) -> list[Finding]:
    """Every finding about the index at `root`.

    Sizes and digests of the published generation's files and the structure of each segment; a file that was read whole on
    this machine before, and whose size, time and inode are what they were, is not read again. `read_data`: every byte of
    every file of every generation that is kept is read, whatever is remembered. `deep`: besides, a sample of documents is
    cut, counted and embedded again, and the recall of codes and graphs is measured. Raises NoIndexError, CorruptError,
    FormatError when there is no index or generation to look at.
    """
    check_magic(root)
    while True:
        before = current_number(root)
        try:
            findings = list(_findings(root, read_current(root), progress, read_data or deep, deep))
        except (SamespaceError, FileNotFoundError):
            if current_number(root) == before:
                raise
            continue
        if not any(finding.severity == "error" for finding in findings) or current_number(root) == before:
            return findings  # else something was published, or went, while we looked


def _findings(root: Path, number: int, progress: Progress, read_data: bool, deep: bool) -> Iterator[Finding]:
    if not number:
        yield _staged(root)
        yield Finding("generation", "warning", "nothing is published yet", f"samespace build --to {shell(root)}")
        yield from leftovers(root, number)
        return
    path = root / generation_name(number)
    generation = Generation.from_bytes(read_generation_file(path), path)
    found = list(check_files(root, generation, progress, None if read_data else Verified(root)))
    if not found:
        index = Index(root, generation)
        found = list(check_structure(index, read_data))
        if deep and not found:
            from core.check.sample import check_sample

            found = list(check_sample(index, progress))
    if read_data:
        found += check_older(root, generation, progress)
    if not any(finding.severity == "error" for finding in found):
        message = f"generation {number}: {len(generation.files)} files whole, {generation.documents} documents"
        yield Finding("index", "ok", message)
    yield from found
    yield _staged(root)
    yield from leftovers(root, number)


def _staged(root: Path) -> Finding:
    try:
        state = Staging(root).state()
    except (SamespaceError, IsADirectoryError) as error:
        fix = f"samespace repair {shell(root)} clears it; the next `samespace build` reads the sources again"
        message = error.message if isinstance(error, SamespaceError) else "staging/state.json is a folder"
        return Finding("staging", "warning", message, fix)
    if state is None:
        return Finding("staging", "ok", "nothing is staged")
    return Finding("staging", "note", f"{state.documents} documents are staged", f"samespace build --to {shell(root)}")
