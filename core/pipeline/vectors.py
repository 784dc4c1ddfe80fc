"""The dense side of a search: embed the query, find its neighbours, and say how much the model can know of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder
from core.errors import CorruptError, MissingError
from core.index.reader import Index, SegmentReader
from core.space.record import SpaceRecord
from core.space.verify import Verdict, guard_query
from core.text import language_share
from core.vectors import SEARCHERS, Searcher, VectorSegment, score
from core.vectors.codes import read_codes
from core.vectors.plan import choose

Key = tuple[int, int]
_FEW = 8  # of so many rows one allowed: then it is quicker to score those that are


class VectorSide:
    """`plan` says how the neighbours are found, and why so. Where the index is `untrusted`, its graphs, which native code
    would read, are left alone. `verdict` is what the canaries said of the encoder; None where they go with each query.
    """

    def __init__(
        self,
        index: Index,
        record: SpaceRecord,
        encoder: Encoder,
        verdict: Verdict | None,
        depth: int,
        queries: int,
        untrusted: bool = False,
    ):
        self._encoder, self._record, self._path, self.verdict = encoder, record, str(index.root), verdict
        asked: str = index.generation.settings["ann"]["name"]
        self._segments = [_vector_segment(segment, record, untrusted) for segment in index.segments]
        self._warnings = [
            f"the model is run by {encoder.runtime_name}, slower than usual: {why}" for why in encoder.passed_over[-1:]
        ]
        self.plan = choose(self._segments, depth, queries, asked)
        if untrusted and any(segment.has_graph for segment in index.segments):
            self.plan = replace(self.plan, reason=f"{self.plan.reason}; graphs are left out: untrusted")
        self._searcher = self._open(record.metric, depth, queries)
        self._embedded: tuple[str, NDArray[np.float32]] = ("", np.zeros(0, dtype=np.float32))

    def _open(self, metric: str, depth: int, queries: int) -> Searcher:
        """The searcher of the plan; the next best one, which needs nothing, where its package is missing."""
        try:
            searcher: Searcher = SEARCHERS.load(self.plan.method)(self._segments, metric)
        except MissingError as error:
            without = [replace(segment, graph=None) for segment in self._segments]
            self.plan = choose(without, depth, queries)
            self._warnings.append(f"{error.message}: {self.plan.method} search is used instead")
            searcher = SEARCHERS.load(self.plan.method)(without, metric)
        return searcher

    def embed(self, query: str) -> NDArray[np.float32]:
        """The query's vector: embedded alone, so that nothing in its batch can move it; by a server together with canaries,
        in one request. Raises SpaceMismatchError when these do not agree."""
        if self._embedded[0] == query:
            return self._embedded[1]
        if self._encoder.remote:
            known = self.verdict is not None
            self.verdict, vector = guard_query(self._record, self._encoder, query, path=self._path, known=known)
        else:
            vector = self._encoder.embed([query], "query")[0]
        self._embedded = (query, vector)
        return vector

    def search(self, query: str, depth: int, allowed: Sequence[NDArray[np.bool_]] | None = None) -> dict[Key, float]:
        """The neighbours of `query`; of the `allowed` rows only (bool, one a row of each segment) where they are given."""
        searcher = self._searcher if allowed is None else self._within(allowed)
        return {(m.segment, m.row): m.score for m in searcher.search(self.embed(query), depth)}

    def _within(self, allowed: Sequence[NDArray[np.bool_]]) -> Searcher:
        """Codes serve where they can still choose among many; otherwise every allowed row is scored. A graph's links lead
        through rows that are not allowed."""
        segments = [replace(segment, live=mask) for segment, mask in zip(self._segments, allowed, strict=True)]
        many = sum(int(mask.sum()) for mask in allowed) * _FEW >= sum(map(len, allowed))
        searcher: Searcher = SEARCHERS.load("binary" if many and self.plan.method == "binary" else "exact")(
            segments, self._record.metric
        )
        return searcher

    def complete(self, found: Mapping[Key, float], others: Iterable[Key]) -> dict[Key, float]:
        """`found` with the exact scores of `others`: candidates that only the words brought."""
        scores, query = dict(found), self.embed(self._embedded[0])
        missing = [key for key in others if key not in scores]
        for number, segment in enumerate(self._segments):
            rows = np.array([row for part, row in missing if part == number], dtype=np.int64)
            values = score(segment.vectors[rows], segment.norms[rows], query, self._record.metric)
            scores.update({(number, int(row)): float(value) for row, value in zip(rows, values, strict=True)})
        return scores

    def evidence(self, query: str) -> float:
        """How much of the query is in a language the model knows, in [0, 1]; 1 where that is not known."""
        return language_share(query, self._record.model.languages)

    def notes(self, query: str) -> list[str]:
        limit = self._record.space.max_tokens
        if len(query) < limit or self._encoder.count_tokens(query, "query") <= limit:
            return self._warnings
        return [
            *self._warnings,
            f"the query is longer than the model takes: the vector side saw its first {limit} tokens",
        ]


def _vector_segment(segment: SegmentReader, record: SpaceRecord, untrusted: bool) -> VectorSegment:
    table = segment.vectors
    vectors, norms = table.array("vectors", "<f4", 2), table.array("norms", "<f4")
    if not len(vectors) == len(norms) == segment.segment.chunks or vectors.shape[1] != record.space.dimension:
        raise CorruptError("the vectors do not fit the segment", path=table.path, fix="restore the file from a copy")
    codes = segment.codes
    found = None if codes is None else read_codes(codes, *vectors.shape)
    return VectorSegment(vectors, norms, segment.live, None if untrusted else segment.graph, found)
