"""A new piece of evidence about a space, published as a generation that differs in nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import LockedError
from core.index.generation import Generation
from core.index.reader import open_index
from core.index.successor import following, publish_over
from core.index.writer import NewFile, next_number, writing
from core.progress import SILENT, Progress
from core.space.evidence import evidence_name


def publish_evidence(
    root: Path,
    base: Generation,
    kind: str,
    data: bytes,
    *,
    model: Mapping[str, Any] | None = None,
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> Generation:
    """Publish the generation after `base` that names `data` as evidence of its space, and `model` as the index's where one
    is given. Work that is staged was made for `base` and is dropped. Raises LockedError (also when another generation was
    published meanwhile), StorageError, CorruptError.
    """
    with writing(root, wait, progress.note):
        index = open_index(root)
        if index.generation.generation != base.generation:
            raise LockedError(
                "another generation was published meanwhile, so this evidence is not about what is there now",
                path=root,
                fix="run the same command again",
            )
        for name in base.files:
            index.verified(name)
        number = next_number(root)
        generation = following(base, number, model=dict(model or base.model))
        new = NewFile(evidence_name(base.primary.space, kind, number), data)
        published, notes = publish_over(root, generation, [new])
    for note in notes:
        progress.note(note)
    return published
