"""Reciprocal rank fusion, k = 60 (Cormack, Clarke & Büttcher 2009). Both sides count alike."""

from __future__ import annotations

from core.fusion import Fused, Key, Lists

_K = 60


def fuse(lists: Lists) -> Fused:
    scores: dict[Key, float] = {}
    for side in (lists.dense, lists.lexical):
        for rank, key in enumerate(sorted(side, key=lambda key: (-side[key], str(key))), start=1):
            scores[key] = scores.get(key, 0.0) + 1 / (_K + rank)
    return Fused(scores, 1.0, 1.0)
