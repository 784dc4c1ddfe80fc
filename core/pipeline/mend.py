"""Foreign rows put right: embedded by the index's model, in a new generation that has all else from the one before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.embeddings import Embeddings
from core.encoders import Encoder
from core.errors import BackendError, MissingError, shell
from core.index import fs
from core.index.columns import Column, Lazy, Table, concatenate, write_columns
from core.index.reader import Index, SegmentReader
from core.index.staging import Staging, row_runs
from core.index.successor import publish_successor
from core.index.writer import next_number
from core.pipeline.compare import WINDOW, Foreign, row_texts
from core.pipeline.known import hash_texts
from core.pipeline.merge import further
from core.progress import SILENT, Progress
from core.space.canaries import Canaries
from core.space.record import SpaceRecord
from core.vectors.codes import make_codes

_BLOCK = 4096  # rows copied at once


@dataclass(frozen=True, slots=True)
class Mended:
    """How many rows were embedded anew, and the generation that was published with them."""

    rows: int
    generation: int
    notes: tuple[str, ...] = ()


def mend(
    index: Index,
    record: SpaceRecord,
    encoder: Encoder,
    today: Canaries,
    foreign: Sequence[Foreign],
    *,
    whole: bool,
    progress: Progress = SILENT,
) -> Mended:
    """Embed the `foreign` rows anew and publish a generation with them; every other row stays as it is, to the bit.

    The caller holds the index for writing, and `encoder` has just embedded the canaries as `today`. `whole`: all live rows
    were compared, so that no other run speaks of these segments any more. Raises CorruptError, BackendError, OSError,
    MissingError (hnswlib, for a graph that is to be made again).
    """
    for name in index.generation.files:
        index.verified(name)  # nothing is published upon what is damaged
    run, staging = next_number(index.root), Staging(index.root)
    progress.stage("repair", len(foreign))
    others: dict[str, bytes | Path] = {}
    ordered = sorted(foreign, key=lambda row: (row.segment, row.row))
    cache = Embeddings(record.space.id, "passage", encoder.runtime(), record.space.dimension)
    with tempfile.TemporaryDirectory(prefix="samespace-") as scratch:
        try:
            for name, those in groupby(ordered, key=lambda row: row.segment):
                segment = next(reader for reader in index.segments if reader.segment.name == name)
                rows = np.array([row.row for row in those], dtype=np.int64)
                folder = staging.path(f"merged/{name}")
                fresh = _embed_rows(segment, rows, record, encoder, cache, folder / "fresh", progress)
                canaries = today if whole else further(record.canaries, [segment.vectors], today)
                fs.write(folder / "vectors", write_columns(_columns(segment, rows, fresh, run, canaries)))
                others |= _files(index, segment, Table(folder / "vectors"), record.metric, Path(scratch))
            done = publish_successor(index, others)
        finally:
            cache.close()
            fs.remove_folder(staging.path("merged"))
    return Mended(len(ordered), done.generation, done.notes)


@dataclass(frozen=True, slots=True)
class _Fresh:
    """The new vectors (rows × dimension, in a file), and the hashes of their texts."""

    vectors: NDArray[np.float32]
    texts: NDArray[np.uint8]


def _embed_rows(
    segment: SegmentReader,
    rows: NDArray[np.int64],
    record: SpaceRecord,
    encoder: Encoder,
    cache: Embeddings,
    path: Path,
    progress: Progress,
) -> _Fresh:
    """The vectors go to a file as they are made, for there may be more than memory holds; and into the cache of
    embeddings, which may be where the foreign ones came from.
    """
    fs.make_folder(path.parent)
    hashes = []
    with fs.scratch(path) as file:
        shape = (len(rows), record.space.dimension)
        vectors: NDArray[np.float32] = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
        for start in range(0, len(rows), WINDOW):
            texts = row_texts(segment, rows[start : start + WINDOW], record)
            found = encoder.embed(texts, "passage")
            if found.shape != (len(texts), shape[1]) or not np.isfinite(found).all():
                fix = "check the model and run the same command again; the index is as it was"
                raise BackendError(f"the model {encoder.model.name!r} gave vectors that are no numbers", fix=fix)
            vectors[start : start + WINDOW] = found
            hashes.append(hash_texts(texts))
            if not encoder.remote:  # what a server answered is kept in no cache
                cache.add(hashes[-1], found)
            progress.advance(len(texts))
    return _Fresh(vectors, np.concatenate(hashes))


def _columns(
    segment: SegmentReader, rows: NDArray[np.int64], fresh: _Fresh, run: int, canaries: Canaries
) -> dict[str, Column]:
    """The table of a segment's vectors with other ones in these `rows`."""
    table = segment.vectors
    vectors, norms = table.array("vectors", "<f4", 2), table.array("norms", "<f4").copy()
    texts, runs = table.array("texts", "|u1", 2).copy(), row_runs(table, len(vectors)).copy()
    texts[rows], runs[rows] = fresh.texts, run
    for start in range(0, len(rows), _BLOCK):
        norms[rows[start : start + _BLOCK]] = np.linalg.norm(fresh.vectors[start : start + _BLOCK], axis=1)

    def parts() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(vectors), _BLOCK):
            part = vectors[start : start + _BLOCK].copy()
            first, last = np.searchsorted(rows, [start, start + _BLOCK])
            part[rows[first:last] - start] = fresh.vectors[first:last]
            yield part

    return {
        "vectors": Lazy("<f4", vectors.shape, parts),
        "norms": norms,
        "texts": texts,
        "runs": runs,
        "canaries_query": canaries.query,
        "canaries_passage": canaries.passage,
    }


def _files(index: Index, segment: SegmentReader, table: Table, metric: str, scratch: Path) -> dict[str, bytes | Path]:
    """The mended table, and the codes and the graph made from it where the segment had some: by the names they had."""
    files, part, view = index.generation.files, segment.segment, segment.view
    vectors = table.array("vectors", "<f4", 2)
    others: dict[str, bytes | Path] = {part.files(view)["vectors"]: Path(table.path)}
    if codes := part.find("codes", view, files):
        others[codes] = concatenate(write_columns(make_codes(vectors, metric)))
    if graph := part.find("hnsw", view, files):
        try:
            from core.vectors.hnsw import build_graph
        except ImportError as error:
            fix = f"pip install hnswlib; or leave the graph out: samespace index {shell(index.root)} --ann exact"
            raise MissingError("the graph has to be made again, and hnswlib is not installed", fix=fix) from error
        others[graph] = scratch / f"{part.name}.hnsw"
        build_graph(vectors, metric, scratch / f"{part.name}.hnsw")
    return others
