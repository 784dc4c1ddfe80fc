"""Binary search: candidates by their codes, scored exactly. A segment without codes is searched exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.types import Match
from core.vectors import VectorSegment, best, score
from core.vectors.exact import search_segment

_AT_ONCE = 512  # rows gathered and scored together: they stay in the cache, and BLAS starts no threads for so few
_MORE = 4  # candidates for each hit that is asked for beyond the ten that the depth was found for


class BinarySearcher:
    def __init__(self, segments: Sequence[VectorSegment], metric: str):
        self._segments, self._metric = segments, metric

    def search(self, query: NDArray[np.float32], depth: int) -> list[Match]:
        matches: list[Match] = []
        for number, segment in enumerate(self._segments):
            rows = None if segment.codes is None else candidates(segment, query, depth, self._metric)
            if rows is None:
                matches += search_segment(segment, number, query, depth, self._metric)
                continue
            scores = self._rescore(segment, rows, query)
            least = np.partition(scores, len(scores) - depth)[len(scores) - depth] if len(scores) > depth else -np.inf
            matches += [Match(number, int(rows[n]), float(scores[n])) for n in np.flatnonzero(scores >= least)]
        return best(matches, depth)

    def _rescore(
        self, segment: VectorSegment, rows: NDArray[np.int64], query: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        parts = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
        scores = [
            score(np.take(segment.vectors, part, axis=0), segment.norms[part], query, self._metric) for part in parts
        ]
        return np.concatenate(scores) if scores else np.zeros(0, dtype=np.float32)


def candidates(segment: VectorSegment, query: NDArray[np.float32], depth: int, metric: str) -> NDArray[np.int64] | None:
    """The rows to score; None where that would be a good part of the segment, which is then quicker to score whole."""
    assert segment.codes is not None
    wanted = max(segment.codes.depth, depth * _MORE)
    if wanted * 8 > len(segment.vectors) or not query.any():
        return None
    return segment.codes.nearest(query, wanted, metric, segment.live)
