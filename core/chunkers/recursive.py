"""Cut at the best boundary that fits: paragraph, then line, sentence, clause, white space, and a token's edge last.

Sentence ends of Chinese and English are known; a full stop inside a number, a version, an address or a common
abbreviation ends nothing. Sizes count tokens of the text with its context and the model's own special tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.chunkers import ChunkSettings, trim
from core.encoders import Encoder
from core.types import Chunk, Document

_CLOSING = r"[\"'”’»)\]）】》」』〉]*"
_ABBREVIATIONS = (
    r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)(?<!\bNo)(?<!\bcf)(?<!\bMrs)(?<!\be\.g)(?<!\bi\.e)(?<!\betc)"
)
# From the best boundary to the worst. A boundary lies where a match ends, so the mark stays with what it closes.
# Runs of marks are tried from their first one only and never given back: a line of dots takes linear time.
_BOUNDARIES = (
    re.compile(r"\n[^\S\n]*\n\s*|\n(?=#{1,6}\s)"),
    re.compile(r"\n\s*"),
    re.compile(
        rf"(?:(?<![!?])[!?]*+[。！？…][。！？!?…]*|；){_CLOSING}\s*"
        rf"|(?<![!?])[!?]++{_CLOSING}+(?:\s+|(?=[^\x00-\x7f]))"  # not the ? within an address
        rf"|(?<!\.){_ABBREVIATIONS}\.++{_CLOSING}\s+"
    ),
    re.compile(rf"[，、：,;:]{_CLOSING}(?:\s+|(?<=[，、：])(?=\S))"),
    re.compile(r"\s+"),
)


class RecursiveChunker:
    def __init__(self, settings: ChunkSettings, encoder: Encoder):
        self._settings, self._encoder = settings, encoder
        self._special = encoder.count_tokens("", "passage")

    def chunk(self, document: Document) -> Iterator[Chunk]:
        text = document.text
        tokens = self._encoder.token_starts(text)
        context = self._context(document.title)
        budget = min(self._settings.size, self._limit(context))
        cuts = [np.array([match.end() for match in pattern.finditer(text)], dtype=np.int64) for pattern in _BOUNDARIES]
        ordinal, covered = 0, 0
        for start, end in self._spans(text, tokens, cuts, budget):
            for a, b in self._fitting(text, start, end, context):
                if b > a and b > covered:
                    yield Chunk(document.id, ordinal, a, b, text[a:b], context)
                    ordinal, covered = ordinal + 1, b
        if not ordinal and context:
            yield Chunk(document.id, 0, 0, 0, "", context)

    def _context(self, title: str) -> str:
        """The title, cut to a quarter of what the model takes, so that it never crowds out the text."""
        starts = self._encoder.token_starts(title)
        most = self._encoder.space.max_tokens // 4
        return title if len(starts) <= most else title[: int(starts[most])].rstrip()

    def _limit(self, context: str) -> int:
        """How many tokens of text the model takes beside the context."""
        used = self._special + (len(self._encoder.token_starts(context)) + 1 if context else 0)
        return max(4, self._encoder.space.max_tokens - used)

    def _spans(
        self, text: str, tokens: NDArray[np.int64], cuts: list[NDArray[np.int64]], budget: int
    ) -> Iterator[tuple[int, int]]:
        """Spans of at most `budget` tokens that cover the text, each after the first beginning with the overlap."""
        start, stop = trim(text, 0, len(text))
        while start < stop:
            first = bisect_left(tokens, start)
            if len(tokens) - first <= budget:
                yield start, stop
                return
            furthest = int(tokens[first + budget])
            middle = int(tokens[first + budget // 2])
            end = max(_best_cut(cuts, middle, furthest) or furthest, start + 1)
            yield trim(text, start, end)
            start = trim(text, max(self._overlapping(tokens, cuts, start, end), start + 1), stop)[0]

    def _overlapping(self, tokens: NDArray[np.int64], cuts: list[NDArray[np.int64]], start: int, end: int) -> int:
        """Where the next chunk begins: `end`, or earlier by at most the overlap, at a sentence's beginning or a word's."""
        if not self._settings.overlap:
            return end
        earliest = int(tokens[max(bisect_left(tokens, end) - self._settings.overlap, 0)])
        if earliest <= start:
            return end
        for boundaries in (cuts[2], cuts[4]):
            position = bisect_left(boundaries, earliest)
            if position < len(boundaries) and boundaries[position] < end:
                return int(boundaries[position])
        return earliest

    def _fitting(self, text: str, start: int, end: int, context: str) -> Iterator[tuple[int, int]]:
        """The span, halved until the whole input fits the model: tokens of a part may be cut differently than in the whole."""
        start, end = trim(text, start, end)
        whole = self._encoder.space.fill_template(context, text[start:end])
        if end - start < 2 or self._encoder.count_tokens(whole, "passage") <= self._encoder.space.max_tokens:
            yield start, end
            return
        middle = (start + end) // 2
        space = text.rfind(" ", start + 1, middle)
        middle = space if space > start + (end - start) // 4 else middle
        yield from self._fitting(text, start, middle, context)
        yield from self._fitting(text, middle, end, context)


def _best_cut(cuts: list[NDArray[np.int64]], middle: int, furthest: int) -> int | None:
    """The last boundary of the best kind in the second half of what fits."""
    for boundaries in cuts:
        position = bisect_right(boundaries, furthest) - 1
        if position >= 0 and boundaries[position] > middle:
            return int(boundaries[position])
    return None
