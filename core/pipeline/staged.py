"""Documents and chunks as they are staged: to columns and back. A stage that was not finished, or whose table was
damaged since, is named as the one to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from core.canonical import canonical
from core.errors import UsageError, shell
from core.index.columns import Column, Strings, Table
from core.index.staging import Staging
from core.index.state import Block, State
from core.types import Chunk, Document

BLOCK_BYTES = 4 << 20  # of text: some 8,000 chunks, whose vectors and words are worked on in memory
BLOCK_DOCUMENTS = 8192

_COLUMNS = ("id", "title", "text", "source", "sha256")


def not_through(staging: Staging, stage: str) -> UsageError:
    """The error that says which stage is to be run first."""
    again = f"--to {shell(staging.root)}" if stage == "ingest" else shell(staging.root)
    return UsageError(
        f"the staged documents are not through `{stage}` yet",
        path=staging.root,
        fix=f"samespace {stage} {again}; or all stages at once: samespace build --to {shell(staging.root)}",
    )


def staged_table(staging: Staging, block: Block, kind: str) -> Table:
    """A table of a block. Raises UsageError, naming the stage to run again, when it is missing, out of date or damaged."""
    table = staging.table(block, kind)
    if table is None:
        stages = {"documents": "ingest", "chunks": "chunk", "vectors": "embed", "lexical": "index"}
        raise not_through(staging, stages[kind])
    return table


def check_ingested(staging: Staging, state: State) -> None:
    """Raises UsageError when an ingest was cut off, or its documents were damaged."""
    if state.reading:
        raise not_through(staging, "ingest")
    for block in state.blocks:
        staged_table(staging, block, "documents")


def block_documents(staging: Staging, block: Block) -> list[Document]:
    return list(read_documents(staged_table(staging, block, "documents")))


def block_chunks(staging: Staging, block: Block) -> list[Chunk]:
    """The chunks of a block with their texts. Raises UsageError when its documents are not cut."""
    table = staged_table(staging, block, "chunks")
    return list(read_chunks(table, block_documents(staging, block)))


class BlockWriter:
    """Documents as they come, gathered into blocks; each is written when it is full, its documents ordered by id."""

    def __init__(self, staging: Staging):
        self._staging = staging
        self._open: list[Document] = []
        self._bytes = 0

    def add(self, document: Document) -> Block | None:
        """The block that this document filled, once it is written."""
        self._open.append(document)
        self._bytes += len(document.text)
        if self._bytes < BLOCK_BYTES and len(self._open) < BLOCK_DOCUMENTS:
            return None
        return self.close()

    def close(self) -> Block | None:
        """The block of what is left."""
        documents, self._open, self._bytes = sorted(self._open, key=lambda document: document.id), [], 0
        return self._staging.new_block(document_columns(documents), len(documents)) if documents else None


class StagedDocuments(Sequence[Document]):
    """All staged documents, in the order of their ids; each is read when it is asked for."""

    def __init__(self, staging: Staging, blocks: Sequence[Block]):
        self._blocks = [document_strings(staged_table(staging, block, "documents")) for block in blocks]
        ids = [(id, n, row) for n, strings in enumerate(self._blocks) for row, id in enumerate(strings["id"])]
        self._places = [place for _, *place in sorted(ids)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(len(self)))]
        number, row = self._places[at]
        return read_document(self._blocks[number], row)


def document_columns(documents: Sequence[Document]) -> dict[str, Column]:
    columns: dict[str, Column] = {name: [getattr(document, name) for document in documents] for name in _COLUMNS}
    return {**columns, "meta": [canonical(dict(document.meta)).decode() for document in documents]}


def document_strings(table: Table) -> dict[str, Strings]:
    """The columns of staged documents, found whole."""
    return {name: table.strings(name) for name in (*_COLUMNS, "meta")}


def read_documents(table: Table) -> Iterator[Document]:
    strings = document_strings(table)
    return (read_document(strings, row) for row in range(len(strings["id"])))


def read_document(strings: Mapping[str, Strings], row: int) -> Document:
    value: dict[str, Any] = {name: column[row] for name, column in strings.items()}
    return Document(**{**value, "meta": json.loads(value["meta"])})


def chunk_columns(chunks: Sequence[tuple[int, Chunk]]) -> dict[str, Any]:
    """Columns of (row of the document, chunk) pairs."""
    return {
        "document": np.array([row for row, _ in chunks], dtype=np.int32),
        "ordinal": np.array([piece.ordinal for _, piece in chunks], dtype=np.int32),
        "start": np.array([piece.start for _, piece in chunks], dtype=np.int64),
        "end": np.array([piece.end for _, piece in chunks], dtype=np.int64),
        "context": [piece.context for _, piece in chunks],
    }


def read_chunks(table: Table, documents: Sequence[Document]) -> Iterator[Chunk]:
    columns = (table.array("document", "<i4"), table.array("ordinal", "<i4"), table.array("start", "<i8"))
    for row, ordinal, start, end, context in zip(
        *columns, table.array("end", "<i8"), table.strings("context"), strict=True
    ):
        document = documents[int(row)]
        text = document.text[int(start) : int(end)]
        yield Chunk(document.id, int(ordinal), int(start), int(end), text, context)
