"""embed: vectors for the staged chunks, in the index's space, checked at the door and again when they are sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config import open_encoder
from core.encoders import Encoder, Model
from core.errors import BackendError, SpaceMismatchError
from core.index import fs
from core.index.columns import Column
from core.index.generation import read_current
from core.index.reader import Index, open_index
from core.index.staging import Staging
from core.index.state import State
from core.index.writer import writing
from core.pipeline.spaces import index_encoder, read_space, staged_space
from core.pipeline.staged import staged_chunks, staged_documents
from core.progress import SILENT, Progress
from core.space.canaries import Canaries, compare
from core.space.identity import Space
from core.space.record import SpaceRecord
from core.space.verify import guard, prove

BATCH = 64  # texts between two writes: what Ctrl-C can lose
SEALED_ROWS = 4  # stored rows embedded once more before they are sealed
HASH = 16

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]  # hashes of texts (rows × 16), vectors (rows × dimension)


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """`embedded` texts went through the model now; `reused` had a vector already; `truncated` were longer than it takes.

    `runtime` names what ran the model ("" when nothing did), `padding` the share of its tokens that were padding.
    """

    chunks: int
    embedded: int
    reused: int
    truncated: int
    space: str
    runtime: str = ""
    padding: float = 0.0


def embed(root: Path, *, model: str | None = None, progress: Progress = SILENT) -> EmbedReport:
    """Embed every staged chunk that has no vector yet, and seal the staged vectors.

    Before anything is written the encoder must lie in the index's space (canaries, both sides). Each batch is kept when
    it is done: an interrupted run goes on where it was. Raises UsageError (stages out of order), SpaceMismatchError,
    LockedError, StorageError, CorruptError, MissingError, BackendError.
    """
    with writing(root):
        staging = Staging(root)
        state = staging.require("embed")
        space = Space.from_json(state.space)
        pieces = staged_chunks(staging, state, staged_documents(staging, state))
        texts = [space.fill_template(piece.context, piece.text) for piece in pieces]
        base = open_index(root) if read_current(root) else None
        hashes = hash_texts(texts)
        known = _Vectors(space.dimension, {text.tobytes() for text in hashes})
        known.add_all(staging.parts(space.id, known.dimension))
        if base is not None:
            known.add_all(_published(base))
        missing = [n for n in range(len(texts)) if hashes[n].tobytes() not in known]
        record = read_space(base) if base else staged_space(staging, state)
        encoder: Encoder | None = None
        if record is None or missing or model:
            own = Model.from_json(state.model)
            encoder = open_encoder(model, "documents") if model else index_encoder(base, own, "documents")
            state, record, canaries = _door(staging, state, record, encoder)
            _embed_missing(staging, encoder, texts, hashes, missing, known, record.space.id, progress)
        else:
            canaries = record.canaries  # no vector of today comes in
        vectors = known.rows(hashes)
        if encoder is not None:
            _check_sealed(encoder, texts, vectors, record, str(root))
        truncated = _truncated(encoder, texts, missing)
        staging.put(state, "vectors", _vector_columns(canaries, hashes, vectors))
    embedded = len(_unique(missing, hashes))
    runtime, padding = (encoder.runtime_name, encoder.padding) if encoder is not None else ("", 0.0)
    return EmbedReport(
        len(texts), embedded, len(texts) - embedded, truncated, record.space.id, runtime, round(padding, 4)
    )


def hash_texts(texts: list[str]) -> NDArray[np.uint8]:
    """The first 16 bytes of each text's sha256: uint8, texts × 16."""
    joined = b"".join(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:HASH] for text in texts)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), HASH)


