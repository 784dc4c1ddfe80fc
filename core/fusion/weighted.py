"""alpha * dense + (1 - alpha) * lexical, each side min-max normalised over its own list."""

from __future__ import annotations

from collections.abc import Mapping

from core.fusion import Fused, Key, Lists


def fuse(lists: Lists) -> Fused:
    return combine(lists, lists.alpha, 1 - lists.alpha)


def combine(lists: Lists, dense_weight: float, lexical_weight: float) -> Fused:
    """A side without weight has nothing to say: what only it found is left out."""
    dense = normalized(lists.dense) if dense_weight else {}
    lexical = normalized(lists.lexical) if lexical_weight else {}
    scores = {
        key: dense_weight * dense.get(key, 0.0) + lexical_weight * lexical.get(key, 0.0) for key in {**dense, **lexical}
    }
    return Fused(scores, dense_weight, lexical_weight)


def normalized(scores: Mapping[Key, float]) -> dict[Key, float]:
    """To [0, 1]; a list in which all are equal says only that they were found: 1 each."""
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    return {key: (value - low) / (high - low) if high > low else 1.0 for key, value in scores.items()}
