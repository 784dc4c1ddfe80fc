"""A sample made again from what it was made of: documents cut, words counted, chunks embedded, neighbours found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.check.structure import spread
from core.chunkers import CHUNKERS, ChunkSettings
from core.encoders import Encoder
from core.errors import BackendError, MissingError, SamespaceError, UsageError, shell
from core.index.reader import Index, SegmentReader
from core.lexical import ANALYZERS, Analyzer
from core.pipeline.analyzers import check_analyzer
from core.pipeline.spaces import index_encoder, read_space
from core.progress import Progress
from core.space.canaries import compare
from core.space.record import SpaceRecord
from core.space.verify import judge
from core.types import Chunk, Document, Finding
from core.vectors import VectorSegment
from core.vectors.codes import read_codes, stand_ins
from core.vectors.exact import ExactSearcher

SEED = 20260131
DOCUMENTS = 100
ROWS = 32  # of their chunks are embedded again
QUERIES = 50
_MOST = 65_535  # a count of the postings stands for that and more
_ENOUGH = 0.9  # recall@10 below which codes or a graph are worth a warning


@dataclass(frozen=True, slots=True)
class _Sampled:
    """A document and its chunks as they are stored, each with its row in the segment."""

    segment: SegmentReader
    document: Document
    chunks: Mapping[int, Chunk]


def check_sample(index: Index, progress: Progress) -> Iterator[Finding]:
    """Findings about a seeded sample of the live documents of a generation whose files and structure are whole."""
    progress.stage("sample", 4)
    sample = _sample(index)
    record = read_space(index)
    new = f"build another index in a new place: samespace build FOLDER --to NEW.index (not {shell(index.root)})"
    yield from _words(index, sample)
    progress.advance()
    try:
        encoder = index_encoder(index, record.model, "documents")
        yield from _cut_again(index, sample, encoder, new)
        progress.advance()
        yield from _embedded_again(sample, record, encoder, new)
    except (MissingError, BackendError, UsageError) as error:
        message = f"no chunk was embedded again, for the model is not to be used here: {error.message}"
        yield Finding("model", "warning", message, error.fix or "put the model back and check again")
    progress.advance()
    for segment in index.segments:
        yield from _recall(index, segment, record)
    progress.advance()


def _sample(index: Index) -> list[_Sampled]:
    live = list(index.live_documents())
    found = []
    chance = np.random.default_rng(SEED)
    for place in sorted(chance.choice(len(live), size=min(DOCUMENTS, len(live)), replace=False).tolist()):
        segment, row = live[place]
        document = segment.document(row)
        rows = np.flatnonzero(segment.chunk_documents == row)
        found.append(_Sampled(segment, document, {int(n): segment.chunk(int(n), document) for n in rows}))
    return found


def _cut_again(index: Index, sample: Sequence[_Sampled], encoder: Encoder, fix: str) -> Iterator[Finding]:
    """Whether today's chunker cuts the documents where it did."""
    settings = ChunkSettings.from_json(index.generation.settings["chunker"])
    if settings.id(encoder.space.tokenizer) != index.view.chunking:
        message = "no document was cut again, for the model here cuts words into other tokens than the index's"
        yield Finding("chunks", "warning", message, f"samespace verify-space {shell(index.root)} says how they differ")
        return
    chunker = CHUNKERS.load(settings.name)(settings, encoder)
    wrong = [one.document.id for one in sample if list(chunker.chunk(one.document)) != list(one.chunks.values())]
    yield _verdict("chunks", len(sample), "documents cut again", "are cut elsewhere", wrong, fix)


def _verdict(check: str, count: int, done: str, differ: str, wrong: Sequence[str], fix: str) -> Finding:
    details = {"sampled": count, "wrong": list(wrong[:20])}
    if not wrong:
        return Finding(check, "ok", f"{count:,} {done}: all as they are stored", details=details)
    return Finding(check, "error", f"of {count:,} {done}, {len(wrong):,} {differ}: {wrong[0]}", fix, details)


def _words(index: Index, sample: Sequence[_Sampled]) -> Iterator[Finding]:
    """Whether the postings hold exactly the words of the sampled chunks."""
    try:
        analyzer: Analyzer = ANALYZERS.load(index.generation.settings["analyzer"]["name"])()
        check_analyzer(analyzer, index)
    except SamespaceError as error:
        yield Finding("lexical", "warning", f"no words were counted again: {error.message}", error.fix)
        return
    wrong: list[str] = []
    for segment in index.segments:
        chunks = {row: piece for one in sample if one.segment is segment for row, piece in one.chunks.items()}
        for row, stored in _stored_words(segment, sorted(chunks)).items():
            tokens = analyzer.tokens(f"{chunks[row].context}\n{chunks[row].text}")
            counted = {term: min(count, _MOST) for term, count in Counter(tokens).items()}
            if stored != (len(tokens), counted):
                wrong.append(f"{chunks[row].document_id}, chunk {chunks[row].ordinal}")
    count = sum(len(one.chunks) for one in sample)
    fix = f"samespace repair {shell(index.root)} --untrusted counts them again"
    yield _verdict("lexical", count, "chunks' words counted again", "have others", wrong, fix)