class _Vectors:
    """Vectors by the hash of their text; those that nobody wants are passed over."""

    def __init__(self, dimension: int, wanted: set[bytes]):
        self.dimension = dimension
        self._wanted = wanted
        self._rows: dict[bytes, NDArray[np.float32]] = {}

    def add_all(self, batches: Iterable[Batch]) -> None:
        for texts, vectors in batches:
            for row, text in enumerate(map(bytes, texts)):
                if text in self._wanted:
                    self._rows[text] = vectors[row]

    def __contains__(self, text: bytes) -> bool:
        return text in self._rows

    def rows(self, hashes: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = np.empty((len(hashes), self.dimension), dtype=np.float32)
        for row, text in enumerate(hashes):
            vectors[row] = self._rows[text.tobytes()]
        return vectors


def _published(base: Index) -> list[Batch]:
    """Texts and vectors that the published generation has in its primary view."""
    tables = [segment.vectors for segment in base.segments]
    return [(table.array("texts", "|u1", 2), table.array("vectors", "<f4", 2)) for table in tables]


def _unique(rows: list[int], hashes: NDArray[np.uint8]) -> list[int]:
    """The first row of every different text among `rows`."""
    seen: dict[bytes, int] = {}
    for row in rows:
        seen.setdefault(hashes[row].tobytes(), row)
    return list(seen.values())


def _door(
    staging: Staging, state: State, record: SpaceRecord | None, encoder: Encoder
) -> tuple[State, SpaceRecord, Canaries]:
    """The space on record, after `encoder` has shown that it lies in it, and the canaries of this run.

    A new index takes the encoder's space, which must be the one its documents were staged for.
    """
    if record is not None:
        now = guard(record, encoder, path=str(staging.root)).now
        return state, record, Canaries(record.canaries.texts, now["query"], now["passage"])
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
    state = state.with_table("canaries", staging.write("canaries", record.columns()))
    state = state.with_table("space.json", fs.write(staging.path("space.json"), [record.to_bytes()]).sha256)
    staging.save(state)
    return state, record, Canaries(record.canaries.texts, now["query"], now["passage"])


def _embed_missing(
    staging: Staging,
    encoder: Encoder,
    texts: list[str],
    hashes: NDArray[np.uint8],
    missing: list[int],
    known: _Vectors,
    space: str,
    progress: Progress,
) -> None:
    """Longest texts first: batches of like length waste little, and what does not fit into memory fails at once."""
    rows = sorted(_unique(missing, hashes), key=lambda row: (-len(texts[row]), row))
    progress.stage("embed", len(rows))
    done: list[int] = []
    vectors = np.empty((0, known.dimension), dtype=np.float32)

    def put_away() -> None:
        staging.add_part(space, hashes[done], vectors)
        known.add_all([(hashes[done], vectors)])

    for part, found in encoder.stream([texts[row] for row in rows], "passage"):
        if found.shape != (len(part), known.dimension) or not np.isfinite(found).all():
            raise BackendError(
                f"the model {encoder.model.name!r} gave vectors that are no numbers or not of {known.dimension} dimensions",
                fix="what was embedded before is kept; check the model and run the same command again",
            )
        done, vectors = [*done, *(rows[n] for n in part)], np.concatenate([vectors, found])
        progress.advance(len(part))
        if len(done) >= BATCH:
            put_away()
            done, vectors = [], vectors[:0]
    if done:
        put_away()


def _check_sealed(
    encoder: Encoder, texts: list[str], vectors: NDArray[np.float32], record: SpaceRecord, path: str
) -> None:
    """A few rows, evenly spread over old and new ones, embedded once more: parts of another model would show."""
    rows = np.unique(np.linspace(0, len(texts) - 1, num=min(SEALED_ROWS, len(texts)), dtype=np.int64))
    again = encoder.embed([texts[row] for row in rows], "passage")
    agreement = compare({"passage": vectors[rows]}, {"passage": again}, record.tolerance)
    if not agreement.agrees:
        raise SpaceMismatchError(
            f"vectors that were embedded earlier do not lie where the model puts them now: {agreement.to_json()}",
            path=path,
            fix=f"remove the folder {Path(path) / 'staging'} and run build again",
            details=agreement.to_json(),
        )


def _truncated(encoder: Encoder | None, texts: list[str], missing: list[int]) -> int:
    """How many of the texts embedded now were longer than the model takes."""
    if encoder is None:
        return 0
    limit = encoder.space.max_tokens
    # No tokenizer makes more tokens than bytes; most texts need no counting.
    return sum(
        len(texts[n].encode()) + 2 > limit and encoder.count_tokens(texts[n], "passage") > limit for n in missing
    )


def _vector_columns(canaries: Canaries, hashes: NDArray[np.uint8], vectors: NDArray[np.float32]) -> dict[str, Column]:
    """The vectors with the hashes of their texts, and the canaries as this run embedded them."""
    return {
        "vectors": vectors,
        "norms": np.linalg.norm(vectors, axis=1).astype(np.float32),
        "texts": hashes,
        "canaries_query": canaries.query,
        "canaries_passage": canaries.passage,
    }
