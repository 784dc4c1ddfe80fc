"""A collection: judged queries and their judgements, from a BEIR folder or from files of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.canonical import digest
from core.errors import UsageError
from core.evaluate import find_qrels, judged_queries, read_qrels
from core.runs import Run, decode_id, read_run
from core.types import Qrel, Query


@dataclass(frozen=True)
class Collection:
    """`queries`: those that are judged; None where only a run file is measured."""

    qrels: tuple[Qrel, ...]
    queries: tuple[Query, ...] | None

    @cached_property
    def judged(self) -> set[str]:
        return {qrel.query_id for qrel in self.qrels}

    @property
    def unasked(self) -> list[str]:
        """Ids of judged queries whose text is not known."""
        known = {query.id for query in self.queries or ()}
        return sorted(self.judged - known) if self.queries is not None else []

    def digests(self) -> dict[str, str]:
        """What a baseline is recognised by; in whatever order the files have it."""
        found = {"judgements": digest(sorted([q.query_id, q.document_id, q.relevance] for q in self.qrels))}
        if self.queries is not None:
            found["queries"] = digest(sorted([query.id, query.text] for query in self.queries))
        return found


def read_collection(
    folder: Path | None, qrels: Path | None = None, queries: Path | None = None, with_queries: bool = True
) -> Collection:
    """From a BEIR folder; `qrels` and `queries` are files that are taken instead of its own. Raises UsageError."""
    from core.pipeline.search import read_queries

    if folder is None and (qrels is None or (queries is None and with_queries)):
        raise UsageError(
            "there is no collection to measure by",
            fix="name a BEIR folder (queries.jsonl, qrels/test.tsv), or give --queries FILE and --qrels FILE",
        )
    judgements = tuple(read_qrels(qrels or find_qrels(folder or Path())))
    if not with_queries:
        return Collection(judgements, None)
    path = queries or (folder or Path()) / "queries.jsonl"
    return Collection(judgements, tuple(judged_queries(read_queries(path), judgements, folder or path)))


def read_ranking(path: Path, queries: set[str], documents: Iterable[str]) -> Run:
    """A run file with its ids decoded to those that are known. Raises UsageError for an empty one, and as read_run does."""
    found, known = read_run(path), set(documents)
    if not found:
        raise UsageError("this run holds no lines", path=path, fix="a line each: QUERY Q0 DOCUMENT RANK SCORE TAG")
    return {
        decode_id(query, queries): {decode_id(document, known): score for document, score in ranked.items()}
        for query, ranked in found.items()
    }