def _stored_words(segment: SegmentReader, rows: list[int]) -> dict[int, tuple[int, dict[str, int]]]:
    """Of each of these rows: its length and how often it holds each of its words, by the postings."""
    table = segment.lexical
    terms, starts = table.strings("terms"), table.array("starts", "<i8")
    holding, counts = table.array("rows", "<i4"), table.array("counts", "<u2")
    places = np.flatnonzero(np.isin(holding, np.array(rows, dtype=np.int32)))
    lengths = table.array("lengths", "<i4")
    found: dict[int, tuple[int, dict[str, int]]] = {row: (int(lengths[row]), {}) for row in rows}
    for place, term in zip(places, np.searchsorted(starts, places, side="right") - 1, strict=True):
        found[int(holding[place])][1][terms[int(term)]] = int(counts[place])
    return found


def _embedded_again(sample: Sequence[_Sampled], record: SpaceRecord, encoder: Encoder, fix: str) -> Iterator[Finding]:
    """Whether sampled rows are of the texts they should be of, and where the model puts these texts."""
    verdict = judge(record, encoder)
    if not verdict.accepted:
        message = f"no chunk was embedded again, for the model here is not the index's: {verdict.summary}"
        yield Finding("model", "warning", message, "put back the model that the index was made with")
        return
    chunks = [(one.segment, row, piece) for one in sample for row, piece in one.chunks.items()]
    chosen = [chunks[int(place)] for place in spread(len(chunks), ROWS)]
    texts = [record.space.fill_template(piece.context, piece.text) for _, _, piece in chosen]
    now = encoder.embed(texts, "passage")
    wrong = []
    for (segment, row, piece), text, vector in zip(chosen, texts, now, strict=True):
        hashed = segment.vectors.array("texts", "|u1", 2)[row].tobytes()
        stored = segment.vectors.array("vectors", "<f4", 2)[row]
        agrees = compare({"passage": stored[None]}, {"passage": vector[None]}, record.row_tolerance).agrees
        if not agrees or hashed != hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16]:
            wrong.append(f"{piece.document_id}, chunk {piece.ordinal}")
    yield _verdict("vectors", len(chosen), "chunks embedded again", "have other vectors", wrong, fix)


def _recall(index: Index, segment: SegmentReader, record: SpaceRecord) -> Iterator[Finding]:
    """How many of the ten nearest by exact search the codes and the graph of a segment find."""
    name, metric = segment.segment.name, record.metric
    vectors, norms = segment.vectors.array("vectors", "<f4", 2), segment.vectors.array("norms", "<f4")
    table = segment.codes
    if table is not None:
        codes = read_codes(table, *vectors.shape)
        queries = stand_ins(vectors, codes, metric)[:QUERIES]
        exact = ExactSearcher([VectorSegment(vectors, norms)], metric)
        shares = [_share(exact, query, codes.nearest(query, codes.depth, metric)) for query in queries]
        yield _recalled("codes", name, float(np.mean(shares)) if shares else 1.0, index)
    if segment.graph is None:
        return
    try:
        from core.vectors.hnsw import HnswSearcher, recall
    except ImportError:
        fix = "pip install hnswlib, and check again"
        yield Finding("graph", "warning", f"segment {name}: its graph was not asked: hnswlib is not installed", fix)
        return
    part = [VectorSegment(vectors, norms, graph=segment.graph)]
    yield _recalled("graph", name, recall(HnswSearcher(part, metric), ExactSearcher(part, metric), vectors), index)


def _share(exact: ExactSearcher, query: NDArray[np.float32], rows: NDArray[np.int64]) -> float:
    wanted = [match.row for match in exact.search(query, 10)]
    return float(np.isin(wanted, rows).mean()) if wanted else 1.0


def _recalled(check: str, segment: str, share: float, index: Index) -> Finding:
    message, details = f"segment {segment}: recall@10 of its {check} {share:.3f}", {"recall": round(share, 4)}
    if share >= _ENOUGH:
        return Finding(check, "ok", message, details=details)
    fix = f"samespace repair {shell(index.root)} --untrusted makes them again; else samespace index {shell(index.root)} --ann exact"
    return Finding(check, "warning", message, fix, details)
