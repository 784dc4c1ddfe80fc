"""build: ingest → chunk → embed → index, each doing only what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config import AUTO
from core.encoders import Model
from core.errors import UsageError
from core.index.reader import open_published
from core.pipeline.chunk import ChunkReport, choose_settings, chunk
from core.pipeline.embed import EmbedReport, embed
from core.pipeline.index import IndexReport, index
from core.pipeline.ingest import IngestReport, ingest, opened
from core.progress import SILENT, Progress
from core.vectors.plan import check_ann


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The stages' reports; `chunk` and `embed` are None when there was nothing for them to do."""

    ingest: IngestReport
    chunk: ChunkReport | None
    embed: EmbedReport | None
    index: IndexReport


def build(
    root: Path,
    paths: Sequence[str] = (),
    *,
    model: str | Model | None = None,
    base_url: str | None = None,
    name: str | None = None,
    yes: bool = False,
    chunker: str | None = None,
    size: int | None = None,
    overlap: int | None = None,
    ann: str | None = None,
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> BuildReport:
    """The four stages at once; run again, it does only what changed. `base_url`: the index's model behind another server,
    this time. Raises what they raise."""
    check_ann(ann or "auto")  # a wrong name or a missing package is said before any work
    check_base_url(root, model, base_url)
    model = None if model == AUTO else model
    with opened(root, paths, model, wait, progress) as encoder:
        if encoder is not None and encoder.remote:
            model = encoder.model  # with what its server has said: it is not asked again
        ingested = ingest(root, paths, model=model, name=name, yes=yes, progress=progress)
        chunked = embedded = None
        if ingested.staged:
            chunked = chunk(root, chunker=chunker, size=size, overlap=overlap, progress=progress)
            embedded = embed(root, model=model, base_url=base_url, progress=progress)
        else:
            check_nothing_staged(ingested, root, chunker, size, overlap)
        return BuildReport(ingested, chunked, embedded, index(root, ann=ann, progress=progress))


def check_base_url(root: Path, model: str | Model | None, base_url: str | None) -> None:
    """Raises UsageError for a server that no model is behind: a new index without one that was named."""
    if base_url is not None and model in (None, AUTO) and open_published(root) is None:
        raise UsageError(
            "a server was named, but no model behind it", path=root, fix="--provider openai --model NAME --base-url URL"
        )


def check_nothing_staged(
    report: IngestReport, root: Path, chunker: str | None, size: int | None, overlap: int | None
) -> None:
    """Raises UsageError when nothing was staged and there is no index yet, or it is cut in another way than is asked for."""
    base = open_published(root)
    if base is None:
        raise _nothing_readable(report, root)
    choose_settings(base.generation.settings, chunker, size, overlap, fixed=True, root=root)


def _nothing_readable(report: IngestReport, root: Path) -> UsageError:
    reasons = Counter(f"{outcome.status}: {outcome.reason}" for outcome in report.outcomes)
    why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(5)) or "no files there"
    return UsageError(
        f"there is nothing to index: no readable document ({why})",
        path=root,
        fix="name a folder with .txt, .md, .html, .pdf or .docx files, or BEIR's corpus.jsonl",
    )
