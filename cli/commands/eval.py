"""samespace eval"""

from __future__ import annotations

from cli.evaluate.gates import AtLeast, NotBelow, Tolerance, asked_gates
from cli.evaluate.ranking import (
    Asked,
    Candidates,
    Folder,
    Metrics,
    PerQuery,
    Qrels,
    Queries,
    RerankerName,
    RunFile,
    Source,
    Stages,
    evaluate_ranking,
)
from cli.evaluate.similarity import Sts, evaluate_similarity
from cli.options import Alpha, Depth, FusionName, Json, Mode, OtherModel, choose_fusion
from core.errors import UsageError


def eval(
    index: Source = None,
    folder: Folder = None,
    mode: Mode = "hybrid",
    fusion: FusionName = "auto",
    alpha: Alpha = None,
    depth: Depth = 200,
    metrics: Metrics = "nDCG@10 R@100 RR@10",
    queries: Queries = None,
    qrels: Qrels = None,
    run: RunFile = None,
    model: OtherModel = None,
    stages: Stages = False,
    reranker: RerankerName = "maxsim",
    candidates: Candidates = 20,
    sts: Sts = None,
    at_least: AtLeast = None,
    not_below: NotBelow = None,
    tolerance: Tolerance = 0.0,
    per_query: PerQuery = False,
    json: Json = False,
) -> None:
    """Measure how good the ranking is against judgements, documents ranked by their best chunk. Exit 1: a gate failed.

    --json prints what --not-below takes as a baseline. --sts gives Spearman and Pearson, with INDEX or --model alone.

    Example: samespace eval sample.index sample_corpus
    """
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
