"""New segments: staged blocks as they are, or merged with published segments into one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.heap import give_back
from core.index import fs
from core.index.columns import write_columns
from core.index.reader import SegmentReader
from core.index.staging import Staging
from core.index.state import State
from core.lexical import Analyzer
from core.lexical.merge import Spool
from core.lexical.postings import count
from core.pipeline.merge import Merge, Part
from core.pipeline.staged import block_chunks, check_ingested, staged_table
from core.space.canaries import Canaries

KINDS = ("documents", "chunks", "lexical", "vectors")


def count_words(staging: Staging, state: State, analyzer: Analyzer) -> State:
    """The postings of every staged block that has none. Raises UsageError when a stage before was not gone through."""
    check_ingested(staging, state)
    for block in state.blocks:
        for kind in ("chunks", "vectors"):
            staged_table(staging, block, kind)
    for block in state.blocks:
        if staging.table(block, "lexical") is None:
            pieces = block_chunks(staging, block)
            postings = count(analyzer, (f"{piece.context}\n{piece.text}" for piece in pieces))
            state = staging.put(state, block, "lexical", postings)
            give_back()
    return state


def staged_parts(staging: Staging, state: State) -> dict[str, Part]:
    """The staged blocks by name. Raises UsageError when a table is missing."""
    parts = {}
    for block in state.blocks:
        documents, chunks, lexical, vectors = (staged_table(staging, block, kind) for kind in KINDS)
        parts[block.name] = Part(documents, chunks, lexical, vectors)
    return parts


def published_part(reader: SegmentReader, dead: Collection[int]) -> Part:
    """A published segment without its `dead` documents. Raises CorruptError."""
    live = np.ones(reader.segment.documents, dtype=np.bool_)
    live[sorted(dead)] = False
    _ = reader.document_ids(), reader.chunk_documents  # finds the columns of one length, or says that they are damaged
    return Part(reader.documents, reader.chunks, reader.lexical, reader.vectors, live)


def write_merged(folder: Path, merge: Merge, recorded: Canaries) -> None:
    """The four tables of a new segment into `folder`."""
    fs.write(folder / "documents", write_columns(merge.document_columns()))
    fs.write(folder / "chunks", write_columns(merge.chunk_columns()))
    fs.write(folder / "vectors", write_columns(merge.vector_columns(recorded)))
    with _spools(folder) as spool:
        fs.write(folder / "lexical", write_columns(merge.posting_columns(spool)))


@contextmanager
def _spools(folder: Path) -> Iterator[Spool]:
    """Files to write what does not fit into memory, gone when the block ends."""
    paths: list[Path] = []
    with ExitStack() as stack:

        def spool(name: str) -> BinaryIO:
            path = folder / f"{name}.spool"
            paths.append(path)
            return stack.enter_context(fs.scratch(path))

        yield spool
    for path in paths:
        fs.remove(path)
