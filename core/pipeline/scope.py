"""Which chunks a query's operators allow: a mask of rows, made before anything is ranked, so that no hit is missed for want
of depth. Postings say where a phrase can be, the texts where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.index.reader import Index
from core.pipeline.words import WordSide
from core.query import Excluded, Parsed
from core.types import Json

Mask = NDArray[np.bool_]
_MOST = 64  # operators of one query


@dataclass(frozen=True, slots=True)
class Scope:
    """`allowed[s]`: which rows of segment s may be hits (bool, one a chunk row). `steps`: how many each operator left."""

    allowed: list[Mask]
    chunks: int
    steps: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]

    @property
    def left(self) -> int:
        return sum(int(mask.sum()) for mask in self.allowed)

    def to_json(self) -> Json:
        return {
            "chunks": self.left,
            "of": self.chunks,
            "steps": [{"operator": what, "left": left} for what, left in self.steps],
        }

    def keys(self) -> Iterator[tuple[int, int]]:
        """Segment and row of every chunk that is allowed."""
        for number, mask in enumerate(self.allowed):
            yield from ((number, int(row)) for row in np.flatnonzero(mask))


def scope_of(index: Index, parsed: Parsed, words: Callable[[], WordSide]) -> Scope | None:
    """None where the query has no operators; `words` is asked only where one is about words.

    Raises UsageError for more than 64 operators, and what `filter_documents` raises.
    """
    if not parsed.operators:
        return None
    if parsed.operators > _MOST:
        raise UsageError(
            f"the query has {parsed.operators:,} phrases, exclusions and filters; {_MOST} are the most",
            fix="use fewer, or take all as text: --literal",
        )
    narrowing = _Narrowing(index)
    narrowing.filter(parsed)
    for term in parsed.excluded:
        narrowing.exclude(words(), term)
    for phrase in parsed.phrases:
        narrowing.require(words(), phrase)
    return Scope(narrowing.masks, narrowing.chunks, tuple(narrowing.steps), tuple(narrowing.notes))


class _Narrowing:
    def __init__(self, index: Index):
        self._index = index
        self.masks = [
            np.ones(segment.segment.chunks, dtype=np.bool_) if segment.live is None else segment.live.copy()
            for segment in index.segments
        ]
        self.steps: list[tuple[str, int]] = []
        self.notes: list[str] = []
        self.chunks = self._left

    @property
    def _left(self) -> int:
        return sum(int(mask.sum()) for mask in self.masks)

    def _step(self, what: str) -> None:
        self.steps.append((what, self._left))

    def filter(self, parsed: Parsed) -> None:
        if not parsed.filters:
            return
        from core.pipeline.filters import filter_documents

        documents = [
            np.ones(segment.segment.documents, dtype=np.bool_)
            if segment.live_documents is None
            else segment.live_documents.copy()
            for segment in self._index.segments
        ]
        self.notes += filter_documents(self._index, parsed.filters, documents)
        for mask, segment, kept in zip(self.masks, self._index.segments, documents, strict=True):
            mask &= kept[segment.chunk_documents]
        self._step(" ".join(map(str, parsed.filters)))

    def exclude(self, words: WordSide, term: Excluded) -> None:
        """A single word goes in all forms that its stem has; anything else to the letter."""
        tokens = words.analyzer.required(term.text)
        held = words.holding(tokens)
        if term.quoted or len(tokens) != 1 or not term.text.isalnum():
            held = self._verified(words, term.text, held)
        for mask, rows in zip(self.masks, held, strict=True):
            mask &= ~rows
        self._step(f'-"{term.text}"' if term.quoted else f"-{term.text}")

    def require(self, words: WordSide, phrase: str) -> None:
        held = self._verified(words, phrase, words.holding(words.analyzer.required(phrase)))
        for mask, rows in zip(self.masks, held, strict=True):
            mask &= rows
        self._step(f'"{phrase}"')

    def _verified(self, words: WordSide, phrase: str, held: list[Mask]) -> list[Mask]:
        """Of the rows `held` that are still allowed, those whose text holds the phrase."""
        analyzer, wanted = words.analyzer, words.analyzer.fold(phrase)
        found = []
        for segment, mask, rows in zip(self._index.segments, self.masks, held, strict=True):
            verified = np.zeros_like(rows)
            for row, text in segment.searched_texts(map(int, np.flatnonzero(mask & rows))):
                verified[row] = analyzer.holds(analyzer.fold(text), wanted)
            found.append(verified)
        return found
