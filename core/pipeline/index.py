"""index: seal what is staged into a segment, count its words, and publish a new generation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chunkers import ChunkSettings
from core.errors import UsageError
from core.index.columns import Table, concatenate, write_columns
from core.index.generation import Generation, Segment, View, read_current
from core.index.reader import Index, open_index
from core.index.staging import Staging
from core.index.state import State
from core.index.writer import NewFile, carry_over, next_number, now, publish, writing
from core.lexical import ANALYZERS, Analyzer
from core.lexical.postings import count
from core.pipeline.chunk import read_chunks
from core.pipeline.ledger import read_documents
from core.pipeline.spaces import space_files, staged_space
from core.progress import SILENT, Progress
from core.space.identity import Space
from core.vectors import SEARCHERS
from core.version import VERSION

DEFAULT_ANALYZER = "mixed"


@dataclass(frozen=True, slots=True)
class IndexReport:
    """`published` is false when there was nothing to do; `recall` is the graphs' recall@10 against exact search."""

    published: bool
    generation: int
    documents: int
    chunks: int
    recall: Mapping[str, float]


def index(root: Path, *, ann: str | None = None, progress: Progress = SILENT) -> IndexReport:
    """Publish the staged documents, chunks and vectors, and the removals, as a new generation.

    `ann` chooses how vectors are searched from now on: `exact`, or `hnsw` (a graph for every segment). Not given: as it
    was. Raises UsageError (stages out of order), MissingError (hnswlib), LockedError, StorageError, CorruptError.
    """
    with writing(root):
        staging = Staging(root)
        base = open_index(root) if read_current(root) else None
        state = staging.state()
        if state is None and base is None:
            state = staging.require("index")
        method = ann or (base.generation.settings["ann"]["name"] if base else "exact")
        searcher = SEARCHERS.load(method)  # a missing package is said before any work
        unchanged = base is not None and method == base.generation.settings["ann"]["name"]
        if state is None and base is not None and unchanged:
            return _report(base.generation, published=False)
        progress.stage("index")
        with tempfile.TemporaryDirectory(prefix="samespace-") as scratch:
            generation, new_files, recall = _next(root, staging, state, base, method, searcher, Path(scratch))
            generation = publish(root, generation, new_files)
        staging.clear()
    return _report(generation, published=True, recall=recall)


def _report(generation: Generation, published: bool, recall: Mapping[str, float] | None = None) -> IndexReport:
    chunks = sum(segment.chunks for segment in generation.segments)
    return IndexReport(published, generation.generation, generation.documents, chunks, recall or {})


def _next(
    root: Path, staging: Staging, state: State | None, base: Index | None, method: str, searcher: Any, scratch: Path
) -> tuple[Generation, list[NewFile], dict[str, float]]:
    """The next generation and the files that are new in it."""
    number = next_number(root)
    analyzer: Analyzer = ANALYZERS.load(DEFAULT_ANALYZER)()
    view = base.view if base else _first_view(staging, state, analyzer)
    new_files: list[NewFile] = []
    segments = list(base.generation.segments) if base else []
    dead = {name: set(rows) for name, rows in (base.generation.dead if base else {}).items()}
    if state is not None:
        for name, rows in state.dead.items():
            dead.setdefault(name, set()).update(rows)
        if state.documents:
            segment, files = _segment(root, staging, f"{number:06d}", view, analyzer)
            segments.append(segment)
            new_files += files
    # A segment of which nothing lives is left behind.
    segments = [s for s in segments if len(dead.get(s.name, ())) < s.documents]
    if base is None:
        names = space_files(view.space)
        new_files += [NewFile(names[0], staging.path("space.json")), NewFile(names[1], staging.path("canaries"))]
    graphs, recall = _graphs(base, staging, segments, view, method, scratch) if method == "hnsw" else ([], {})
    new_files += graphs
    needed = {name for s in segments for name in s.files(view).values()} | set(space_files(view.space))
    if method == "hnsw":
        needed |= {s.graph(view) for s in segments}
    source = state or base.generation if base else state
    assert source is not None
    chunker = dict(source.settings["chunker"])
    generation = Generation(
        generation=number,
        parent=base.generation.generation if base else 0,
        created=now(),
        tool=VERSION,
        sources=tuple(source.sources),
        model=dict(source.model),
        settings={"chunker": chunker, "analyzer": analyzer.settings, "ann": {"name": method}},
        views=(view,),
        segments=tuple(segments),
        dead={s.name: tuple(sorted(dead[s.name])) for s in segments if dead.get(s.name)},
        files=carry_over(base.generation.files if base else {}, needed),
    )
    return generation, new_files, recall


