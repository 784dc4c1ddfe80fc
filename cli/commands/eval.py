"""samespace eval"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.evaluate.gates import AtLeast, NotBelow, Tolerance, asked_gates
from cli.options import Alpha, Depth, FusionName, Json, Mode, OtherModel, choose_fusion
from core.errors import UsageError


def eval(
    index: Annotated[
        Path | None, typer.Argument(metavar="INDEX", help="The index directory, or a TREC run.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="queries.jsonl and qrels/test.tsv (or qrels.tsv), as BEIR has them.",
            show_default=False,
        ),
    ] = None,
    mode: Mode = "hybrid",
    fusion: FusionName = "auto",
    alpha: Alpha = None,
    depth: Depth = 200,
    metrics: Annotated[
        str, typer.Option(help="ir-measures' names, with commas or spaces between.")
    ] = "nDCG@10 R@100 RR@10",
    queries: Annotated[Path | None, typer.Option(metavar="FILE", help="Queries from another file.")] = None,
    qrels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Judgements from another file, BEIR's or TREC's.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the ranking as a TREC run; with --stages one a stage."),
    ] = None,
    model: OtherModel = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="Measure lexical, dense, fused and reranked side by side.")
    ] = False,
    reranker: Annotated[
        str, typer.Option(help="The last of the --stages: maxsim, a cross-encoder by hub name or folder, or none.")
    ] = "maxsim",
    candidates: Annotated[
        int, typer.Option(help="How many documents the reranker gets; the others stay behind them.", min=1, max=10_000)
    ] = 20,
    sts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Measure the model by pairs instead: TEXT, TEXT, SCORE a line, by tabs."),
    ] = None,
    at_least: AtLeast = None,
    not_below: NotBelow = None,
    tolerance: Tolerance = 0.0,
    per_query: Annotated[bool, typer.Option("--per-query", help="Show every query's values.")] = False,
    json: Json = False,
) -> None:
    """Measure how good the ranking is against judgements, documents ranked by their best chunk. Exit 1: a gate failed.

    --json prints what --not-below takes as a baseline. --sts gives Spearman and Pearson, with INDEX or --model alone.

    Example: samespace eval sample.index sample_corpus
    """
    from cli.evaluate.ranking import Asked, evaluate_ranking
    from cli.evaluate.similarity import evaluate_similarity
    from core.pipeline.search import SearchSettings

    gates = asked_gates(at_least, not_below, tolerance)
    if sts is not None:
        if folder is not None or queries or qrels or run or stages or per_query:
            raise UsageError("--sts measures a model by pairs, without queries", fix="samespace eval INDEX --sts FILE")
        evaluate_similarity(index, model, sts, gates, json)
        return
    if index is None:
        raise UsageError("there is nothing to measure", fix="samespace eval INDEX FOLDER, or --sts FILE --model NAME")
    if stages and mode != "hybrid":
        raise UsageError("--stages measures every mode", fix="leave --mode out")
    settings = SearchSettings(mode=mode, depth=depth, unit="document", **choose_fusion(fusion, alpha))  # type: ignore[arg-type]
    names = tuple(metrics.replace(",", " ").split())
    last = None if reranker == "none" else reranker
    asked = Asked(index, folder, qrels, queries, names, settings, model, stages, last, candidates, run, per_query)
    evaluate_ranking(asked, gates, json)
