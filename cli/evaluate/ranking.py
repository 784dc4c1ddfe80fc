"""`eval` of an index or a run file against judgements: by one way of searching, or `--stages` side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.evaluate.gates import Gates, differences_line, gates_json, say_gates
from cli.progress import progress
from cli.render import emit_json, fields, note, number, say, table, visible
from core.errors import UsageError

if TYPE_CHECKING:
    from core.evaluate import Evaluation
    from core.evaluate.collection import Collection
    from core.evaluate.significance import StageDifference
    from core.index.reader import Index
    from core.pipeline.evaluate import Ranking
    from core.pipeline.search import SearchSettings


Source = Annotated[
    Path | None, typer.Argument(metavar="INDEX", help="The index directory, or a TREC run.", show_default=False)
]
Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER",
        help="queries.jsonl and qrels/test.tsv (or qrels.tsv), as BEIR has them.",
        show_default=False,
    ),
]
Metrics = Annotated[str, typer.Option(help="ir-measures' names, with commas or spaces between.")]
Queries = Annotated[Path | None, typer.Option(metavar="FILE", help="Queries from another file.")]
Qrels = Annotated[Path | None, typer.Option(metavar="FILE", help="Judgements from another file, BEIR's or TREC's.")]
RunFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also write the ranking as a TREC run; with --stages one a stage.")
]
Stages = Annotated[bool, typer.Option("--stages", help="Measure lexical, dense, fused and reranked side by side.")]
RerankerName = Annotated[
    str, typer.Option(help="The last of the --stages: maxsim, a cross-encoder by hub name or folder, or none.")
]
Candidates = Annotated[
    int, typer.Option(help="How many documents the reranker gets; the others stay behind them.", min=1, max=10_000)
]
PerQuery = Annotated[bool, typer.Option("--per-query", help="Show every query's values.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured and how. `source`: an index, or a run file."""

    source: Path
    folder: Path | None
    qrels: Path | None
    queries: Path | None
    metrics: tuple[str, ...]
    settings: SearchSettings
    model: str | None
    stages: bool
    reranker: str | None
    candidates: int
    run: Path | None
    per_query: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """Rankings and what they are worth, by stage; `main` is the stage that the gates look at."""

    main: str
    rankings: Mapping[str, Ranking]
    evaluations: Mapping[str, Evaluation]
    known: set[str] | None  # ids of the index's documents; None of a run file
    generation: int | None = None
    space: str | None = None

    @property
    def result(self) -> Evaluation:
        return self.evaluations[self.main]


def evaluate_ranking(asked: Asked, gates: Gates, json: bool) -> None:
    """Measure, write the runs, show the result, check the gates. Raises what these do."""
    from core.evaluate import depth_of, parse_metrics
    from core.evaluate.collection import read_collection
    from core.evaluate.significance import against_best_single

    given_names = [*asked.metrics, *gates.metrics]
    measures = parse_metrics(given_names)
    names = list(dict.fromkeys(map(str, measures)))
    asked = replace(asked, metrics=tuple(names), settings=replace(asked.settings, k=depth_of(measures)))
    is_run = asked.source.is_file()
    if is_run and (asked.stages or asked.run is not None):
        raise UsageError("a run file has one stage, and is a run already", path=asked.source, fix="name an index")
    has_texts = asked.queries is not None or (asked.folder is not None and (asked.folder / "queries.jsonl").is_file())
    collection = read_collection(asked.folder, asked.qrels, asked.queries, has_texts or not is_run)
    measured = _of_run(asked, collection) if is_run else _of_index(asked, collection)
    mean = measured.result.mean
    given = {name: mean[str(measure)] for name, measure in zip(given_names, measures, strict=True)}  # MRR@10 is RR@10
    results = gates.check({**mean, **given}, collection.digests())
    differences = against_best_single(measured.evaluations) if asked.stages else []
    _write_runs(asked, measured)
    if json:
        value = _json(asked, collection, measured, differences)
        emit_json("eval", {**value, **({"gates": gates_json(results)} if results else {})})
    else:
        _show(asked, measured, differences)
        _note_what_is_unknown(collection, measured)
    say_gates(gates, results, measured.space)


def _of_run(asked: Asked, collection: Collection) -> Measured:
    from core.evaluate import evaluate
    from core.evaluate.collection import read_ranking
    from core.pipeline.evaluate import Ranking

    run = read_ranking(asked.source, collection.judged, (qrel.document_id for qrel in collection.qrels))
    if not collection.judged & set(run):
        raise UsageError(
            "no query of the run has a judgement",
            path=asked.source,
            fix="check that run and judgements belong together",
        )
    return Measured("run", {"run": Ranking(run)}, {"run": evaluate(run, collection.qrels, asked.metrics)}, None)


def _of_index(asked: Asked, collection: Collection) -> Measured:
    from core.evaluate import evaluate
    from core.index.reader import reading

    with progress() as bar:
        opened, rankings = reading(asked.source, lambda opened: (opened, _rank(opened, asked, collection, bar)))
    known = {segment.document_ids()[row] for segment, row in opened.live_documents()}
    evaluations = {
        stage: evaluate(ranking.run, collection.qrels, asked.metrics, known) for stage, ranking in rankings.items()
    }
    main = "fused" if asked.stages else asked.settings.mode
    return Measured(main, rankings, evaluations, known, opened.generation.generation, opened.view.space)


