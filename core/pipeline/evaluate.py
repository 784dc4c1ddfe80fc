"""eval and compare: the rankings of many queries, timed, by one way of searching or by every stage; documents by their best
chunk. What is measured is what a run file would hold, so that trec_eval counts the same from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from core.errors import UsageError
from core.evaluate.collection import read_ranking
from core.index.reader import Index, reading
from core.pipeline.search import Search, SearchSettings, documents_of
from core.progress import SILENT, Progress
from core.runs import Run, as_written
from core.types import Hit, Query

if TYPE_CHECKING:
    from core.rerankers import Reranker

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranking:
    """A run, and how long each of its queries took, in seconds."""

    run: Run = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, query: Query, ranked: dict[str, float], seconds: float) -> None:
        self.run[query.id] = as_written(ranked)
        self.seconds.append(seconds)

    def latency(self) -> dict[str, float]:
        """The median and the 95th percentile, in milliseconds; {} where nothing was timed."""
        import numpy as np

        if not self.seconds:
            return {}
        p50, p95 = np.percentile(self.seconds, (50, 95)) * 1000
        return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def rank(
    index: Index,
    settings: SearchSettings,
    queries: Sequence[Query],
    model: str | None = None,
    progress: Progress = SILENT,
) -> Ranking:
    """Every query searched as `settings` say, which rank documents. Raises what Search does."""
    search = Search(index, settings, model, len(queries))
    progress.stage("search", len(queries))
    ranking = Ranking()
    for query in queries:
        result, seconds = _timed(search.search, query)
        ranking.add(query, documents_of(result.hits), seconds)
        progress.advance()
    return ranking


def rank_stages(
    index: Index,
    settings: SearchSettings,
    queries: Sequence[Query],
    model: str | None = None,
    reranker: Reranker | None = None,
    candidates: int = 20,
    progress: Progress = SILENT,
) -> dict[str, Ranking]:
    """Stage -> ranking: lexical, dense, fused and, by a `reranker`, reranked. Raises what Search and rerank do.

    A query is embedded once; every stage that needs its vector counts that time, and `reranked` that of `fused`.
    """
    fused = Search(index, replace(settings, mode="hybrid"), model, len(queries))
    searches = {"lexical": fused.only("lexical"), "dense": fused.only("dense"), "fused": fused}
    stages = {stage: Ranking() for stage in (*searches, *(["reranked"] if reranker else []))}
    progress.stage("stages", len(queries))
    for query in queries:
        _, embedding = _timed(fused.embed, query)
        hits: Sequence[Hit] = ()
        spent = 0.0
        for stage, search in searches.items():
            result, seconds = _timed(search.search, query)
            hits, spent = result.hits, seconds + (embedding if stage != "lexical" else 0.0)
            stages[stage].add(query, documents_of(hits), spent)
        if reranker is not None:
            ranked, seconds = _timed(_reranked, reranker, query, hits, candidates)
            stages["reranked"].add(query, ranked, spent + seconds)
        progress.advance()
    return stages


def _reranked(reranker: Reranker, query: Query, hits: Sequence[Hit], candidates: int) -> dict[str, float]:
    """The best `candidates` documents in the reranker's order; the others stay behind them, in the order they had."""
    from core.pipeline.rerank import rerank

    ranked = documents_of(rerank(reranker, query.text, hits[:candidates]))
    lowest = min(ranked.values(), default=0.0)
    return ranked | {hit.chunk.document_id: lowest - n for n, hit in enumerate(hits[candidates:], start=1)}


def _timed(work: Callable[P, T], *words: P.args, **options: P.kwargs) -> tuple[T, float]:
    start = perf_counter()
    return work(*words, **options), perf_counter() - start


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a run, and of an index which generation and space made it."""

    path: Path
    run: Run
    generation: int | None = None
    space: str | None = None


def rank_sides(
    paths: Sequence[Path],
    settings: SearchSettings,
    queries: Sequence[Query] | None,
    documents: set[str],
    progress: Progress = SILENT,
) -> list[Side]:
    """Each path's ranking of `queries` (None: whatever a run file has): of an index by searching it, of a run file as it says.

    `documents`: ids that run files may hold percent-encoded; those that an index finds are known anyway. Raises UsageError
    for an index without queries or a run without any of them, and what Search and read_ranking do.
    """
    asked = None if queries is None else {query.id for query in queries}
    sides: dict[int, Side] = {}
    known = set(documents)
    for number, path in enumerate(paths):
        if not path.is_file():
            if queries is None:
                raise UsageError("an index needs queries to rank", path=path, fix="give them with --queries FILE")
            sides[number] = reading(path, lambda index: _side(index, settings, queries, progress))
            known.update(*sides[number].run.values())
    for number, path in enumerate(paths):
        if path.is_file():
            run = read_ranking(path, asked or set(), known)
            run = {query: ranked for query, ranked in run.items() if asked is None or query in asked}
            if not run:
                raise UsageError("no query of the run is among those given", path=path, fix="give the run's queries")
            sides[number] = Side(path, run)
    return [sides[number] for number in range(len(paths))]


def _side(index: Index, settings: SearchSettings, queries: Sequence[Query], progress: Progress) -> Side:
    run = rank(index, settings, queries, progress=progress).run
    return Side(index.root, run, index.generation.generation, index.view.space)
