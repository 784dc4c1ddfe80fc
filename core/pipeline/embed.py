"""embed: vectors for the staged chunks, in the index's space, checked at the door and again when they are sealed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.embeddings import Embeddings, prune_embeddings
from core.encoders import Encoder, Model, Unembedded
from core.errors import BackendError, SpaceMismatchError
from core.heap import give_back
from core.index import fs
from core.index.columns import Column, Table
from core.index.reader import Index, open_published
from core.index.staging import Batch, Staging, read_batch
from core.index.state import Block, State
from core.index.writer import next_number, writing
from core.pipeline.failures import Failures
from core.pipeline.known import HASH, KnownVectors, hash_texts
from core.pipeline.spaces import asked_encoder, read_space, staged_space
from core.pipeline.staged import block_chunks, check_ingested
from core.progress import SILENT, Progress
from core.space.canaries import SHORT, Canaries, compare
from core.space.identity import Space
from core.space.record import SpaceRecord
from core.space.verify import guard, prove

BATCH = 64  # texts between two writes: what Ctrl-C can lose
SEALED_ROWS = 4  # stored rows embedded once more before they are sealed


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """`embedded` texts went through the model now; `reused` had a vector already; `truncated` were longer than it takes.

    `runtime` names what ran the model ("" when nothing did), `padding` the share of its tokens that were padding; of those
    that were reused `cached` came from the embedding cache.
    """

    chunks: int
    embedded: int
    reused: int
    truncated: int
    space: str
    runtime: str = ""
    padding: float = 0.0
    cached: int = 0


def embed(
    root: Path,
    *,
    model: str | Model | None = None,
    base_url: str | None = None,
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> EmbedReport:
    """Embed every staged chunk that has no vector yet, and seal the staged vectors.

    Before anything is written the encoder must lie in the index's space (canaries, both sides). Each batch is kept when
    it is done: an interrupted run goes on where it was. `base_url`: the model behind another server. Raises UsageError (stages
    out of order), SpaceMismatchError, LockedError, StorageError, CorruptError, MissingError, BackendError (texts to which a
    server gave no vector are among its details; all others are kept).
    """
    with writing(root, wait, progress.note):
        staging = Staging(root)
        state = staging.require("embed")
        check_ingested(staging, state)
        base = open_published(root)
        hashes = [hash_texts(block_texts(staging, block, state)) for block in state.blocks]
        known = known_vectors(staging, state, base)
        missing = sum(int((~known.has(part)).sum()) for part in hashes)
        record = read_space(base) if base else staged_space(staging, state)
        encoder: Encoder | None = None
        if record is None or missing or model or base_url:
            encoder = asked_encoder(base, Model.from_json(state.model), model, base_url, "documents")
            state, record, canaries = _door(staging, state, record, encoder)
        else:
            canaries = record.canaries  # no vector of today comes in
        progress.stage("embed", missing)
        with contextlib.closing(_Work(staging, record, encoder, canaries, known, progress)) as work:
            for block, part in zip(state.blocks, hashes, strict=True):
                state = work.embed(state, block, part)
            work.failures.check(work.embedded)
        staging.drop_parts(record.space.id)
    runtime, padding = (encoder.runtime_name, encoder.padding) if encoder is not None else ("", 0.0)
    total = sum(map(len, hashes))
    reused = total - work.embedded
    return EmbedReport(
        total, work.embedded, reused, work.truncated, record.space.id, runtime, round(padding, 4), work.cached
    )


def block_texts(staging: Staging, block: Block, state: State) -> list[str]:
    """The texts of a block as they are embedded. Raises UsageError when it is not cut."""
    space = Space.from_json(state.space)
    return [space.fill_template(piece.context, piece.text) for piece in block_chunks(staging, block)]


def known_vectors(staging: Staging, state: State, base: Index | None) -> KnownVectors:
    """All that need not be embedded."""
    return KnownVectors(_known(staging, state, base), Space.from_json(state.space).dimension)


def _known(staging: Staging, state: State, base: Index | None) -> Iterator[Batch]:
    """The vectors that are there: published ones, those of blocks that are through, parts of blocks that are not.

    Of a document that is dead already nothing is taken: what looks for foreign vectors looks at the living.
    """
    space = Space.from_json(state.space)
    batches = [read_batch(segment.vectors, segment.live) for segment in base.segments] if base else []
    tables = (staging.table(block, "vectors") for block in state.blocks)
    batches += [read_batch(table) for table in tables if table is not None]
    for batch in batches:
        texts, vectors = batch.texts, batch.vectors
        fits = len(texts) == len(vectors) == len(batch.runs) and (batch.live is None or len(batch.live) == len(texts))
        if fits and texts.shape[1] == HASH and vectors.shape[1] == space.dimension:
            yield batch
    yield from reversed(list(staging.parts(space.id, space.dimension)))  # of the same text the later one counts


class _Work:
    """Embedding block after block: what is known is taken, what is cached is taken once a sample of it was found to be so,
    the rest is embedded and put away batch by batch.
    """

    def __init__(
        self,
        staging: Staging,
        record: SpaceRecord,
        encoder: Encoder | None,
        canaries: Canaries,
        known: KnownVectors,
        progress: Progress,
    ):
        self._staging, self._record, self._encoder = staging, record, encoder
        self._canaries, self._known, self._progress = canaries, known, progress
        self._run = next_number(staging.root)
        self._cache: Embeddings | None = None
        self._cache_is_tried = False
        self.embedded = self.cached = self.truncated = 0
        self.failures = Failures()
        if encoder is not None:
            dimension = record.space.dimension
            if not encoder.remote:  # a server's name does not say which model answered then
                self._cache = Embeddings(record.space.id, "passage", encoder.runtime(), dimension)

    def close(self) -> None:
        if self._cache is not None:
            self._cache.close()
            prune_embeddings()

    def embed(self, state: State, block: Block, hashes: NDArray[np.uint8]) -> State:
        """Seal the vectors of one block. Returns the state with them."""
        sealed = self._staging.table(block, "vectors")
        if sealed is not None and self._encoder is None:
            return state
        if self.failures.is_over:
            return state
        texts = block_texts(self._staging, block, state)
        vectors = np.zeros((len(texts), self._record.space.dimension), dtype=np.float32)
        first = _first_rows(hashes)
        runs = np.full(len(texts), self._run, dtype=np.int32)
        unknown = ~self._known.fill(hashes, vectors, runs)
        parts: list[Path] = []
        if self._encoder is not None:
            wanted = self._take_cached(texts, hashes, vectors, np.unique(first[unknown]).tolist())
            self.truncated += _truncated(self._encoder, texts, wanted)
            # Longest texts first: batches of like length waste little, and what does not fit into memory fails at once.
            rows = sorted(wanted, key=lambda row: (-len(texts[row]), row))
            try:
                self._embed_rows(self._encoder, texts, hashes, vectors, rows, parts)
            except Unembedded as error:
                self.failures.add(error, rows, first, block_chunks(self._staging, block))
                return state  # the parts stay: the next run takes them up
            vectors[unknown] = vectors[first[unknown]]
            _check_sealed(self._encoder, texts, vectors, self._record, str(self._staging.root))
        if sealed is not None:
            return state
        state = self._staging.put(state, block, "vectors", _vector_columns(self._canaries, hashes, vectors, runs))
        for path in parts:
            fs.remove(path)
        give_back()
        self._known.add(read_batch(Table(self._staging.table_path(block, "vectors"))))
        return state

    def _take_cached(
        self, texts: list[str], hashes: NDArray[np.uint8], vectors: NDArray[np.float32], wanted: list[int]
    ) -> list[int]:
        """Put the cached vectors of the `wanted` rows in their places. Returns the rows that are left."""
        if self._cache is None or not wanted:
            return wanted
        found = self._cache.find(hashes[wanted])
        rows = [row for row in wanted if hashes[row].tobytes() in found]
        for row in rows:
            vectors[row] = found[hashes[row].tobytes()]
        if rows and not self._cache_is_tried and not self._is_so(texts, vectors, rows):
            self._progress.note("the embedding cache held vectors that the model does not give now: it is made anew")
            self._cache.discard()
            return wanted
        self._cache_is_tried = self._cache_is_tried or bool(rows)
        self.cached += len(rows)
        self._progress.advance(len(rows))
        taken = set(rows)
        return [row for row in wanted if row not in taken]

    def _is_so(self, texts: list[str], vectors: NDArray[np.float32], rows: list[int]) -> bool:
        """Whether the model gives the vectors of a few of these rows, evenly spread."""
        assert self._encoder is not None
        tried = [
            rows[at] for at in np.unique(np.linspace(0, len(rows) - 1, num=min(SEALED_ROWS, len(rows)), dtype=int))
        ]
        again = self._encoder.embed([texts[row] for row in tried], "passage")
        return compare({"passage": vectors[tried]}, {"passage": again}, self._record.row_tolerance).agrees

    def _embed_rows(
        self,
        encoder: Encoder,
        texts: list[str],
        hashes: NDArray[np.uint8],
        vectors: NDArray[np.float32],
        rows: list[int],
        parts: list[Path],
    ) -> None:
        """Embed the `rows`, in this order, into `vectors`. `parts` fill with the files in which they are put away meanwhile.

        Raises Unembedded, its rows places in `rows`, when some got no vector; all others are put away then.
        """
        pending: list[int] = []

        def put_away() -> None:
            runs = np.full(len(pending), self._run, dtype=np.int32)
            parts.append(self._staging.add_part(self._record.space.id, Batch(hashes[pending], vectors[pending], runs)))
            if self._cache is not None:
                self._cache.add(hashes[pending], vectors[pending])

        try:
            for part, found in encoder.stream([texts[row] for row in rows], "passage"):
                if found.shape != (len(part), vectors.shape[1]) or not np.isfinite(found).all():
                    raise BackendError(
                        f"the model {encoder.model.name!r} gave vectors that are no numbers or not of "
                        f"{vectors.shape[1]} dimensions",
                        fix="what was embedded before is kept; check the model and run the same command again",
                    )
                done = [rows[n] for n in part]
                vectors[done] = found
                pending += done
                self.embedded += len(done)
                self._progress.advance(len(done))
                if len(pending) >= BATCH:
                    put_away()
                    pending = []
        except Unembedded:
            if pending:
                put_away()
            raise
        if pending:
            put_away()


def _first_rows(hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For every row the first one of the same text."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(text.tobytes(), row) for row, text in enumerate(hashes)], dtype=np.int64)


def _door(
    staging: Staging, state: State, record: SpaceRecord | None, encoder: Encoder
) -> tuple[State, SpaceRecord, Canaries]:
    """The space on record, after `encoder` has shown that it lies in it, and the canaries of this run.

    A new index takes the encoder's space, which must be the one its documents were staged for.
    """
    if record is not None:
        now = guard(record, encoder, path=str(staging.root)).now
        return state, record, replace(record.canaries, query=now["query"], passage=now["passage"])
    if differences := Space.from_json(state.space).differences(encoder.space):
        raise SpaceMismatchError(
            f"the documents were staged for another space than {encoder.model.name!r} makes now "
            f"(they differ in {', '.join(differences)})",
            path=staging.root,
            fix=f"remove the folder {staging.folder} and run build again with the model you want",
            details={"differences": {name: list(pair) for name, pair in differences.items()}},
        )
    record, verdict = prove(encoder)  # what will write the vectors agrees with the reference
    now = verdict.now
    state = state.with_file("canaries", staging.write("canaries", record.columns()))
    state = state.with_file("space.json", fs.write(staging.path("space.json"), [record.to_bytes()]).sha256)
    staging.save(state)
    return state, record, replace(record.canaries, query=now["query"], passage=now["passage"])


def _check_sealed(
    encoder: Encoder, texts: list[str], vectors: NDArray[np.float32], record: SpaceRecord, path: str
) -> None:
    """A few rows, evenly spread over old and new ones, embedded once more: parts of another model would show. A server may
    have changed its model since the door, for all of them: canaries ride along."""
    canaries = record.canaries.texts[: len(SHORT)] if encoder.remote else ()
    rows = np.unique(np.linspace(0, len(texts) - 1, num=min(SEALED_ROWS, len(texts)), dtype=np.int64))
    again = encoder.embed([*canaries, *(texts[row] for row in rows)], "passage")
    stored = np.concatenate([record.canaries.passage[: len(canaries)], vectors[rows]])
    agreement = compare({"passage": stored}, {"passage": again}, record.row_tolerance)
    if not agreement.agrees:
        raise SpaceMismatchError(
            f"vectors that were embedded earlier do not lie where the model puts them now: {agreement.to_json()}",
            path=path,
            fix=f"remove the folder {Path(path) / 'staging'} and run build again",
            details=agreement.to_json(),
        )


def _truncated(encoder: Encoder, texts: list[str], missing: list[int]) -> int:
    """How many of the texts embedded now were longer than the model takes."""
    limit = encoder.space.max_tokens
    # No tokenizer makes more tokens than bytes; most texts need no counting.
    return sum(
        len(texts[n].encode()) + 2 > limit and encoder.count_tokens(texts[n], "passage") > limit for n in missing
    )


def _vector_columns(
    canaries: Canaries, hashes: NDArray[np.uint8], vectors: NDArray[np.float32], runs: NDArray[np.int32]
) -> dict[str, Column]:
    """The vectors with the hashes of their texts and the runs that embedded them, and the canaries as this run did."""
    return {
        "vectors": vectors,
        "norms": np.linalg.norm(vectors, axis=1).astype(np.float32),
        "texts": hashes,
        "runs": runs,
        "canaries_query": canaries.query,
        "canaries_passage": canaries.passage,
    }
