"""chunk: cut the staged documents into spans that fit the index's model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.chunkers import CHUNKERS, Chunker, ChunkSettings
from core.config import open_encoder
from core.encoders import Model
from core.errors import UsageError
from core.index.columns import Column, Table
from core.index.staging import Staging
from core.index.state import State
from core.index.writer import writing
from core.pipeline.ledger import read_documents
from core.progress import SILENT, Progress
from core.types import Chunk, Document


@dataclass(frozen=True, slots=True)
class ChunkReport:
    documents: int
    chunks: int
    chunking: str
    settings: ChunkSettings


def chunk(
    root: Path,
    *,
    chunker: str | None = None,
    size: int | None = None,
    overlap: int | None = None,
    progress: Progress = SILENT,
) -> ChunkReport:
    """Cut every staged document. Settings not given are those the index has, or the defaults of a new one.

    Raises UsageError (nothing staged, sizes that do not fit, settings other than a published index has), LockedError,
    StorageError, CorruptError, MissingError.
    """
    with writing(root):
        staging = Staging(root)
        state = staging.require("chunk")
        if staging.table("documents") is None or staging.digest("documents") != state.digest:
            # What is replaced (state.json) and what replaces it (documents) are of two runs: a document could live twice.
            raise UsageError("an ingest was cut off in the middle", path=root, fix=f"samespace ingest --to {root}")
        encoder = open_encoder(Model.from_json(state.model))
        settings = _settings(state, chunker, size, overlap, encoder.space.max_tokens, root)
        cutter: Chunker = CHUNKERS.load(settings.name)(settings, encoder)
        table = staging.table("documents")
        documents = list(read_documents(table)) if table else []
        progress.stage("chunk", len(documents))
        chunks: list[tuple[int, Chunk]] = []
        for row, document in enumerate(documents):
            chunks += [(row, piece) for piece in cutter.chunk(document)]
            progress.advance()
        staging.write("chunks", chunk_columns(chunks), made_from=staging.digest("documents"))
        staging.save(state.with_settings(chunker=settings.to_json()))
    return ChunkReport(len(documents), len(chunks), settings.id(encoder.space.tokenizer), settings)


def _settings(
    state: State, chunker: str | None, size: int | None, overlap: int | None, limit: int, root: Path
) -> ChunkSettings:
    recorded = ChunkSettings.from_json(state.settings["chunker"]) if "chunker" in state.settings else ChunkSettings()
    asked = ChunkSettings(
        chunker or recorded.name,
        recorded.size if size is None else size,
        recorded.overlap if overlap is None else overlap,
    )
    if state.base and asked.to_json() != recorded.to_json():
        raise UsageError(
            f"this index is cut by {recorded.to_json()}, which is fixed when its first generation is published",
            path=root,
            fix="leave the chunking options out, or build another index beside it",
        )
    asked.check(limit)
    return asked


def chunk_columns(chunks: list[tuple[int, Chunk]]) -> dict[str, Column]:
    return {
        "document": np.array([row for row, _ in chunks], dtype=np.int32),
        "ordinal": np.array([piece.ordinal for _, piece in chunks], dtype=np.int32),
        "start": np.array([piece.start for _, piece in chunks], dtype=np.int64),
        "end": np.array([piece.end for _, piece in chunks], dtype=np.int64),
        "context": [piece.context for _, piece in chunks],
    }


def read_chunks(table: Table, documents: list[Document]) -> Iterator[Chunk]:
    """The staged chunks, in order. Raises CorruptError when the table's columns are not what they should be."""
    columns = (table.array("document", "<i4"), table.array("ordinal", "<i4"), table.array("start", "<i8"))
    for row, ordinal, start, end, context in zip(
        *columns, table.array("end", "<i8"), table.strings("context"), strict=True
    ):
        document = documents[int(row)]
        text = document.text[int(start) : int(end)]
        yield Chunk(document.id, int(ordinal), int(start), int(end), text, context)