def _first_view(staging: Staging, state: State | None, analyzer: Analyzer) -> View:
    """The view of an index's first generation. Raises UsageError when a stage is missing."""
    if state is None or not state.documents:
        raise UsageError(
            "there are no documents to publish",
            path=staging.root,
            fix=f"samespace ingest FOLDER --to {staging.root}; `samespace ingest --json` says why files were left out",
        )
    record = staged_space(staging)
    if record is None or "chunker" not in state.settings:
        stage = "embed" if "chunker" in state.settings else "chunk"
        raise UsageError(
            f"the staged documents are not through `{stage}` yet",
            path=staging.root,
            fix=f"samespace {stage} {staging.root}",
        )
    tokenizer = Space.from_json(state.space).tokenizer
    chunking = ChunkSettings.from_json(state.settings["chunker"]).id(tokenizer)
    return View(chunking, analyzer.identity, record.space.id)


def _segment(root: Path, staging: Staging, name: str, view: View, analyzer: Analyzer) -> tuple[Segment, list[NewFile]]:
    """The staged tables as a segment, with its postings. Raises UsageError when a stage is missing or out of date."""
    documents_table = staging.table("documents")
    chunks = staging.table("chunks", made_from=staging.digest("documents"))
    if documents_table is None or chunks is None:
        raise UsageError("the staged documents are not cut yet", path=root, fix=f"samespace chunk {root}")
    vectors = staging.table("vectors", made_from=staging.digest("chunks"))
    if vectors is None or vectors.meta.get("space") != view.space:
        raise UsageError("the staged chunks are not all embedded yet", path=root, fix=f"samespace embed {root}")
    documents = list(read_documents(documents_table))
    pieces = list(read_chunks(chunks, documents))
    postings = count(analyzer, (f"{piece.context}\n{piece.text}" for piece in pieces))
    segment = Segment(name, len(documents), len(pieces))
    names = segment.files(view)
    return segment, [
        NewFile(names["documents"], staging.path("documents")),
        NewFile(names["chunks"], staging.path("chunks")),
        NewFile(names["lexical"], concatenate(write_columns(postings))),
        NewFile(names["vectors"], staging.path("vectors")),
    ]


def _graphs(
    base: Index | None, staging: Staging, segments: list[Segment], view: View, method: str, scratch: Path
) -> tuple[list[NewFile], dict[str, float]]:
    """A graph for every segment that has none yet, built aside and read back before it gets its name."""
    from core.vectors.hnsw import build_graph

    have = set(base.generation.files) if base else set()
    files, recall = [], {}
    published = {reader.segment.name: reader for reader in base.segments} if base else {}
    metric = _metric(base, staging)
    for segment in segments:
        if segment.graph(view) in have:
            continue
        table = published[segment.name].vectors if segment.name in published else Table(staging.path("vectors"))
        path = scratch / f"{segment.name}.hnsw"
        recall[segment.name] = build_graph(table.array("vectors", "<f4", 2), metric, path)
        files.append(NewFile(segment.graph(view), path.read_bytes()))
    return files, recall


def _metric(base: Index | None, staging: Staging) -> str:
    from core.pipeline.spaces import read_space

    record = read_space(base) if base else staged_space(staging)
    assert record is not None
    return record.metric
