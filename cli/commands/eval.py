"""samespace eval"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Alpha, Depth, FusionName, IndexPath, Json, Mode, OtherModel, choose_fusion
from cli.progress import progress
from cli.render import emit_json, fields, note, number, visible

if TYPE_CHECKING:
    from core.evaluate import Evaluation
    from core.index.reader import Index
    from core.pipeline.search import SearchSettings
    from core.runs import Run
    from core.types import Query


def eval(
    index: IndexPath,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="queries.jsonl and qrels/test.tsv (or qrels.tsv), as BEIR has them."),
    ],
    mode: Mode = "hybrid",
    fusion: FusionName = "auto",
    alpha: Alpha = None,
    depth: Depth = 200,
    metrics: Annotated[
        str, typer.Option(help="ir-measures' names, with commas or spaces between.")
    ] = "nDCG@10 R@100 RR@10",
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="Judgements from another file.")] = None,
    run: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the ranking as a TREC run.")] = None,
    model: OtherModel = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Show every query's values.")] = False,
    json: Json = False,
) -> None:
    """Measure how good the ranking is against judgements, documents ranked by their best chunk.

    Example: samespace eval sample.index sample_corpus
    """
    from core.evaluate import depth_of, find_qrels, judged_queries, parse_metrics, read_qrels
    from core.evaluate import evaluate as score_run
    from core.index.reader import reading
    from core.pipeline.search import SearchSettings, read_queries

    names = metrics.replace(",", " ").split()
    k = depth_of(parse_metrics(names))
    judgements = read_qrels(qrels or find_qrels(folder))
    queries = judged_queries(read_queries(folder / "queries.jsonl"), judgements, folder)
    settings = SearchSettings(mode=mode, k=k, depth=depth, unit="document", **choose_fusion(fusion, alpha))  # type: ignore[arg-type]
    opened, ranked = reading(index, lambda opened: (opened, _rank(opened, settings, model, queries)))
    known = {segment.document_ids()[row] for segment, row in opened.live_documents()}
    result = score_run(ranked, judgements, names, known)
    if run is not None:
        from cli.files import write_lines
        from core.runs import run_lines

        write_lines(run, (line for id, hits in ranked.items() for line in run_lines(id, hits, f"samespace-{mode}")))
    if json:
        value = {
            "index": str(index),
            "generation": opened.generation.generation,
            "space": opened.view.space,
            "mode": mode,
            "queries": result.queries,
            "missing_documents": result.missing,
            "metrics": dict(result.mean),
        }
        emit_json("eval", {**value, **({"per_query": dict(result.per_query)} if per_query else {})})
        return
    _show(result, per_query)
    if result.missing:
        strange = next(qrel.document_id for qrel in judgements if qrel.document_id not in known)
        note(f"  → one is {visible(strange)}; the index calls its documents e.g. {visible(min(known, default='-'))}")


def _show(result: Evaluation, per_query: bool) -> None:
    fields([("queries", result.queries), *((name, number(value)) for name, value in result.mean.items())])
    if per_query:
        for name, values in result.per_query.items():
            fields([(f"{name} {id}", number(value)) for id, value in values.items()])
    if result.missing:
        note(f"{result.missing:,} judged documents are not in the index; they count as not found")


def _rank(opened: Index, settings: SearchSettings, model: str | None, queries: Sequence[Query]) -> Run:
    """Document id -> score of its best chunk, by query."""
    from core.pipeline.search import Search, documents_of

    ranked: Run = {}
    with progress() as bar:
        search = Search(opened, settings, model, len(queries))
        bar.stage("eval", len(queries))
        for query in queries:
            ranked[query.id] = documents_of(search.search(query).hits)
            bar.advance()
    return ranked
