"""From ranked candidates to what is shown: near-duplicates folded, documents capped, diversity, neighbours joined."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from core.index.reader import Index
from core.pipeline.hits import place
from core.text import folded
from core.types import Chunk, Document, Hit

Key = tuple[int, int]  # segment, row
ALIKE = 0.97  # cosine
_POOL = 5  # candidates that MMR looks at for each hit
_LEAST = 50
_NUMBER = re.compile(r"\d+")


def unit_vectors(index: Index, keys: Sequence[Key]) -> NDArray[np.float32]:
    """The stored vectors of chunks (keys × dimension), each of length 1; a vector of zeros stays one."""
    tables = [segment.vectors for segment in index.segments]
    vectors = [table.array("vectors", "<f4", 2) for table in tables]
    if not keys:
        return np.zeros((0, 0), dtype=np.float32)
    rows = np.stack([vectors[segment][row] for segment, row in keys])
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30), dtype=np.float32)


def texts_of(index: Index, keys: Sequence[Key]) -> dict[Key, str]:
    """The chunks' texts; every document is read once."""
    rows: dict[int, list[int]] = {}
    for segment, row in sorted(keys):
        rows.setdefault(segment, []).append(row)
    return {(n, row): text for n, mine in rows.items() for row, text in index.segments[n].texts(mine)}


def fold(
    order: Sequence[Key], texts: Mapping[Key, str], units: NDArray[np.float32] | None, most: int
) -> dict[Key, list[Key]]:
    """The first `most` of `order` that are not like one before them, each with those of all the others that are like it.

    Alike: the same text after folding; or, where there are vectors (keys × dimension, length 1), a cosine of 0.97 and the
    same numbers in the text, so that two lines of a table or a log stay two.
    """
    kept: dict[Key, list[Key]] = {}
    by_text: dict[str, Key] = {}
    numbers: list[list[str]] = []  # of the kept, as their vectors are
    vectors = np.zeros((0, 0)) if units is None else np.empty_like(units[:most])
    for number, key in enumerate(order):
        words = folded(texts[key])
        mine = _NUMBER.findall(words)
        like = by_text.get(words)
        if like is None and units is not None:
            close = np.flatnonzero(vectors[: len(kept)] @ units[number] >= ALIKE)
            at = next((int(n) for n in close if numbers[int(n)] == mine), None)
            like = None if at is None else next(islice(kept, at, None))
        if like is not None:
            kept[like].append(key)
        elif len(kept) < most:
            if units is not None:
                vectors[len(kept)] = units[number]
            kept[key], by_text[words] = [], key
            numbers.append(mine)
    return kept


def capped(order: Sequence[Key], document: Callable[[Key], str], most: int) -> list[Key]:
    """`order` with the best `most` of each document."""
    counts: Counter[str] = Counter()
    kept = []
    for key in order:
        counts[document(key)] += 1
        if counts[document(key)] <= most:
            kept.append(key)
    return kept


def pool(k: int) -> int:
    return max(_LEAST, _POOL * k)


def mmr(relevance: Sequence[float], units: NDArray[np.float32], weight: float, most: int) -> list[tuple[int, float]]:
    """Places of `relevance` in the order of maximal marginal relevance, and what each was worth when it was chosen: weight ×
    relevance - (1 - weight) × the greatest cosine to one chosen before. Never rising; ties by place.

    `relevance` is scaled to [0, 1], as BM25 knows no bounds; `units` (places × dimension) are of length 1. Carbonell and
    Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries" (1998).
    """
    scores = np.asarray(relevance, dtype=np.float64)
    span = np.ptp(scores) if len(scores) else 0.0
    scaled = (scores - scores.min()) / span if span else np.ones_like(scores)
    nearest = np.zeros_like(scaled)
    left = np.ones(len(scores), dtype=np.bool_)
    chosen: list[tuple[int, float]] = []
    while len(chosen) < min(most, len(scores)):
        worth = np.where(left, weight * scaled - (1 - weight) * nearest, -np.inf)
        best = int(np.argmax(worth))
        chosen.append((best, float(worth[best])))
        left[best] = False
        nearest = np.maximum(
            nearest, units @ units[best]
        )  # at least 0: what points the other way is no more than different
    return chosen


def passages(hits: Sequence[Hit], document: Callable[[Hit], Document]) -> list[Hit]:
    """`hits` (chunks) with those joined that are neighbours in their document: ordinal, score and trail are those of the
    best, the text is that of the document from the first start to the last end.
    """
    by_place: Mapping[tuple[str, int], int] = {
        (hit.chunk.document_id, hit.chunk.ordinal): n for n, hit in enumerate(hits)
    }
    joined = []
    for (name, ordinal), _ in by_place.items():
        if (name, ordinal - 1) in by_place:
            continue
        run = [by_place[name, ordinal]]
        while (name, ordinal + len(run)) in by_place:
            run.append(by_place[name, ordinal + len(run)])
        joined.append((min(run), [hits[n] for n in run]))
    return [_joined(hits[best], run, document(hits[best])) for best, run in sorted(joined, key=lambda pair: pair[0])]


def _joined(best: Hit, run: Sequence[Hit], document: Document) -> Hit:
    start, end = min(hit.chunk.start for hit in run), max(hit.chunk.end for hit in run)
    chunk = Chunk(best.chunk.document_id, best.chunk.ordinal, start, end, document.text[start:end], best.chunk.context)
    alike = tuple(one for hit in run for one in hit.alike)
    return replace(
        best, chunk=chunk, place=place(document, chunk), alike=alike, ordinals=tuple(hit.chunk.ordinal for hit in run)
    )
