"""rerank: order hits anew by a model that reads query and passage together."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from core.config import find_model
from core.errors import BackendError, UsageError
from core.index.reader import Index
from core.pipeline.hits import make_hit
from core.pipeline.spaces import index_encoder, read_space
from core.rerankers import DEFAULT_RERANKER, RERANKERS, Reranker
from core.space.verify import guard
from core.types import Hit, Stage


def open_reranker(name: str | None, index: Index) -> Reranker:
    """`maxsim` with the index's own encoder (checked to be in the index's space), or a cross-encoder by name or folder.

    Raises UsageError, MissingError, BackendError, SpaceMismatchError.
    """
    name = name or DEFAULT_RERANKER
    if name != "maxsim":
        reranker: Reranker = RERANKERS.load("cross-encoder")(find_model(name))
        return reranker
    record = read_space(index)
    encoder = index_encoder(index, record.model, "documents")  # it reads every candidate whole
    if encoder.remote:
        encoder.token_vectors([""], "query")  # raises UsageError: a server gives none
    guard(record, encoder, path=str(index.root), short=True)
    reranker = RERANKERS.load("maxsim")(encoder)
    return reranker


def rerank(reranker: Reranker, query: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
    """`hits` in the reranker's order, the best `k`; ties keep the order they came in. The trail gains its stage.

    Raises BackendError when the reranker gives the wrong number of scores or one that is no number.
    """
    if not query.strip():
        raise UsageError("the query is empty", fix='samespace rerank INDEX "QUERY"')
    passages = [f"{hit.chunk.context}\n{hit.chunk.text}".strip() for hit in hits]
    scores = reranker.score(query, passages) if hits else []
    if len(scores) != len(hits) or not all(map(math.isfinite, scores)):
        raise BackendError(
            f"the reranker {reranker.name!r} gave {len(scores)} scores for {len(hits)} passages, or one that is no number",
            fix="use another reranker; the search itself is not affected",
        )
    order = sorted(range(len(hits)), key=lambda n: -round(scores[n], 6))
    ranked = []
    for rank, n in enumerate(order[:k], start=1):
        trail = {**hits[n].trail, "rerank": Stage(scores[n], rank)}
        ranked.append(replace(hits[n], score=scores[n], trail=trail))
    return ranked


def read_hits(text: str, index: Index) -> tuple[str, list[Hit]]:
    """Query and hits of `search --json` output; the texts are taken from the index, not from the input.

    Raises UsageError when it is no such output, or names a chunk the index does not have.
    """
    fix = 'samespace search INDEX "QUERY" --json | samespace rerank INDEX --hits -'
    try:
        value = json.loads(text)
        query = str(value.get("understood", value).get("text", value.get("query", "")))  # without operators
        wanted = [(str(hit["document"]), int(hit["ordinal"]), float(hit["score"])) for hit in value["hits"]]
        if not all(math.isfinite(score) for _, _, score in wanted):
            raise ValueError("a score is no number")
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UsageError("these are no hits: not the output of `search --json`", fix=fix) from error
    places = locate_chunks(index, {document for document, _, _ in wanted})
    hits = []
    for rank, (document, ordinal, score) in enumerate(wanted, start=1):
        if (document, ordinal) not in places:
            raise UsageError(
                f"the index has no chunk {ordinal} of {document!r}: the hits come from another index or generation",
                path=index.root,
                fix=fix,
            )
        segment, row = places[document, ordinal]
        hits.append(replace(make_hit(index.segments[segment], row, score), trail={"input": Stage(score, rank)}))
    return query, hits


def locate_chunks(index: Index, documents: set[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """(document id, ordinal) -> (segment, row) for every live chunk of the documents named."""
    places: dict[tuple[str, int], tuple[int, int]] = {}
    for number, segment in enumerate(index.segments):
        ids = segment.document_ids()
        mask = segment.live_documents
        rows = {r: ids[r] for r in range(len(ids)) if (mask is None or mask[r]) and ids[r] in documents}
        if not rows:
            continue
        ordinals = segment.chunks.array("ordinal", "<i4")
        for row, document in enumerate(segment.chunk_documents):
            if int(document) in rows:
                places[rows[int(document)], int(ordinals[row])] = (number, row)
    return places


def read_run_hits(index: Index, ranked: Sequence[tuple[str, float]]) -> list[Hit]:
    """The chunks of a run's documents, in the run's order: every chunk of each, so that the best can be found.

    Raises UsageError when none of the documents is in the index.
    """
    places = locate_chunks(index, {document for document, _ in ranked})
    if ranked and not places:
        raise UsageError(
            "none of the run's documents is in this index",
            path=index.root,
            fix="check that run and index belong together",
        )
    chunks: dict[str, list[int]] = {}
    for document, ordinal in places:
        chunks.setdefault(document, []).append(ordinal)
    hits = []
    for rank, (document, score) in enumerate(ranked, start=1):
        for ordinal in sorted(chunks.get(document, ())):
            segment, row = places[document, ordinal]
            hits.append(replace(make_hit(index.segments[segment], row, score), trail={"input": Stage(score, rank)}))
    return hits
