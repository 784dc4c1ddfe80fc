"""The word side of a search: the analyzer, the postings of every segment, and BM25 over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.index.reader import Index
from core.lexical import ANALYZERS, Analyzer
from core.lexical.bm25 import Bm25
from core.lexical.postings import Postings
from core.pipeline.analyzers import check_analyzer

Mask = NDArray[np.bool_]
Key = tuple[int, int]  # segment, row


class WordSide:
    """Raises FormatError where the index cut its words another way, CorruptError."""

    def __init__(self, index: Index):
        self.analyzer: Analyzer = ANALYZERS.load(index.generation.settings["analyzer"]["name"])()
        check_analyzer(self.analyzer, index)
        self._postings = [Postings(segment.lexical) for segment in index.segments]
        for segment, words in zip(index.segments, self._postings, strict=True):
            if len(words) != segment.segment.chunks:
                name = segment.segment.files(index.view)["lexical"]
                raise index.damaged(name, "its postings are of another number of chunks")
        self._bm25 = Bm25(self._postings, [segment.live for segment in index.segments])

    def search(self, tokens: Sequence[str], depth: int, allowed: Sequence[Mask] | None = None) -> dict[Key, float]:
        return {(m.segment, m.row): m.score for m in self._bm25.search(tokens, depth, allowed)}

    def evidence(self, tokens: Sequence[str]) -> float:
        return self._bm25.evidence(tokens)

    def holding(self, tokens: Sequence[str]) -> list[Mask]:
        """The rows of each segment that hold all of the tokens, dead ones too: all rows without tokens."""
        masks = []
        for postings in self._postings:
            mask = np.ones(len(postings), dtype=np.bool_)
            for token in tokens:
                rows, _ = postings.find(token)
                held = np.zeros_like(mask)
                held[rows] = True
                mask &= held
                if not len(rows):
                    break
            masks.append(mask)
        return masks
