"""Exact search: every live row is scored. The judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.types import Match
from core.vectors import VectorSegment, best, score

_BLOCK = 1 << 16  # rows scored at once: what is held beyond the mapped vectors stays small
_FEW = 8  # a gathered row costs about as much as so many that are scanned


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
        rows, scores = _scores(segment, start, query, metric)
        if len(scores) > depth:
            # All rows that tie with the last one stay in, so that which of them is kept never depends on the partition.
            threshold = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            kept = np.flatnonzero(scores >= threshold)
        else:
            kept = np.arange(len(scores))
        matches += [Match(number, int(rows[n]), float(scores[n])) for n in kept if np.isfinite(scores[n])]
        matches = best(matches, depth)
    return matches


def _scores(
    segment: VectorSegment, start: int, query: NDArray[np.float32], metric: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The live rows of the block from `start`, and their scores; few of them are gathered, else the block is scored whole."""
    vectors, norms = segment.vectors[start : start + _BLOCK], segment.norms[start : start + _BLOCK]
    if segment.live is None:
        return start + np.arange(len(vectors)), score(vectors, norms, query, metric)
    live = np.flatnonzero(segment.live[start : start + _BLOCK])
    if len(live) * _FEW < len(vectors):
        return start + live, score(vectors[live], norms[live], query, metric)
    return start + live, score(vectors, norms, query, metric)[live]
