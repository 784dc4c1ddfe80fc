"""check: is every file of the published generation there, whole, and does it fit the others? Returns findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.errors import SamespaceError, shell
from core.index import fs
from core.index.generation import Generation, check_magic, generation_name, read_current
from core.index.reader import Index, SegmentReader
from core.index.staging import Staging
from core.lexical.postings import Postings
from core.pipeline.spaces import read_space
from core.progress import SILENT, Progress
from core.types import Finding
from core.vectors.codes import read_codes

_RESTORE = "restore the file from a copy of the index, or build the index again"


def check(root: Path, progress: Progress = SILENT) -> list[Finding]:
    """Every finding about the index at `root`: digests and sizes of all files, then the structure of each segment.

    Nothing remembered from earlier runs is trusted. Raises NoIndexError, CorruptError, FormatError when there is no
    index or generation to look at.
    """
    check_magic(root)
    number = read_current(root)
    if not number:
        return [
            _staged(root),
            Finding("generation", "warning", "nothing is published yet", f"samespace build --to {shell(root)}"),
        ]
    path = root / generation_name(number)
    generation = Generation.from_bytes(path.read_bytes(), path)
    findings = list(_files(root, generation, progress))
    if not findings:
        findings += _structure(Index(root, generation))
    if not findings:
        message = f"generation {number}: {len(generation.files)} files whole, {generation.documents} documents"
        findings.append(Finding("index", "ok", message))
    return [*findings, _staged(root)]


def _files(root: Path, generation: Generation, progress: Progress) -> Iterator[Finding]:
    progress.stage("check", len(generation.files))
    for name, expected in generation.files.items():
        progress.advance()
        path = root / name
        details = {"path": name, "size": expected.size, "sha256": expected.sha256}
        try:
            found = fs.digest(path)
        except FileNotFoundError:
            yield Finding("file", "error", f"{name} is missing", _RESTORE, details)
        except OSError as error:
            yield Finding("file", "error", f"{name} cannot be read ({error.strerror})", _RESTORE, details)
        else:
            if found.size != expected.size:
                message = f"{name} has {found.size:,} bytes instead of {expected.size:,}"
                yield Finding("file", "error", message, _RESTORE, details)
            elif found != expected:
                yield Finding("file", "error", f"the content of {name} changed (sha256 differs)", _RESTORE, details)


def _structure(index: Index) -> Iterator[Finding]:
    try:
        dimension = read_space(index).space.dimension
    except SamespaceError as error:
        yield Finding("space", "error", error.message, error.fix)
        return
    seen: dict[str, str] = {}
    for segment in index.segments:
        name = segment.segment.name
        try:
            yield from _segment(segment, dimension)
            mask = segment.live_documents
            for row, document_id in enumerate(segment.document_ids()):
                if mask is None or mask[row]:
                    if document_id in seen:
                        message = f"the document {document_id!r} lives in the segments {seen[document_id]} and {name}"
                        yield Finding("documents", "error", message, "build the index again")
                    seen[document_id] = name
        except SamespaceError as error:
            yield Finding("segment", "error", f"segment {name}: {error.message} ({error.path})", _RESTORE)


def _segment(segment: SegmentReader, dimension: int) -> Iterator[Finding]:
    """Spans inside their documents, postings and vectors for every chunk, vectors finite and as long as their norms."""
    name, chunks = segment.segment.name, segment.segment.chunks
    lengths = np.array([len(segment.document(row).text) for row in range(segment.segment.documents)], dtype=np.int64)
    start, end = segment.chunks.array("start", "<i8"), segment.chunks.array("end", "<i8")
    documents = segment.chunk_documents
    if (
        not (len(start) == len(end) == chunks)
        or (start < 0).any()
        or (end < start).any()
        or (end > lengths[documents]).any()
    ):
        yield Finding("chunks", "error", f"segment {name}: spans outside their documents", "build the index again")
    if len(Postings(segment.lexical)) != chunks:
        yield Finding("lexical", "error", f"segment {name}: postings for another number of chunks", _RESTORE)
    vectors, norms = segment.vectors.array("vectors", "<f4", 2), segment.vectors.array("norms", "<f4")
    if vectors.shape != (chunks, dimension) or len(norms) != chunks:
        yield Finding("vectors", "error", f"segment {name}: vectors of another shape: {vectors.shape}", _RESTORE)
    elif not np.isfinite(vectors).all() or not np.allclose(np.linalg.norm(vectors, axis=1), norms, rtol=1e-4):
        yield Finding(
            "vectors", "error", f"segment {name}: vectors that are no numbers or changed", "build the index again"
        )
    elif (codes := segment.codes) is not None:
        found = read_codes(codes, *vectors.shape)
        rows = np.unique(np.linspace(0, max(chunks - 1, 0), num=min(100, chunks), dtype=np.int64))
        if not found.fit(vectors, rows):
            fix = "samespace index INDEX --ann exact, then --ann auto, makes them anew"
            yield Finding("codes", "error", f"segment {name}: binary codes of other vectors", fix)


def _staged(root: Path) -> Finding:
    try:
        state = Staging(root).state()
    except SamespaceError as error:
        return Finding("staging", "warning", error.message, error.fix)
    if state is None:
        return Finding("staging", "ok", "nothing is staged")
    return Finding("staging", "note", f"{state.documents} documents are staged", f"samespace build --to {shell(root)}")
