"""Exact search: every live row is scored. The judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.types import Match
from core.vectors import VectorSegment, best, score

_BLOCK = 1 << 16  # rows scored at once: what is held beyond the mapped vectors stays small


class ExactSearcher:
    def __init__(self, segments: Sequence[VectorSegment], metric: str):
        self._segments, self._metric = segments, metric

    def search(self, query: NDArray[np.float32], depth: int) -> list[Match]:
        matches: list[Match] = []
        for number, segment in enumerate(self._segments):
            matches += search_segment(segment, number, query, depth, self._metric)
        return best(matches, depth)


def search_segment(
    segment: VectorSegment, number: int, query: NDArray[np.float32], depth: int, metric: str
) -> list[Match]:
    matches: list[Match] = []
    for start in range(0, len(segment.vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = score(segment.vectors[rows], segment.norms[rows], query, metric)
        if segment.live is not None:
            scores = np.where(segment.live[rows], scores, -np.inf)
        if len(scores) > depth:
            # All rows that tie with the last one stay in, so that which of them is kept never depends on the partition.
            threshold = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            kept = np.flatnonzero(scores >= threshold)
        else:
            kept = np.arange(len(scores))
        matches += [Match(number, start + int(row), float(scores[row])) for row in kept if np.isfinite(scores[row])]
        matches = best(matches, depth)
    return matches
