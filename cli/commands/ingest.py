"""samespace ingest"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from cli.options import (
    BaseUrl,
    Dimensions,
    Json,
    NewModel,
    Provider,
    Quiet,
    SourceName,
    Sources,
    Strict,
    To,
    Wait,
    Yes,
    named_model,
)
from cli.progress import progress
from cli.render import complain, emit_json, fields, note, typed, visible
from core.errors import AnswerIsNo, UsageError

if TYPE_CHECKING:
    from core.pipeline.ingest import IngestReport


def ingest(
    to: To,
    sources: Sources = None,
    model: NewModel = None,
    provider: Provider = None,
    base_url: BaseUrl = None,
    dimensions: Dimensions = None,
    name: SourceName = None,
    yes: Yes = False,
    strict: Strict = False,
    wait: Wait = 0.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Read files and folders (.txt .md .html .pdf .docx, corpus.jsonl) and stage what is new, changed or gone.

    Example: samespace ingest sample_corpus --to sample.index
    """
    from core.pipeline.ingest import ingest as ingest_sources

    named = named_model(model, provider, base_url, dimensions)["model"]
    if base_url is not None and named is None:
        raise UsageError("a server was named, but no model behind it", fix="name the model with --model NAME")
    with progress() as bar:
        report = ingest_sources(to, sources or (), model=named, name=name, yes=yes, wait=wait, progress=bar)
    if json:
        emit_json("ingest", {"index": str(to), **outcome_json(report, quiet)})
    else:
        fields(outcome_rows(report))
        show_troubles(report)
        note(
            f"next: samespace chunk {typed(to)}"
            if report.staged
            else f"next: samespace index {typed(to)}"
            if report.dead
            else "nothing changed"
        )
    strict_exit(report, strict)


def outcome_json(report: IngestReport, quiet: bool = False) -> dict[str, Any]:
    """With `quiet` only the files that failed are listed: the line of a night over many files stays short."""
    files = [o for o in report.outcomes if not quiet or o.status == "failed"]
    return {
        "model": report.model.name,
        "counts": report.counts,
        "files": [{"path": o.path, "status": o.status, "reason": o.reason} for o in files],
        "notes": list(report.notes),
    }


def outcome_rows(report: IngestReport) -> list[tuple[str, str]]:
    counts = ", ".join(f"{count:,} {status}" for status, count in report.counts.items() if count) or "nothing found"
    return [("model", report.model.name), ("ingest", counts)]


def show_troubles(report: IngestReport) -> None:
    """On stderr: each failure by name, and what was skipped by reason."""
    for line in report.notes:
        note(visible(line))
    for outcome in report.outcomes:
        if outcome.status == "failed":
            complain(f"failed: {visible(outcome.path)}: {visible(outcome.reason)}")
    skipped = Counter(o.reason for o in report.outcomes if o.status == "skipped")
    for reason, count in skipped.most_common(10):
        note(f"skipped: {count:,} × {visible(reason)}")
    if len(skipped) > 10:
        note(f"skipped: {len(skipped) - 10} more reasons; --json lists every file")


def strict_exit(report: IngestReport, strict: bool) -> None:
    if strict and (failed := report.counts["failed"]):
        raise AnswerIsNo(f"{failed} files could not be read (--strict)", fix="they are listed above, and by --json")
