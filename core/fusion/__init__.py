"""Fusions make one list of a dense and a lexical one. Higher is better; every candidate is scored by both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core.registry import Registry

FUSIONS = Registry(
    "fusion",
    {
        "auto": "core.fusion.auto:fuse",
        "weighted": "core.fusion.weighted:fuse",
        "rrf": "core.fusion.rrf:fuse",
    },
)
DEFAULT_ALPHA = 0.7

Key = tuple[int, int]  # segment, row


@dataclass(frozen=True, slots=True)
class Lists:
    """What a fusion sees of one query: each side's scores by candidate, and how much each side has to say.

    Evidence is in [0, 1]: `lexical` the share of the query's idf mass that any document matches, `dense` what is known
    of the model and the query (1 unless something speaks against it).
    """

    dense: Mapping[Key, float]
    lexical: Mapping[Key, float]
    dense_evidence: float = 1.0
    lexical_evidence: float = 1.0
    alpha: float = DEFAULT_ALPHA


@dataclass(frozen=True, slots=True)
class Fused:
    """The fused score of every candidate that a side with weight found, and the weight each side had."""

    scores: Mapping[Key, float]
    dense_weight: float
    lexical_weight: float


class Fusion(Protocol):
    def __call__(self, lists: Lists) -> Fused: ...
