"""Binary search: candidates by their codes, scored exactly. A segment without codes is searched exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.types import Match
from core.vectors import VectorSegment, best, score
from core.vectors.exact import search_segment

_MORE = 4  # candidates for each hit that is asked for beyond the ten that the depth was found for


class BinarySearcher:
    def __init__(self, segments: Sequence[VectorSegment], metric: str):
        self._segments, self._metric = segments, metric

    def search(self, query: NDArray[np.float32], depth: int) -> list[Match]:
        matches: list[Match] = []
        for number, segment in enumerate(self._segments):
            rows = None if segment.codes is None else candidates(segment, query, depth)
            if rows is None:
                matches += search_segment(segment, number, query, depth, self._metric)
                continue
            scores = score(segment.vectors[rows], segment.norms[rows], query, self._metric)
            order = np.lexsort((rows, -scores))[:depth]
            matches += [Match(number, int(rows[n]), float(scores[n])) for n in order]
        return best(matches, depth)


def candidates(segment: VectorSegment, query: NDArray[np.float32], depth: int) -> NDArray[np.int64] | None:
    """The rows to score; None where that would be a good part of the segment, which is then quicker to score whole."""
    assert segment.codes is not None
    wanted = max(segment.codes.depth, depth * _MORE)
    if wanted * 8 > len(segment.vectors) or not query.any():
        return None
    return segment.codes.nearest(query, wanted, segment.live)
