"""Do the parts of a generation fit one another? Spans lie in their documents, every chunk has its words and its vector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError, SamespaceError, shell
from core.index.reader import Index, SegmentReader
from core.index.staging import row_runs
from core.lexical.postings import Postings
from core.pipeline.spaces import read_space
from core.space.record import SpaceRecord
from core.types import Finding
from core.vectors.codes import read_codes
from core.vectors.graph_file import verify_graph

_BLOCK = 1 << 14  # rows at once
_SAMPLE = 1000  # rows, where not all of them are looked at


def check_structure(index: Index, all_rows: bool) -> Iterator[Finding]:
    """Findings about the published generation, whose files have their digests. `all_rows`: the numbers of every vector are
    looked at, not of a spread sample."""
    again = f"build another index in a new place: samespace build FOLDER --to NEW.index (not {shell(index.root)})"
    try:
        record = read_space(index)
    except SamespaceError as error:
        yield Finding("space", "error", error.message, again)
        return
    seen: dict[str, str] = {}
    for segment in index.segments:
        name = segment.segment.name
        try:
            yield from _segment(index, segment, record, all_rows, again)
            yield from _twice(segment, seen, again)
        except SamespaceError as error:
            yield Finding("segment", "error", f"segment {name}: {error.message} ({error.path})", again)
        except PermissionError as error:
            fix = "check who owns the path and its permissions"
            yield Finding("segment", "error", f"segment {name}: permission denied ({error.filename})", fix)


def _twice(segment: SegmentReader, seen: dict[str, str], fix: str) -> Iterator[Finding]:
    name, mask = segment.segment.name, segment.live_documents
    for row, document_id in enumerate(segment.document_ids()):
        if mask is None or mask[row]:
            if document_id in seen:
                message = f"the document {document_id!r} lives in the segments {seen[document_id]} and {name}"
                yield Finding("documents", "error", message, fix)
            seen[document_id] = name


def _segment(
    index: Index, segment: SegmentReader, record: SpaceRecord, all_rows: bool, again: str
) -> Iterator[Finding]:
    name, chunks = segment.segment.name, segment.segment.chunks
    remake = f"samespace repair {shell(index.root)} --untrusted makes it again"
    if not _spans_fit(segment):
        yield Finding("chunks", "error", f"segment {name}: spans outside their documents", again)
    try:
        if len(Postings(segment.lexical)) != chunks:
            yield Finding("lexical", "error", f"segment {name}: postings for another number of chunks", remake)
    except CorruptError as error:
        yield Finding("lexical", "error", f"segment {name}: {error.message}", remake)
    vectors, norms = segment.vectors.array("vectors", "<f4", 2), segment.vectors.array("norms", "<f4")
    if vectors.shape != (chunks, record.space.dimension) or len(norms) != chunks:
        yield Finding("vectors", "error", f"segment {name}: vectors of another shape: {vectors.shape}", again)
    elif len(row_runs(segment.vectors, chunks)) != chunks:
        yield Finding("vectors", "error", f"segment {name}: runs for another number of chunks", again)
    elif not lengths_fit(vectors, norms, all_rows):
        yield Finding("vectors", "error", f"segment {name}: vectors that are no numbers or changed", again)
    else:
        yield from _aids(segment, vectors, record.metric, remake)


def _spans_fit(segment: SegmentReader) -> bool:
    lengths = np.array([len(segment.document(row).text) for row in range(segment.segment.documents)], dtype=np.int64)
    start, end = segment.chunks.array("start", "<i8"), segment.chunks.array("end", "<i8")
    documents = segment.chunk_documents
    if not len(start) == len(end) == len(documents):
        return False
    return bool((start >= 0).all() and (end >= start).all() and (end <= lengths[documents]).all())


def lengths_fit(vectors: NDArray[np.float32], norms: NDArray[np.float32], all_rows: bool = True) -> bool:
    """Whether vectors (rows × dimension), all or a spread sample, are finite and as long as their norms say."""
    rows = spread(len(vectors), len(vectors) if all_rows else _SAMPLE)
    for block in np.array_split(rows, max(1, len(rows) // _BLOCK)):
        part = vectors[block]
        if not np.isfinite(part).all() or not np.allclose(np.linalg.norm(part, axis=1), norms[block], rtol=1e-4):
            return False
    return True


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of `count` rows, evenly spread, rising."""
    return np.unique(np.linspace(0, max(count - 1, 0), num=min(most, count), dtype=np.int64))


def _aids(segment: SegmentReader, vectors: NDArray[np.float32], metric: str, fix: str) -> Iterator[Finding]:
    """Codes and graph: those of these vectors."""
    name = segment.segment.name
    try:
        codes = segment.codes
        if codes is not None and not read_codes(codes, *vectors.shape).fit(vectors, spread(len(vectors), 100), metric):
            yield Finding("codes", "error", f"segment {name}: binary codes of other vectors", fix)
    except CorruptError as error:
        yield Finding("codes", "error", f"segment {name}: {error.message}", fix)
    try:
        if segment.graph is not None:
            verify_graph(segment.graph, vectors, metric)
    except CorruptError as error:
        yield Finding("graph", "error", f"segment {name}: {error.message}", fix)
