"""chunk: cut the staged documents into spans that fit the index's model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chunkers import CHUNKERS, Chunker, ChunkSettings
from core.encoders import Model
from core.errors import UsageError
from core.index.reader import open_published
from core.index.staging import Staging
from core.index.writer import writing
from core.pipeline.spaces import index_encoder
from core.pipeline.staged import block_documents, check_ingested, chunk_columns
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
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> ChunkReport:
    """Cut every staged document. Settings not given are those the index has, or the defaults of a new one.

    Raises UsageError (nothing staged, sizes that do not fit, settings other than a published index has), LockedError,
    StorageError, CorruptError, MissingError.
    """
    with writing(root, wait, progress.note):
        return chunk_staged(Staging(root), chunker, size, overlap, progress)


def chunk_staged(
    staging: Staging, chunker: str | None, size: int | None, overlap: int | None, progress: Progress
) -> ChunkReport:
    state = staging.require("chunk")
    check_ingested(staging, state)
    base = open_published(staging.root) if state.base else None
    encoder = index_encoder(base, Model.from_json(state.model), "queries")
    settings = choose_settings(state.settings, chunker, size, overlap, fixed=bool(state.base), root=staging.root)
    settings.check(encoder.space.max_tokens)
    state = state.with_chunker(settings.to_json())
    cutter: Chunker = CHUNKERS.load(settings.name)(settings, encoder)
    progress.stage("chunk", state.documents)
    chunks = 0
    for block in state.blocks:
        table = staging.table(block, "chunks")
        if table is None:
            columns = chunk_columns(list(_cut(cutter, block_documents(staging, block))))
            state = staging.put(state, block, "chunks", columns)
            chunks += len(columns["document"])
        else:
            chunks += len(table.array("document", "<i4"))  # cut already, in the same way
        progress.advance(block.documents)
    staging.save(state)
    return ChunkReport(state.documents, chunks, settings.id(encoder.space.tokenizer), settings)


def _cut(cutter: Chunker, documents: Sequence[Document]) -> Iterator[tuple[int, Chunk]]:
    """The row of the document and the chunk, of all documents."""
    for row, document in enumerate(documents):
        for piece in cutter.chunk(document):
            yield row, piece


def choose_settings(
    recorded: Mapping[str, Any],
    chunker: str | None,
    size: int | None,
    overlap: int | None,
    *,
    fixed: bool,
    root: Path,
) -> ChunkSettings:
    """What was asked for, over what the index's settings have, over the defaults.

    Raises UsageError when the settings are `fixed`, as they are from the first published generation on, and others are
    asked for.
    """
    before = ChunkSettings.from_json(recorded["chunker"]) if "chunker" in recorded else ChunkSettings()
    asked = ChunkSettings(
        chunker or before.name, before.size if size is None else size, before.overlap if overlap is None else overlap
    )
    if fixed and asked.to_json() != before.to_json():
        raise UsageError(
            f"this index is cut in another way ({before.text}), which is fixed when its first generation is published",
            path=root,
            fix="leave the chunking options out, or build another index beside it",
        )
    return asked
