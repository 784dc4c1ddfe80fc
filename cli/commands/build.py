"""samespace build"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.ingest import outcome_json, outcome_rows, show_troubles, strict_exit
from cli.options import (
    Ann,
    BaseUrl,
    Chunker,
    Dimensions,
    Json,
    NewModel,
    Overlap,
    Provider,
    Quiet,
    Size,
    SourceName,
    Sources,
    Strict,
    To,
    Wait,
    Yes,
    named_model,
)
from cli.progress import progress
from cli.render import complain, duration, emit_json, fields, note, typed
from core.errors import ExitCode, SamespaceError, UsageError, from_os_error

if TYPE_CHECKING:
    from core.pipeline.build import BuildReport
    from core.pipeline.dry_run import DryRun


def build(
    to: To,
    sources: Sources = None,
    model: NewModel = None,
    provider: Provider = None,
    base_url: BaseUrl = None,
    dimensions: Dimensions = None,
    name: SourceName = None,
    yes: Yes = False,
    chunker: Chunker = None,
    size: Size = None,
    overlap: Overlap = None,
    ann: Ann = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it would take; do nothing.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on: build again whenever a source changes.")] = False,
    keep: Annotated[
        int | None,
        typer.Option("--keep", metavar="N", help="Afterwards keep the newest N generations only.", min=1),
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Exit 1 when nothing changed.")] = False,
    strict: Strict = False,
    wait: Wait = 0.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Read, chunk, embed and index: the four stages at once. Run again, it does only what changed.

    At night, from cron: samespace build --to my.index --quiet --json --wait 600 --keep 7

    Example: samespace build sample_corpus --to sample.index
    """
    stages: dict[str, Any] = {
        **named_model(model, provider, base_url, dimensions),
        "name": name,
        "yes": yes,
        "chunker": chunker,
        "size": size,
        "overlap": overlap,
    }
    if dry_run:
        if watch:
            raise UsageError("--dry-run does nothing, so there is nothing to --watch", fix="leave one of them out")
        found = _dry_run(to, sources or (), json, quiet, {**stages, "ann": ann})
        if keep is not None:
            note(f"what --keep would remove: samespace gc {typed(to)} --keep {keep} --dry-run")
        strict_exit(found.ingest, strict)
        if changed and not found.changes:
            raise typer.Exit(int(ExitCode.NO))
        return
    report, trouble = _build(to, sources or (), keep, wait, {**stages, "ann": ann})
    _tell(report, trouble, to, json, quiet)
    if watch:
        _watch(to, keep, wait, {"base_url": stages["base_url"]}, json, quiet)
    if trouble is not None:
        raise typer.Exit(int(trouble.exit_code))
    strict_exit(report.ingest, strict)
    if changed and not report.index.published:
        raise typer.Exit(int(ExitCode.NO))


def _build(
    to: Path, sources: Sequence[str], keep: int | None, wait: float, options: dict[str, Any]
) -> tuple[BuildReport, SamespaceError | None]:
    """The report, and why older generations were not collected: what was built stays built."""
    from core.index.collect import collect
    from core.pipeline.build import build as build_index

    with progress() as bar:
        report = build_index(to, sources, wait=wait, progress=bar, **options)
        try:
            if keep is not None:
                collect(to, keep, wait=wait, progress=bar)
        except SamespaceError as error:
            return report, error
    return report, None


def _tell(report: BuildReport, trouble: SamespaceError | None, to: Path, json: bool, quiet: bool) -> None:
    if json:
        kept = {"not_collected": trouble.to_json()} if trouble else {}
        emit_json("build", {"index": str(to), **_json(report, quiet), **kept})
    else:
        _show(report, to)
    if trouble is not None:
        complain("samespace: the build is done; older generations stay, for they could not be collected:")
        _complain(trouble)


def _complain(error: SamespaceError) -> None:
    where = f"{error.path}: " if error.path else ""
    complain(f"{time.strftime('%H:%M:%S')} {where}{error.message}" + (f"\n  → {error.fix}" if error.fix else ""))


def _watch(to: Path, keep: int | None, wait: float, options: dict[str, Any], json: bool, quiet: bool) -> None:
    """Build again after every change, until Ctrl-C. What fails then may be mended by the next change, so it is only said."""
    from core.pipeline.watch import changes

    note("watching the sources; Ctrl-C ends it")
    building = False
    try:
        for _ in changes(to):
            try:
                building = True
                report, trouble = _build(to, (), keep, wait, options)
                building = False
                if report.index.published:
                    _tell(report, trouble, to, json, quiet)
            except (SamespaceError, OSError) as error:
                building = False
                _complain(error if isinstance(error, SamespaceError) else from_os_error(error))
            building = False
    except KeyboardInterrupt:
        if building:
            raise


def _dry_run(to: Path, sources: Sequence[str], json: bool, quiet: bool, options: dict[str, Any]) -> DryRun:
    from core.pipeline.dry_run import dry_run

    with progress() as bar:
        found = dry_run(to, sources, progress=bar, **options)
    if json:
        what: dict[str, Any] = {
            "chunks": found.chunks,
            "to_embed": found.embedded,
            "cached": found.cached,
            "seconds": found.seconds,
        }
        what |= {"tokens": found.tokens, "cost_usd": found.cost, "would_publish": found.changes}
        emit_json("build", {"index": str(to), "dry_run": True, **outcome_json(found.ingest, quiet), **what})
        return found
    rows = outcome_rows(found.ingest)
    if found.chunks:
        rows.append(("chunk", f"{found.chunks:,} chunks"))
        time = f", about {duration(found.seconds)}" if found.sampled else ""
        sent = "" if found.tokens is None else f", at most about {found.tokens:,} tokens to send"
        sent += "" if found.cost is None else f" for ${found.cost:.4f} (the price of {found.priced})"
        rows.append(("embed", f"{found.embedded:,} texts{time}{sent}; {found.cached:,} from the cache"))
    rows.append(("index", "a new generation would be published" if found.changes else "nothing would change"))
    fields(rows)
    show_troubles(found.ingest)
    note("nothing was changed (--dry-run)")
    return found


def _json(report: BuildReport, quiet: bool) -> dict[str, Any]:
    chunked, embedded, indexed = report.chunk, report.embed, report.index
    return {
        **outcome_json(report.ingest, quiet),
        "chunks": chunked.chunks if chunked else 0,
        "embedded": embedded.embedded if embedded else 0,
        "reused": embedded.reused if embedded else 0,
        "cached": embedded.cached if embedded else 0,
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
        cached = f", {embedded.cached:,} of them from the cache" if embedded.cached else ""
        by = f" by {embedded.runtime}" if embedded.embedded else ""
        rows.append(("embed", f"{embedded.embedded:,} texts embedded{by}, {embedded.reused:,} known already{cached}"))
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
