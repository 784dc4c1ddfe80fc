"""Documents and chunks as they are staged: to columns and back. A stage that was not finished, or whose table was
damaged since, is named as the one to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from core.canonical import canonical
from core.errors import UsageError, shell
from core.index.columns import Column, Table
from core.index.staging import Staging
from core.index.state import State
from core.types import Chunk, Document

_COLUMNS = ("id", "title", "text", "source", "sha256")


def not_through(staging: Staging, stage: str) -> UsageError:
    """The error that says which stage is to be run first."""
    again = f"--to {shell(staging.root)}" if stage == "ingest" else shell(staging.root)
    return UsageError(
        f"the staged documents are not through `{stage}` yet",
        path=staging.root,
        fix=f"samespace {stage} {again}; or all stages at once: samespace build --to {shell(staging.root)}",
    )


def staged_documents(staging: Staging, state: State) -> list[Document]:
    """Raises UsageError when an ingest was cut off or its table was damaged."""
    table = staging.table(state, "documents")
    if table is None:
        raise not_through(staging, "ingest")
    return list(read_documents(table))


def staged_chunks(staging: Staging, state: State, documents: Sequence[Document]) -> list[Chunk]:
    """Raises UsageError when the documents are not cut, or their chunks were damaged."""
    table = staging.table(state, "chunks")
    if table is None:
        raise not_through(staging, "chunk")
    return list(read_chunks(table, documents))


def document_columns(documents: Sequence[Document]) -> dict[str, list[str]]:
    columns = {name: [getattr(document, name) for document in documents] for name in _COLUMNS}
    return {**columns, "meta": [canonical(dict(document.meta)).decode() for document in documents]}


def read_documents(table: Table) -> Iterator[Document]:
    names = (*_COLUMNS, "meta")
    for values in zip(*(table.strings(name) for name in names), strict=True):
        value: dict[str, Any] = dict(zip(names, values, strict=True))
        yield Document(**{**value, "meta": json.loads(value["meta"])})


def chunk_columns(chunks: Sequence[tuple[int, Chunk]]) -> dict[str, Column]:
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
