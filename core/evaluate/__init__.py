"""eval: how good the ranking is against judgements, in ir-measures' names (nDCG@10, R@100, RR@10), as trec_eval counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.runs import Run, encode_id
from core.types import Qrel, Query

_DEEPEST = 10_000
_MOST_RELEVANT = 10_000  # trec_eval keeps a counter for every level


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`mean` over the judged queries; a query without hits counts as 0. `per_query`: metric -> query id -> value."""

    queries: int
    mean: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]
    missing: int  # judged documents that the index does not have


def read_qrels(path: Path) -> list[Qrel]:
    """Judgements as BEIR writes them (header, then query-id, corpus-id, score by tabs) or as TREC does (four columns).

    Raises UsageError naming the line that is neither, or that judges a document otherwise than a line before.
    """
    fix = "columns by tabs: query-id, corpus-id, score; or TREC's four"
    if not path.is_file():
        raise UsageError("there is no such file of judgements", path=path, fix=fix)
    qrels: dict[tuple[str, str], Qrel] = {}
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip() or (number == 1 and line.startswith("query-id")):
            continue
        parts = line.split("\t") if "\t" in line else line.split()
        if len(parts) == 4:
            parts = [parts[0], parts[2], parts[3]]
        try:
            query, document, relevance = parts
            if abs(int(relevance)) > _MOST_RELEVANT:
                raise ValueError("out of range")
            qrel = Qrel(query, document, int(relevance))
        except ValueError as error:
            raise UsageError(f"line {number} is no judgement", path=path, fix=fix) from error
        if qrels.setdefault((query, document), qrel) != qrel:
            raise UsageError(f"line {number} judges a document otherwise than a line before", path=path, fix="keep one")
    if not qrels:
        raise UsageError("this file holds no judgements", path=path, fix=fix)
    return list(qrels.values())


def find_qrels(folder: Path) -> Path:
    """The judgements of a BEIR folder: `qrels/test.tsv`, else `qrels.tsv`. Raises UsageError."""
    for name in ("qrels/test.tsv", "qrels.tsv"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(
        "this folder has no judgements (qrels/test.tsv or qrels.tsv)",
        path=folder,
        fix="name a BEIR folder: queries.jsonl and qrels/test.tsv; or give --qrels FILE",
    )


def parse_metrics(names: Sequence[str]) -> list[Any]:
    """Raises UsageError for a name that ir-measures does not know, or cannot compute here."""
    import ir_measures

    fix = "e.g. nDCG@10, R@100, RR@10, AP, P@5"
    if not names:
        raise UsageError("no metric is named", fix=fix)
    qrels = [ir_measures.Qrel("q", "a", 1), ir_measures.Qrel("q", "b", 0)]
    run = [ir_measures.ScoredDoc("q", "b", 2.0), ir_measures.ScoredDoc("q", "a", 1.0)]
    measures = []
    for name in names:
        try:
            measure = ir_measures.parse_measure(name)
            cutoff = measure.params.get("cutoff", 1)
            if type(cutoff) is not int or not 1 <= cutoff <= _DEEPEST:  # trec_eval ends the process at @0
                raise ValueError(f"the cut-off is none of 1 to {_DEEPEST}")
            list(ir_measures.iter_calc([measure], qrels, run))
        except Exception as error:  # parameters and missing packages are refused by asserts and whatever comes to pass
            raise UsageError(f"there is no metric {name!r} that can be computed here", fix=fix) from error
        measures.append(measure)
    return measures


def depth_of(measures: Sequence[Any]) -> int:
    """How many documents a ranking must have to be measured: the deepest cut-off, 1000 where a metric has none."""
    cutoffs = [measure.params.get("cutoff") for measure in measures]
    return max([100, *(int(cutoff) if cutoff else 1000 for cutoff in cutoffs)])


def judged_queries(queries: Sequence[Query], qrels: Sequence[Qrel], path: Path) -> list[Query]:
    """The queries that have judgements. Raises UsageError when none has, or one of them is empty."""
    wanted = {qrel.query_id for qrel in qrels}
    judged = [query for query in queries if query.id in wanted]
    if not judged:
        raise UsageError("no query has a judgement", path=path, fix="check that queries and judgements belong together")
    for query in judged:
        if not query.text.strip():
            raise UsageError(f"the query {query.id!r} is empty", path=path, fix="give it a text, or leave it out")
    return judged


def evaluate(run: Run, qrels: Sequence[Qrel], metrics: Sequence[str], documents: set[str] | None = None) -> Evaluation:
    """Score `run` against `qrels`; a judged query without a line in the run counts as 0.

    `documents`: the ids in the index, to count judged ones that are not there. Raises UsageError for an unknown metric.
    Ids go to trec_eval as a run file has them: it is C, which orders equal scores by id and ends an id at a NUL.
    """
    import ir_measures

    measures = parse_metrics(metrics)
    judged = {encode_id(query): query for query in sorted({qrel.query_id for qrel in qrels})}
    lists = [ir_measures.Qrel(encode_id(q.query_id), encode_id(q.document_id), q.relevance) for q in qrels]
    scored = [
        ir_measures.ScoredDoc(coded, encode_id(document), score)
        for coded, query in judged.items()
        for document, score in run.get(query, {}).items()
    ]
    per_query: dict[str, dict[str, float]] = {str(m): dict.fromkeys(judged.values(), 0.0) for m in measures}
    for metric in ir_measures.iter_calc(measures, lists, scored):
        per_query[str(metric.measure)][judged[metric.query_id]] = float(metric.value)
    mean = {name: sum(values.values()) / len(values) for name, values in per_query.items()}
    missing = {q.document_id for q in qrels if documents is not None and q.document_id not in documents}
    return Evaluation(len(judged), mean, per_query, len(missing))
