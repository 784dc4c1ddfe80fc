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
    Fold,
    FusionName,
    IndexPath,
    Json,
    K,
    Literal,
    MaxPerDocument,
    Mmr,
    Mode,
    OtherModel,
    Passages,
    choose_fusion,
    named_model,
)
from cli.render import emit_json, note, say, visible
from cli.waiting import waiting
from core.errors import UsageError

if TYPE_CHECKING:
    from core.index.reader import Index
    from core.pipeline.search import SearchResult, SearchSettings
    from core.query import Parsed
    from core.types import Query

    Asked = tuple[Query, Parsed | None]  # and how it is to be read: None is literally


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
    literal: Literal = False,
    max_per_document: MaxPerDocument = None,
    fold: Fold = None,
    mmr: Mmr = None,
    passages: Passages = False,
    json: Json = False,
) -> None:
    """Search an index by meaning and by words. Chinese and English, one query or a file of them.

    In a query that is typed, "…" must be there, -word must not; path:docs type:md language:zh date:>2025-06 say what the
    document must be. Queries of a file are taken as they are.

    Example: samespace search sample.index "where do otters dig along the bank"
    """
    from core.index.reader import reading
    from core.pipeline.search import SearchSettings, read_queries

    if (query is None) == (queries is None):
        raise UsageError(
            "give a query, or a file of them with --queries", fix='samespace search INDEX "what you look for"'
        )
    chosen = unit or ("document" if queries or run else "chunk")
    folding = not (json or run or queries) if fold is None else fold
    options = {"untrusted": untrusted, "fold": folding, "mmr": mmr, "max_per_document": max_per_document}
    options |= {"passages": passages, **choose_fusion(fusion, alpha)}
    settings = SearchSettings(mode=mode, k=k, depth=depth, unit=chosen, **options)  # type: ignore[arg-type]
    named = named_model(model, None, base_url, None)
    if queries is None and run is None:
        reading(index, lambda opened: _one(opened, settings, named, _typed(query or "", literal), explain, full, json))
        return
    if settings.unit == "chunk" and (run is not None or not json):
        raise UsageError("a run ranks documents", fix="leave --unit out, or use --json for chunks")
    if json and str(run) == "-":
        raise UsageError("--json and --run - both want stdout", fix="name a file with --run")
    asked = [(one, None) for one in read_queries(queries)] if queries else [_typed(query or "", literal)]
    _show_run(reading(index, lambda opened: _batch(opened, settings, named, asked)), f"samespace-{mode}", run, json)


def _typed(query: str, literal: bool) -> Asked:
    from core.query import parse
    from core.types import Query

    return Query("1", query), None if literal else parse(query)


def _one(
    opened: Index, settings: SearchSettings, named: dict[str, Any], asked: Asked, explain: bool, full: bool, json: bool
) -> None:
    from core.pipeline.search import Search

    with waiting("loading the model" if settings.mode != "lexical" else ""):
        search = Search(opened, settings, **named)
        result = search.search(*asked)
    if json:
        emit_json(
            "search",
            {
                "index": str(opened.root),
                "generation": opened.generation.generation,
                "query": result.query.text,
                "understood": result.parsed.to_json(),
                "fitting": result.scope.to_json() if result.scope else None,
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
        if result.scope:
            note(f"looked for: {result.parsed.text}")
            for what, left in result.scope.steps:
                note(f"{what}: {left:,} chunks left")
    for line in result.notes:
        note(line)
    if search.verdict and search.verdict.differences and not explain:
        note(visible(search.verdict.summary))
    show_hits(result.hits, result.parsed.text, explain=explain, full=full)
    if not result.hits:
        note(_nothing(result, settings))


def _nothing(result: SearchResult, settings: SearchSettings) -> str:
    """What to say where there is no hit, and why that may be."""
    if result.scope and not result.scope.left:
        return "nothing found: no chunk fits " + ", ".join(what for what, _ in result.scope.steps)
    return "nothing found" + ("; --mode hybrid also finds by meaning" if settings.mode == "lexical" else "")


def _batch(
    opened: Index, settings: SearchSettings, named: dict[str, Any], asked: Sequence[Asked]
) -> tuple[Index, list[SearchResult]]:
    from cli.progress import progress
    from core.pipeline.search import Search

    found = []
    with progress() as bar:
        search = Search(opened, settings, queries=len(asked), **named)
        bar.stage("search", len(asked))
        for one in asked:
            found.append(search.search(*one))
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
