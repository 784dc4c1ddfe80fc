"""Two indexes: the spaces on their records, and how they cut chunks and words."""

from __future__ import annotations

from pathlib import Path

from core.index.reader import Index, reading
from core.pipeline.spaces import read_space
from core.space.against import Pair, compare_records
from core.space.record import SpaceRecord


def compare_indexes(here: Path, there: Path) -> tuple[Pair, SpaceRecord, SpaceRecord]:
    """The comparison, and the record of each. Raises NoIndexError, CorruptError, InconclusiveError."""
    (mine, view), (theirs, other) = (
        reading(root, lambda index: (read_space(index), _cuts(index))) for root in (here, there)
    )
    others = {name: (view[name], other[name]) for name in view if view[name] != other[name]}
    return Pair(compare_records(mine, theirs), others), mine, theirs


def _cuts(index: Index) -> dict[str, str]:
    return {"chunking": index.view.chunking, "analyzer": index.view.analyzer}
