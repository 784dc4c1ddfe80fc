"""Rerankers read query and passage together and score them anew. Higher is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.registry import Registry

RERANKERS = Registry(
    "reranker",
    {
        "maxsim": "core.rerankers.maxsim:MaxSimReranker",
        "cross-encoder": "core.rerankers.cross_encoder:CrossEncoderReranker",
    },
)
DEFAULT_RERANKER = "maxsim"


class Reranker(Protocol):
    name: str

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """One score a passage, in their order; finite."""
        ...
