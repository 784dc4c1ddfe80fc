"""index: seal what is staged into a segment, count its words, and publish a new generation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from core.index.generation import Generation
from core.index.reader import open_published
from core.index.staging import Staging
from core.index.writer import publish, writing
from core.pipeline.draft import Draft
from core.pipeline.spaces import carried_is_whole, carried_size
from core.pipeline.staged import check_ingested
from core.progress import SILENT, Progress
from core.vectors import plan
from core.vectors.plan import check_ann


@dataclass(frozen=True, slots=True)
class IndexReport:
    """`published` is false when there was nothing to do; `recall` is the new graphs' recall@10 against exact search;
    `encoder` the bytes of the encoder that the index carries, 0 when it carries none.
    """

    published: bool
    generation: int
    documents: int
    chunks: int
    recall: Mapping[str, float]
    encoder: int = 0
    notes: tuple[str, ...] = ()


def index(
    root: Path,
    *,
    ann: str | None = None,
    self_contained: bool | None = None,
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> IndexReport:
    """Publish the staged documents, chunks and vectors, and the removals, as a new generation.

    `ann` chooses how vectors are searched from now on: `auto` (whatever is quickest, with binary codes for large
    segments), `exact`, `binary` (codes for all), or `hnsw` (also a graph where one can pay). `self_contained`
    puts the encoder into the index, or leaves it out again. Not given: as it was. Raises UsageError (stages out of order),
    MissingError (hnswlib, the model), SpaceMismatchError, LockedError, StorageError, CorruptError.
    """
    with writing(root, wait, progress.note):
        staging = Staging(root)
        base = open_published(root)
        state = staging.state() if base else staging.require("index")
        if state is not None:
            check_ingested(staging, state)
        before = base.generation.settings["ann"]["name"] if base else None
        method = ann or before or "auto"
        check_ann(method)  # a wrong name or a missing package is said before any work
        carried = base is not None and bool(carried_size(base.generation))
        carries = carried if self_contained is None else self_contained
        if base is not None and state is None and method == before and carries == (carried and carried_is_whole(base)):
            return _report(base.generation, published=False, recall={})
        progress.stage("index")
        with tempfile.TemporaryDirectory(prefix="samespace-") if method == "hnsw" else nullcontext("") as scratch:
            draft = Draft(staging, state, base)
            draft.add_segments()
            if method != "exact":
                draft.add_codes(1 if method == "binary" else plan.WORTH)
            if method == "hnsw":
                draft.add_graphs(Path(scratch))
            if carries:
                draft.add_encoder()
            generation = publish(root, draft.generation(method), draft.new_files)
        staging.clear()
    return _report(generation, published=True, recall=draft.recall, notes=draft.notes)


def _report(
    generation: Generation, published: bool, recall: Mapping[str, float], notes: Sequence[str] = ()
) -> IndexReport:
    chunks = sum(segment.chunks for segment in generation.segments)
    size = carried_size(generation)
    return IndexReport(published, generation.generation, generation.documents, chunks, recall, size, tuple(notes))
