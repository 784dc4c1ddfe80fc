"""The default: weighted, with weights from what each side can know of this query, so that a side with nothing to say
cannot hurt. An English question over Chinese passages matches no words: the dense list stands. A Chinese question to an
English-only model: the lexical list stands.
"""

from __future__ import annotations

from core.fusion import Fused, Lists
from core.fusion.weighted import combine


def fuse(lists: Lists) -> Fused:
    dense = lists.alpha * lists.dense_evidence if lists.dense else 0.0
    lexical = (1 - lists.alpha) * lists.lexical_evidence if lists.lexical else 0.0
    if not dense + lexical:
        # Neither side has evidence, or the one that has a list has no weight: a list alone stands, whatever its weight.
        only = bool(lists.dense) != bool(lists.lexical)
        dense, lexical = (
            (float(bool(lists.dense)), float(bool(lists.lexical))) if only else (lists.alpha, 1 - lists.alpha)
        )
    return combine(lists, dense / (dense + lexical), lexical / (dense + lexical))
