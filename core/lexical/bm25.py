"""BM25 over the live rows of several segments, computed from counts when a query comes.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), in the variant of Lucene's
BM25Similarity: idf = ln(1 + (N - df + 0.5) / (df + 0.5)), never negative; and no factor k1 + 1, which ranks nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.lexical.postings import Postings
from core.types import Match

Live = NDArray[np.bool_] | None


class Bm25:
    """Scores rows. `live[s]` says which rows of segment s count (bool, one a row); None: all of them.

    Number of rows, document frequencies and mean length are those of the live rows of all segments together,
    so scores do not depend on how rows are spread over segments, nor on dead rows that wait to be merged away.
    """

    def __init__(self, segments: Sequence[Postings], live: Sequence[Live], k1: float = 0.9, b: float = 0.4):
        self._segments = list(zip(segments, live, strict=True))
        self._k1 = k1
        self._b = b
        lengths = [postings.lengths if alive is None else postings.lengths[alive] for postings, alive in self._segments]
        self._rows = sum(map(len, lengths))
        total = sum(int(part.sum(dtype=np.int64)) for part in lengths)
        self._mean = total / self._rows if total else 1.0

    def search(
        self, tokens: Sequence[str], depth: int, allowed: Sequence[NDArray[np.bool_]] | None = None
    ) -> list[Match]:
        """The best `depth` rows by score, ties by segment and row. A repeated token counts as often as it occurs.

        `allowed[s]` says which rows of segment s may be found (bool, one a row); scores are those of the whole index.
        """
        scores = [np.zeros(len(postings)) for postings, _ in self._segments]  # float64
        for token, times in Counter(tokens).items():
            found = self._find(token)
            weight = times * self._idf(sum(len(rows) for rows, _ in found))
            for score, (postings, _), (rows, counts) in zip(scores, self._segments, found, strict=True):
                norm = self._k1 * (1 - self._b + self._b * postings.lengths[rows] / self._mean)
                score[rows] += weight * counts / (counts + norm)
        for score, mask in zip(scores, allowed or (), strict=allowed is not None):
            score[~mask] = 0.0
        return _best(scores, depth)

    def evidence(self, tokens: Sequence[str]) -> float:
        """The share, 0 to 1, of the query's idf that lies on tokens which occur in a live row; 0 without tokens.

        A token that occurs nowhere weighs the most, so a query in a language the documents lack comes out near 0.
        """
        known = everything = 0.0
        for token, times in Counter(tokens).items():
            frequency = sum(len(rows) for rows, _ in self._find(token))
            weight = times * self._idf(frequency)
            everything += weight
            known += weight if frequency else 0.0
        return known / everything if everything else 0.0

    def _idf(self, frequency: int) -> float:
        return math.log1p((self._rows - frequency + 0.5) / (frequency + 0.5))

    def _find(self, token: str) -> list[tuple[NDArray[np.int32], NDArray[np.uint16]]]:
        """The live postings of `token`, one pair of rows and counts a segment."""
        found = []
        for postings, alive in self._segments:
            rows, counts = postings.find(token)
            if alive is not None:
                rows, counts = rows[alive[rows]], counts[alive[rows]]
            found.append((rows, counts))
        return found


def _best(scores: Sequence[NDArray[np.float64]], depth: int) -> list[Match]:
    """The `depth` highest scores above 0, of rows that hold one of the tokens; `scores[s][r]` is that of row r in segment s."""
    matched = [np.flatnonzero(score) for score in scores]
    flat = np.concatenate([score[rows] for score, rows in zip(scores, matched, strict=True)] or [np.zeros(0)])
    segment = np.repeat(np.arange(len(scores)), [len(rows) for rows in matched])
    row = np.concatenate([*matched, np.zeros(0, dtype=np.int64)])
    depth = max(0, min(depth, len(flat)))
    if not depth:
        return []
    least = np.partition(flat, len(flat) - depth)[len(flat) - depth]
    kept = np.flatnonzero(flat >= least)  # every tie of the last one, so that the stable sort can decide
    order = kept[np.argsort(-flat[kept], kind="stable")][:depth]
    return [Match(int(segment[i]), int(row[i]), float(flat[i])) for i in order]
