"""stats: how much of what an index holds, counted from its tables. No model is loaded."""

from __future__ import annotations

import calendar
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.check.files import kind_of
from core.history import live_chunks
from core.index.generation import Generation
from core.index.reader import Index, SegmentReader, reading
from core.language import shares
from core.lexical.postings import Postings
from core.pipeline.spaces import read_space

_KINDS = {"graph": "graphs"}  # how they are called here


@dataclass(frozen=True, slots=True)
class SegmentStats:
    """Rows with the dead ones, the live ones of them, and the bytes of all the segment's files."""

    name: str
    documents: int
    live_documents: int
    chunks: int
    live_chunks: int
    size: int


@dataclass(frozen=True, slots=True)
class Spread:
    mean: float
    median: float
    max: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Of the live documents, where nothing else is said. `dead` is the share of stored documents that are dead; `tokens`
    are words as lexical search counts them; sizes in bytes; `age` in seconds, None when the generation's time is no time.
    """

    generation: int
    created: str
    age: int | None
    documents: int
    chunks: int
    dead: float
    segments: tuple[SegmentStats, ...]
    terms: int
    tokens: int
    chunk_tokens: Spread
    chunk_characters: Spread
    languages: dict[str, float]
    bytes: dict[str, int]
    dimension: int
    sources: dict[str, int]


def stats(root: Path) -> Stats:
    """Raises NoIndexError, CorruptError, FormatError."""
    return reading(root, _count)


def _count(index: Index) -> Stats:
    generation = index.generation
    stored = sum(segment.documents for segment in generation.segments)
    terms: set[bytes] = set()
    tokens, characters, sources = [], [], Counter({source.name: 0 for source in generation.sources})
    for segment in index.segments:
        lengths, live_terms = _words(index, segment)
        terms |= live_terms
        tokens.append(lengths)
        characters.append(_characters(segment))
        sources.update(_sources(segment))
    all_tokens = _joined(tokens)
    return Stats(
        generation=generation.generation,
        created=generation.created,
        age=_age(generation.created),
        documents=generation.documents,
        chunks=len(all_tokens),
        dead=1 - generation.documents / stored if stored else 0.0,
        segments=tuple(_segment(generation, segment) for segment in index.segments),
        terms=len(terms),
        tokens=int(all_tokens.sum()),
        chunk_tokens=_spread(all_tokens),
        chunk_characters=_spread(_joined(characters)),
        languages=shares(generation.languages.get("thousandths", {})),
        bytes=_sizes(generation),
        dimension=read_space(index).space.dimension,
        sources=dict(sorted(sources.items())),
    )


def _words(index: Index, segment: SegmentReader) -> tuple[NDArray[Any], set[bytes]]:
    """The lengths of the live chunks, and the terms that any of them holds. Raises CorruptError."""
    table, live = segment.lexical, segment.live
    postings = Postings(table)
    terms, starts, rows = table.strings("terms"), table.array("starts", "<i8"), table.array("rows", "<i4")
    chunks = segment.segment.chunks
    if len(postings) != chunks or (len(rows) and not 0 <= rows.min() <= rows.max() < chunks):
        raise index.damaged(segment.segment.files(segment.view)["lexical"], "its rows do not fit the segment")
    if live is None:
        return postings.lengths, {terms.raw(n) for n in range(len(terms))}
    before = np.concatenate([[0], np.cumsum(live[rows])])  # live postings before each
    return postings.lengths[live], {terms.raw(n) for n in np.flatnonzero(np.diff(before[starts])).tolist()}


def _characters(segment: SegmentReader) -> NDArray[Any]:
    """The lengths of the live chunks in characters."""
    start, end = segment.spans
    lengths = end - start
    return lengths if segment.live is None else lengths[segment.live]


def _sources(segment: SegmentReader) -> Counter[str]:
    column, mask = segment.document_sources(), segment.live_documents
    rows = range(len(column)) if mask is None else np.flatnonzero(mask).tolist()
    counted = Counter(column.raw(row) for row in rows)
    return Counter({name.decode("utf-8", "replace"): count for name, count in counted.items()})


def _segment(generation: Generation, reader: SegmentReader) -> SegmentStats:
    segment = reader.segment
    dead = len(generation.dead.get(segment.name, ()))
    names = {*segment.files(reader.view).values()}
    names |= {name for kind in ("hnsw", "codes") if (name := segment.find(kind, reader.view, generation.files))}
    size = sum(generation.files[name].size for name in names)
    return SegmentStats(
        segment.name, segment.documents, segment.documents - dead, segment.chunks, live_chunks(reader), size
    )


def _sizes(generation: Generation) -> dict[str, int]:
    """The bytes of all files by kind."""
    sizes = dict.fromkeys(("documents", "chunks", "lexical", "vectors", "codes", "graphs", "encoder", "space"), 0)
    for name, digest in generation.files.items():
        sizes[_KINDS.get(kind := kind_of(name), kind)] += digest.size
    return sizes


def _spread(lengths: NDArray[Any]) -> Spread:
    if not len(lengths):
        return Spread(0.0, 0.0, 0)
    return Spread(float(lengths.mean()), float(np.median(lengths)), int(lengths.max()))


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)


def _age(created: str) -> int | None:
    """Seconds since then; 0 when this machine's clock is behind."""
    try:
        return max(0, int(time.time()) - calendar.timegm(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ")))
    except (ValueError, OverflowError):
        return None