def _rank(opened: Index, asked: Asked, collection: Collection, bar: Any) -> dict[str, Ranking]:
    from core.pipeline.evaluate import rank, rank_stages

    queries = collection.queries or ()
    if not asked.stages:
        return {asked.settings.mode: rank(opened, asked.settings, queries, asked.model, bar)}
    from core.encoders import REMOTE
    from core.pipeline.rerank import open_reranker

    name = asked.reranker
    if name == "maxsim" and opened.generation.model["provider"] in REMOTE:
        note("the model is behind a server, which gives no vectors of tokens for maxsim: reranked is left out")
        name = None
    reranker = None if name is None else open_reranker(name, opened)
    return rank_stages(opened, asked.settings, queries, asked.model, reranker, asked.candidates, bar)


def _write_runs(asked: Asked, measured: Measured) -> None:
    """With `--stages` a file a stage: out.trec becomes out.lexical.trec and so on."""
    from cli.files import write_lines
    from core.runs import run_lines

    if asked.run is None:
        return
    for stage, ranking in measured.rankings.items():
        path = asked.run.with_name(f"{asked.run.stem}.{stage}{asked.run.suffix}") if asked.stages else asked.run
        tag = f"samespace-{stage}"
        write_lines(path, (line for id, hits in ranking.run.items() for line in run_lines(id, hits, tag)))


def _json(
    asked: Asked, collection: Collection, measured: Measured, differences: list[StageDifference]
) -> dict[str, Any]:
    result = measured.result
    of_run = measured.known is None
    value: dict[str, Any] = {
        "index": None if of_run else str(asked.source),
        "generation": measured.generation,
        "space": measured.space,
        "mode": None if of_run else asked.settings.mode,
        "queries": result.queries,
        "missing_documents": result.missing,
        "missing_queries": len(collection.unasked),
        "metrics": dict(result.mean),
        "latency_ms": measured.rankings[measured.main].latency(),
        "collection": collection.digests(),
        "settings": None if of_run else {name: getattr(asked.settings, name) for name in ("fusion", "alpha", "depth")},
    }
    if of_run:
        value["run"] = str(asked.source)
    if asked.per_query:
        value["per_query"] = dict(result.per_query)
    if asked.stages:
        value["stages"] = {
            stage: {
                "metrics": dict(evaluation.mean),
                "latency_ms": measured.rankings[stage].latency(),
                **({"per_query": dict(evaluation.per_query)} if asked.per_query else {}),
            }
            for stage, evaluation in measured.evaluations.items()
        }
        value["differences"] = [
            {"metric": d.metric, "stage": d.stage, "reference": d.reference, **asdict(d.difference)}
            for d in differences
        ]
    return value


def _show(asked: Asked, measured: Measured, differences: list[StageDifference]) -> None:
    result = measured.result
    if asked.stages:
        _show_stages(measured, differences)
    else:
        rows = [("queries", f"{result.queries}"), *((name, number(value)) for name, value in result.mean.items())]
        if latency := measured.rankings[measured.main].latency():
            rows.append(("latency", f"p50 {latency['p50']:.1f} ms, p95 {latency['p95']:.1f} ms"))
        fields(rows)
    if asked.per_query:
        for stage, evaluation in measured.evaluations.items():
            for name, values in evaluation.per_query.items():
                label = f"{stage} {name}" if asked.stages else name
                fields([(f"{label} {id}", number(value)) for id, value in values.items()])


def _show_stages(measured: Measured, differences: list[StageDifference]) -> None:
    say(
        f"{measured.result.queries} queries; differences to the best of lexical and dense, with a 95 % interval and p\n"
    )
    found = {(d.metric, d.stage): d.difference for d in differences}
    rows: list[tuple[str, ...]] = []
    for metric in measured.result.mean:
        for stage, evaluation in measured.evaluations.items():
            difference = found.get((metric, stage))
            cells = ("best alone", "", "") if difference is None else differences_line(**asdict(difference))
            rows.append((metric, stage, number(evaluation.mean[metric]), *cells))
    table(("metric", "stage", "mean", "difference", "95 %", "p"), rows)
    say()
    latencies = {stage: ranking.latency() for stage, ranking in measured.rankings.items()}
    times = [(stage, f"{ms['p50']:.1f} ms", f"{ms['p95']:.1f} ms") for stage, ms in latencies.items()]
    table(("latency", "p50", "p95"), times)


def _note_what_is_unknown(collection: Collection, measured: Measured) -> None:
    result, known = measured.result, measured.known
    if result.missing and known is not None:
        note(f"{result.missing:,} judged documents are not in the index; they count as not found")
        strange = next(qrel.document_id for qrel in collection.qrels if qrel.document_id not in known)
        note(f"  → one is {visible(strange)}; the index calls its documents e.g. {visible(min(known, default='-'))}")
    if unasked := collection.unasked:
        note(
            f"{len(unasked):,} judged queries have no text among the queries, e.g. {visible(unasked[0])}; they count as 0"
        )
    if known is None and (silent := sorted(collection.judged - set(measured.rankings["run"].run))):
        note(f"{len(silent):,} judged queries are not in the run, e.g. {visible(silent[0])}; they count as 0")
