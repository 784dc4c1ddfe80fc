"""Do two indexes lie in the same space? Their records are compared: no model is needed, both kept what it said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InconclusiveError
from core.space.canaries import LEAST, SIDES, compare
from core.space.record import SpaceRecord
from core.space.verify import Verdict, ranks_otherwise


@dataclass(frozen=True, slots=True)
class Pair:
    """`verdict` on the vectors; `others` differ beside the space (chunking, analyzer): name -> (here, there)."""

    verdict: Verdict
    others: Mapping[str, tuple[Any, Any]]

    def to_json(self) -> dict[str, Any]:
        others = {name: {"index": a, "against": b} for name, (a, b) in self.others.items()}
        return {**self.verdict.to_json(), "others": others}


def compare_records(here: SpaceRecord, there: SpaceRecord) -> Verdict:
    """The verdict on the vectors of two indexes by the canaries that both recorded, each with the same context.

    Raises InconclusiveError when they share none.
    """
    differences = here.space.differences(there.space)
    if ranks_otherwise(here.metric, here.space, there.metric, there.space):
        differences["metric"] = (here.metric, there.metric)
    rows = _common(here, there)
    if len(rows) < LEAST:
        raise InconclusiveError(
            f"the two indexes have {len(rows) or 'no'} canaries in common, so their spaces cannot be compared without a model",
            fix="build one of them again with this version, or verify both against one model: samespace verify-space INDEX --model NAME",
            details={"differences": {name: list(pair) for name, pair in differences.items()}},
        )
    mine, theirs = (np.array(places) for places in zip(*rows, strict=True))
    agreement = compare(
        {side: here.canaries.vectors(side)[mine] for side in SIDES},
        {side: there.canaries.vectors(side)[theirs] for side in SIDES},
        min(here.row_tolerance, there.row_tolerance),
    )
    return Verdict(there.model.name, differences, agreement, "as recorded by both")


def _common(here: SpaceRecord, there: SpaceRecord) -> list[tuple[int, int]]:
    """The places of the canaries that both have."""
    known = {text: place for place, text in enumerate(_texts(there))}
    return [(place, known[text]) for place, text in enumerate(_texts(here)) if text in known]


def _texts(record: SpaceRecord) -> list[tuple[str, str]]:
    texts = record.canaries.texts
    return list(zip(texts, record.canaries.contexts or ("",) * len(texts), strict=True))
