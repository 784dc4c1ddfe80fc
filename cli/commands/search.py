"""samespace search"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.hits import hit_json, show_hits
from cli.options import (
    Alpha,
    BaseUrl,
    Depth,
    FusionName,
    IndexPath,
    Json,
    K,
    Mode,
    OtherModel,
    choose_fusion,
    named_model,
)
from cli.render import emit_json, note, say, visible
from cli.waiting import waiting
from core.errors import UsageError

if TYPE_CHECKING:
    from core.index.reader import Index
    from core.pipeline.search import SearchResult, SearchSettings
    from core.types import Query


def search(
    index: IndexPath,
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="What you look for.", show_default=False)] = None,
    k: K = 10,
    mode: Mode = "hybrid",
    fusion: FusionName = "auto",
    alpha: Alpha = None,
    depth: Depth = 200,
    unit: Annotated[str | None, typer.Option(help="What is ranked: chunk, or document by its best chunk.")] = None,
    model: OtherModel = None,
    base_url: BaseUrl = None,
    queries: Annotated[
        Path | None, typer.Option(metavar="FILE", help='Many queries: a line each, {"_id": "q1", "text": "…"}.')
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ranking of documents as a TREC run; - is stdout.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show every stage's score, rank and weight.")] = False,
    untrusted: Annotated[
        bool, typer.Option("--untrusted", help="The index is somebody else's: hand none of its graphs to native code.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Show whole chunks.")] = False,
    json: Json = False,
) -> None:
    """Search an index by meaning and by words. Chinese and English, one query or a file of them.

    Example: samespace search sample.index "where do otters dig along the bank"
    """
    from core.index.reader import reading
    from core.pipeline.search import SearchSettings, read_queries
    from core.types import Query

    if (query is None) == (queries is None):
        raise UsageError(
            "give a query, or a file of them with --queries", fix='samespace search INDEX "what you look for"'
        )
    chosen = unit or ("document" if queries or run else "chunk")
    options = {"untrusted": untrusted, **choose_fusion(fusion, alpha)}
    settings = SearchSettings(mode=mode, k=k, depth=depth, unit=chosen, **options)  # type: ignore[arg-type]
    named = named_model(model, None, base_url, None)
    if queries is None and run is None:
        reading(index, lambda opened: _one(opened, settings, named, query or "", explain, full, json))
        return
    if settings.unit == "chunk" and (run is not None or not json):
        raise UsageError("a run ranks documents", fix="leave --unit out, or use --json for chunks")
    if json and str(run) == "-":
        raise UsageError("--json and --run - both want stdout", fix="name a file with --run")
    asked = read_queries(queries) if queries else [Query("1", query or "")]
    _show_run(reading(index, lambda opened: _batch(opened, settings, named, asked)), f"samespace-{mode}", run, json)


def _one(
    opened: Index, settings: SearchSettings, named: dict[str, Any], query: str, explain: bool, full: bool, json: bool
) -> None:
    from core.pipeline.search import Search
    from core.types import Query

    with waiting("loading the model" if settings.mode != "lexical" else ""):
        search = Search(opened, settings, **named)
        result = search.search(Query("1", query))
    if json:
        emit_json(
            "search",
            {
                "index": str(opened.root),
                "generation": opened.generation.generation,
                "query": query,
                "mode": settings.mode,
                "plan": result.plan,
                "notes": list(result.notes),
                "space": search.verdict.to_json() if search.verdict else None,
                "hits": [hit_json(rank, hit) for rank, hit in enumerate(result.hits, start=1)],
            },
        )
        return
    if explain:
        note(f"plan: {result.plan}")
        if search.verdict:
            note(f"space: {search.verdict.summary}")
    for line in result.notes:
        note(line)
    if search.verdict and search.verdict.differences and not explain:
        note(visible(search.verdict.summary))
    show_hits(result.hits, query, explain=explain, full=full)
    if not result.hits:
        note("nothing found" + ("; --mode hybrid also finds by meaning" if settings.mode == "lexical" else ""))


def _batch(
    opened: Index, settings: SearchSettings, named: dict[str, Any], asked: Sequence[Query]
) -> tuple[Index, list[SearchResult]]:
    from cli.progress import progress
    from core.pipeline.search import Search

    found = []
    with progress() as bar:
        search = Search(opened, settings, queries=len(asked), **named)
        bar.stage("search", len(asked))
        for one in asked:
            found.append(search.search(one))
            bar.advance()
    return opened, found


def _show_run(batch: tuple[Index, list[SearchResult]], tag: str, run: Path | None, json: bool) -> None:
    from cli.files import write_lines
    from core.pipeline.search import documents_of
    from core.runs import run_lines

    opened, found = batch
    lines = [line for one in found for line in run_lines(one.query.id, documents_of(one.hits), tag)]
    if run is not None and str(run) != "-":
        write_lines(run, lines)
        note(f"{len(found):,} queries, {len(lines):,} lines → {run}")
    if json:
        value = [
            {"id": one.query.id, "hits": [hit_json(rank, hit) for rank, hit in enumerate(one.hits, start=1)]}
            for one in found
        ]
        emit_json("search", {"index": str(opened.root), "generation": opened.generation.generation, "queries": value})
    elif run is None or str(run) == "-":
        for line in lines:
            say(line)
