"""samespace rerank"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.hits import hit_json, show_hits
from cli.options import IndexPath, Json, K, Mode, unknown_language
from cli.render import emit_json, note, say
from cli.waiting import waiting
from core.errors import UsageError

if TYPE_CHECKING:
    from core.index.reader import Index
    from core.runs import Run
    from core.types import Hit, Query


def rerank(
    index: IndexPath,
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="What you look for.", show_default=False)] = None,
    reranker: Annotated[
        str, typer.Option(help="maxsim (the index's own encoder), or a cross-encoder by hub name or folder.")
    ] = "maxsim",
    hits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Hits of `search --json` instead of an own search; - is stdin.")
    ] = None,
    run: Annotated[Path | None, typer.Option(metavar="FILE", help="A TREC run to rerank; needs --queries.")] = None,
    queries: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The queries of --run, a JSON line each.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the reranked run goes; else to stdout.")
    ] = None,
    k: K = 10,
    candidates: Annotated[
        int, typer.Option(help="How many hits the own search gives the reranker.", min=1, max=10_000)
    ] = 50,
    mode: Mode = "hybrid",
    explain: Annotated[bool, typer.Option("--explain", help="Show every stage's score, rank and weight.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show whole chunks.")] = False,
    json: Json = False,
) -> None:
    """Order hits anew by a model that reads query and passage together.

    Example: samespace rerank sample.index "how to open a bank account"
    """
    from core.index.reader import reading

    if run is not None:
        if queries is None or hits is not None or query is not None:
            raise UsageError(
                "--run needs --queries, and nothing else to rerank",
                fix="samespace rerank INDEX --run in.trec --queries q.jsonl --out out.trec",
            )
        ranked, asked = _read_run(run, queries)
        _show_run(index, reading(index, lambda opened: _run(opened, reranker, ranked, asked, k)), reranker, out, json)
        return
    if queries is not None or out is not None:
        raise UsageError(
            "--queries and --out belong to --run", fix="samespace rerank INDEX --run in.trec --queries q.jsonl"
        )
    given = _read(hits) if hits is not None else None
    if given is None and query is None:
        raise UsageError("there is no query", fix='samespace rerank INDEX "what you look for", or --hits, or --run')
    reading(index, lambda opened: _hits(opened, reranker, query, given, k, candidates, mode, explain, full, json))


def _read(path: Path) -> str:
    if str(path) == "-":
        if sys.stdin is None:
            raise UsageError(
                "standard input is closed", fix="samespace search INDEX QUERY --json | samespace rerank INDEX --hits -"
            )
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    if not path.is_file():
        raise UsageError(
            "there is no such file of hits", path=path, fix='samespace search INDEX "QUERY" --json > hits.json'
        )
    return path.read_text(encoding="utf-8", errors="replace")


def _hits(
    opened: Index,
    name: str,
    query: str | None,
    given: str | None,
    k: int,
    candidates: int,
    mode: str,
    explain: bool,
    full: bool,
    json: bool,
) -> None:
    from core.pipeline.rerank import open_reranker, read_hits
    from core.pipeline.rerank import rerank as rerank_hits
    from core.pipeline.search import Search, SearchSettings
    from core.types import Query

    with waiting("loading the models"):
        found: list[Hit]
        if given is not None:
            asked, found = read_hits(given, opened)
            query = query or asked
            model = open_reranker(name, opened)
        else:
            settings = SearchSettings(mode=mode, k=candidates)  # type: ignore[arg-type]
            search = Search(opened, settings)
            found = list(search.search(Query("1", query or "")).hits)
            model = open_reranker(name, opened)
        ranked = rerank_hits(model, query or "", found, k)
    if json:
        value = [hit_json(rank, hit) for rank, hit in enumerate(ranked, start=1)]
        emit_json(
            "rerank",
            {
                "index": str(opened.root),
                "query": query,
                "reranker": model.name,
                "candidates": len(found),
                "hits": value,
            },
        )
        return
    own = opened.generation.model
    if name == "maxsim" and (warning := unknown_language([query or ""], own["name"], own.get("languages", ()))):
        note(warning)
    show_hits(ranked, query or "", explain=explain, full=full)
    if not ranked:
        note("nothing to rerank")


def _read_run(run: Path, queries: Path) -> tuple[Run, list[Query]]:
    """The run, and those of the queries that are in it."""
    from core.pipeline.search import read_queries
    from core.runs import decode_id, read_run

    ranked, all_queries = read_run(run), read_queries(queries)
    ids = {query.id for query in all_queries}
    ranked = {decode_id(id, ids): documents for id, documents in ranked.items()}
    asked = [query for query in all_queries if query.id in ranked]
    if not asked:
        raise UsageError(
            "no query of the run is in --queries", path=queries, fix="check that the two files belong together"
        )
    return ranked, asked


def _run(opened: Index, name: str, ranked: Run, asked: Sequence[Query], k: int) -> dict[str, list[Hit]]:
    """The reranked hits by query, the best chunk of each document."""
    from cli.progress import progress
    from core.pipeline.rerank import open_reranker, read_run_hits
    from core.pipeline.rerank import rerank as rerank_hits
    from core.runs import decode_id

    known = {segment.document_ids()[row] for segment, row in opened.live_documents()}
    model = open_reranker(name, opened)
    found: dict[str, list[Hit]] = {}
    with progress() as bar:
        bar.stage("rerank", len(asked))
        for query in asked:
            pairs = [(decode_id(document, known), score) for document, score in ranked[query.id].items()]
            pairs.sort(key=lambda pair: (-pair[1], pair[0]))
            best: dict[str, Hit] = {}
            for hit in rerank_hits(model, query.text, read_run_hits(opened, pairs)):
                best.setdefault(hit.chunk.document_id, hit)
            found[query.id] = list(best.values())[:k]
            bar.advance()
    return found


def _show_run(index: Path, found: dict[str, list[Hit]], name: str, out: Path | None, json: bool) -> None:
    from cli.files import write_lines
    from core.runs import run_lines

    tag = f"samespace-{name.replace('/', '-')}"
    lines = [
        line
        for id, hits in found.items()
        for line in run_lines(id, {hit.chunk.document_id: hit.score for hit in hits}, tag)
    ]
    if out is not None and str(out) != "-":
        write_lines(out, lines)
        note(f"{len(found):,} queries, {len(lines):,} lines → {out}")
    if json:
        value = [
            {"id": id, "hits": [hit_json(rank, hit) for rank, hit in enumerate(hits, start=1)]}
            for id, hits in found.items()
        ]
        emit_json("rerank", {"index": str(index), "reranker": name, "queries": value})
    elif out is None or str(out) == "-":
        for line in lines:
            say(line)
