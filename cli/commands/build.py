"""samespace build"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.commands.ingest import outcome_json, outcome_rows, show_troubles, strict_exit
from cli.options import Ann, Chunker, Json, NewModel, Overlap, Quiet, Size, SourceName, Sources, Strict, To, Yes
from cli.progress import progress
from cli.render import emit_json, fields, note, typed

if TYPE_CHECKING:
    from core.pipeline.build import BuildReport


def build(
    to: To,
    sources: Sources = None,
    model: NewModel = None,
    name: SourceName = None,
    yes: Yes = False,
    chunker: Chunker = None,
    size: Size = None,
    overlap: Overlap = None,
    ann: Ann = None,
    strict: Strict = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Read, chunk, embed and index: the four stages at once. Run again, it does only what changed.

    Example: samespace build sample_corpus --to sample.index
    """
    from core.pipeline.build import build as build_index

    with progress() as bar:
        report = build_index(
            to,
            sources or (),
            model=model,
            name=name,
            yes=yes,
            chunker=chunker,
            size=size,
            overlap=overlap,
            ann=ann,
            progress=bar,
        )
    if json:
        emit_json("build", {"index": str(to), **_json(report)})
    else:
        _show(report, to)
    strict_exit(report.ingest, strict)


def _json(report: BuildReport) -> dict[str, Any]:
    chunked, embedded, indexed = report.chunk, report.embed, report.index
    return {
        **outcome_json(report.ingest),
        "chunks": chunked.chunks if chunked else 0,
        "embedded": embedded.embedded if embedded else 0,
        "reused": embedded.reused if embedded else 0,
        "truncated": embedded.truncated if embedded else 0,
        "runtime": embedded.runtime if embedded else "",
        "padding": embedded.padding if embedded else 0.0,
        "published": indexed.published,
        "generation": indexed.generation,
        "documents": indexed.documents,
        "recall": dict(indexed.recall),
    }


def _show(report: BuildReport, to: Path) -> None:
    chunked, embedded, indexed = report.chunk, report.embed, report.index
    rows = outcome_rows(report.ingest)
    if chunked:
        rows.append(
            ("chunk", f"{chunked.chunks:,} chunks of {chunked.documents:,} documents ({chunked.settings.text})")
        )
    if embedded:
        by = f" by {embedded.runtime}" if embedded.embedded else ""
        rows.append(("embed", f"{embedded.embedded:,} texts embedded{by}, {embedded.reused:,} known already"))
    word = "published" if indexed.published else "nothing changed:"
    rows.append(("index", f"{word} generation {indexed.generation}, {indexed.documents:,} documents"))
    for name, share in indexed.recall.items():
        rows.append(("hnsw", f"segment {name}: recall@10 {share:.3f} against exact search"))
    fields(rows)
    show_troubles(report.ingest)
    for line in indexed.notes:
        note(line)
    if embedded and embedded.truncated:
        note(f"{embedded.truncated:,} texts were longer than the model takes; it saw their beginnings")
    if indexed.published:
        note(f"next: samespace search {typed(to)} 'what you look for'")
