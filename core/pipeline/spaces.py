"""The record of an index's space, from where it lies: published, or staged by a first run that has not finished."""

from __future__ import annotations

from core.index.columns import Table
from core.index.reader import Index
from core.index.staging import Staging
from core.space.record import SpaceRecord, read_record


def space_files(space: str) -> tuple[str, str]:
    return f"spaces/{space}/space.json", f"spaces/{space}/canaries"


def read_space(index: Index) -> SpaceRecord:
    """The space of the primary view. Raises CorruptError."""
    name, canaries = space_files(index.view.space)
    path = index.verified(name)
    return read_record(path.read_bytes(), index.table(canaries), str(path))


def staged_space(staging: Staging) -> SpaceRecord | None:
    """The space of an index that has published nothing yet, or None before its first `embed`. Raises CorruptError."""
    path, canaries = staging.path("space.json"), staging.path("canaries")
    if not path.is_file() or not canaries.is_file():
        return None
    return read_record(path.read_bytes(), Table(canaries), str(path))
