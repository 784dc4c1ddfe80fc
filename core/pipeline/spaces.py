"""The record of an index's space, from where it lies: published, or staged by a first run that has not finished."""

from __future__ import annotations

from core.index.columns import Table
from core.index.reader import Index
from core.index.staging import Staging
from core.index.state import State
from core.space.record import SpaceRecord, read_record


def space_files(space: str) -> tuple[str, str]:
    return f"spaces/{space}/space.json", f"spaces/{space}/canaries"


def read_space(index: Index) -> SpaceRecord:
    """The space of the primary view. Raises CorruptError."""
    name, canaries = space_files(index.view.space)
    path = index.verified(name)
    return read_record(path.read_bytes(), index.table(canaries), str(path))


def staged_space(staging: Staging, state: State) -> SpaceRecord | None:
    """The space of an index that has published nothing yet, or None before its first `embed` or when damaged. Raises CorruptError."""
    if not staging.has(state, "space.json") or not staging.has(state, "canaries"):
        return None
    path, canaries = staging.path("space.json"), staging.path("canaries")
    return read_record(path.read_bytes(), Table(canaries), str(path))
