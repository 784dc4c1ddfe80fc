"""What every searcher promises, against a plain judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.errors import UsageError
from core.index.columns import Table, concatenate, write_columns
from core.vectors import METRICS, SEARCHERS, Match, VectorSegment, score
from core.vectors.codes import make_codes, read_codes

Vectors = NDArray[np.float32]


def segment(vectors: Vectors, live: Sequence[bool] | None = None, graph: Path | None = None) -> VectorSegment:
    norms = np.linalg.norm(vectors, axis=1).astype(np.float32)
    return VectorSegment(vectors, norms, None if live is None else np.array(live, dtype=bool), graph)


def coded(part: VectorSegment, folder: Path, metric: str) -> VectorSegment:
    """With its codes, written and read as the index does it."""
    path = folder / "codes"
    path.write_bytes(concatenate(write_columns(make_codes(part.vectors, metric))))
    return replace(part, codes=read_codes(Table(path), *part.vectors.shape))


def random_vectors(rows: int, seed: int = 0, dimension: int = 16) -> Vectors:
    return np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)


def clustered(rows: int, dimension: int = 32) -> Vectors:
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(40, dimension))
    return (centres[rng.integers(40, size=rows)] + rng.normal(scale=0.4, size=(rows, dimension))).astype(np.float32)


def judged(segments: Sequence[VectorSegment], query: Vectors, metric: str) -> dict[tuple[int, int], float]:
    """The score of every live row, one at a time, in float64."""
    scores = {}
    q = query.astype(np.float64)
    for number, part in enumerate(segments):
        for row, vector in enumerate(part.vectors.astype(np.float64)):
            if part.live is not None and not part.live[row]:
                continue
            if metric == "cosine":
                value = vector @ q / max(np.linalg.norm(vector) * np.linalg.norm(q), 1e-30)
            else:
                value = vector @ q if metric == "dot" else -np.linalg.norm(vector - q)
            scores[number, row] = float(value)
    return scores


class SearcherContract:
    """`segment` gives a segment as the index stores it for this searcher."""

    name: str

    def segment(self, vectors: Vectors, metric: str, folder: Path, live: Sequence[bool] | None = None) -> VectorSegment:
        return segment(vectors, live)

    def search(self, segments: Sequence[VectorSegment], metric: str, query: Vectors, depth: int) -> list[Match]:
        searcher: Any = SEARCHERS.load(self.name)(segments, metric)
        found: list[Match] = searcher.search(query, depth)
        return found

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("depth", [1, 10, 60, 500])
    def test_the_best_of_several_segments(self, metric: str, depth: int, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        segments = []
        for number, rows in enumerate((50, 1, 70)):
            (tmp_path / str(number)).mkdir()
            live = None if number == 1 else rng.random(rows) < 0.8
            segments.append(self.segment(random_vectors(rows, number), metric, tmp_path / str(number), live))
        for query in random_vectors(5, seed=9):
            scores = judged(segments, query, metric)
            found = self.search(segments, metric, query, depth)
            assert len(found) == len({match[:2] for match in found}) == min(depth, len(scores))
            assert [m.score for m in found] == pytest.approx(sorted(scores.values(), reverse=True)[:depth], abs=1e-3)
            assert [m.score for m in found] == pytest.approx([scores[m.segment, m.row] for m in found], abs=1e-3)
            assert all(type(value) in (int, float) for match in found for value in match)

    @pytest.mark.parametrize("metric", METRICS)
    def test_ties_go_by_segment_and_row(self, metric: str, tmp_path: Path) -> None:
        vectors = np.tile(np.array([[1, 2, 3, 4]], dtype=np.float32), (6, 1))
        segments = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            segments.append(self.segment(vectors, metric, tmp_path / str(number)))
        found = self.search(segments, metric, vectors[0], 8)
        assert [match[:2] for match in found] == [*((0, row) for row in range(6)), (1, 0), (1, 1)]

    @pytest.mark.parametrize("metric", METRICS)
    def test_dead_rows_are_never_found(self, metric: str, tmp_path: Path) -> None:
        vectors = random_vectors(400)
        live = np.arange(400) % 2 == 0
        part = self.segment(vectors, metric, tmp_path, live)
        for query in vectors[1:20:2]:  # each the best match of itself, and dead
            found = self.search([part], metric, query, 10)
            assert len(found) == 10
            assert all(live[match.row] for match in found)
        none = self.segment(vectors[:3], metric, tmp_path, [False] * 3)
        assert self.search([none], metric, vectors[0], 10) == []

    def test_nothing_to_search(self, tmp_path: Path) -> None:
        assert self.search([], "cosine", random_vectors(1)[0], 10) == []

    def test_a_vector_of_zeros(self, tmp_path: Path) -> None:
        vectors = random_vectors(5)
        vectors[2] = 0
        found = self.search([self.segment(vectors, "cosine", tmp_path)], "cosine", vectors[0], 5)
        assert {match.row: match.score for match in found}[2] == 0
        zero = self.search([self.segment(vectors, "cosine", tmp_path)], "cosine", vectors[2], 5)
        assert [match.score for match in zero] == [0] * 5

    def test_the_same_twice(self, tmp_path: Path) -> None:
        part = self.segment(clustered(500), "cosine", tmp_path)
        query = clustered(501)[-1]
        assert self.search([part], "cosine", query, 20) == self.search([part], "cosine", query, 20)


class TestExact(SearcherContract):
    name = "exact"

    def test_an_empty_segment(self) -> None:
        segments = [segment(np.zeros((0, 16), dtype=np.float32)), segment(random_vectors(3))]
        assert {match.segment for match in self.search(segments, "cosine", random_vectors(1)[0], 10)} == {1}

    @given(st.lists(st.integers(-2, 2), min_size=1, max_size=40), st.integers(1, 50), st.integers(1, 7))
    def test_ties_do_not_depend_on_blocks(self, values: list[int], depth: int, block: int) -> None:
        vectors = np.array([[value, 1] for value in values], dtype=np.float32)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.vectors.exact._BLOCK", block)
            found = self.search([segment(vectors)], "dot", np.array([1, 0], dtype=np.float32), depth)
        assert [m.row for m in found] == sorted(range(len(values)), key=lambda row: (-values[row], row))[:depth]

    def test_an_unknown_metric(self) -> None:
        with pytest.raises(UsageError, match="no metric 'manhattan'"):
            self.search([segment(random_vectors(3))], "manhattan", random_vectors(1)[0], 1)


@pytest.mark.skipif(not find_spec("hnswlib"), reason="hnswlib is not installed")
class TestHnsw(SearcherContract):
    name = "hnsw"

    def segment(self, vectors: Vectors, metric: str, folder: Path, live: Sequence[bool] | None = None) -> VectorSegment:
        from core.vectors.hnsw import build_graph

        graph = folder / f"{len(vectors)}.hnsw"
        build_graph(vectors, metric, graph)
        return segment(vectors, live, graph)

    @pytest.mark.parametrize("metric", METRICS)
    def test_recall(self, metric: str, tmp_path: Path) -> None:
        vectors = clustered(2100)
        rows, queries = vectors[:2000], vectors[2000:]
        part = self.segment(rows, metric, tmp_path)
        searcher, judge = SEARCHERS.load("hnsw")([part], metric), SEARCHERS.load("exact")([part], metric)
        found = 0
        for query in queries:
            wanted = {match.row: match.score for match in judge.search(query, 10)}
            matches = searcher.search(query, 10)
            found += sum(match.row in wanted for match in matches)
            # What is found is scored exactly, by the vectors and not by the graph.
            assert all(m.score == pytest.approx(wanted[m.row], abs=1e-5) for m in matches if m.row in wanted)
        assert found / (10 * len(queries)) >= 0.95

    def test_the_graph_is_the_one_that_is_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Guards the test above against a searcher that quietly scans everything."""
        part = self.segment(clustered(2000), "cosine", tmp_path)
        monkeypatch.setattr("core.vectors.hnsw.search_segment", lambda *call: pytest.fail("scanned"))
        assert len(self.search([part], "cosine", clustered(1)[0], 10)) == 10

    def test_many_equal_vectors(self, tmp_path: Path) -> None:
        """Copies form islands that a graph's links do not leave; what cannot be found by it is found by scanning."""
        vectors = clustered(2000)
        vectors[100:1900] = vectors[0]
        part = self.segment(vectors, "cosine", tmp_path)
        for query in (vectors[0], vectors[50], -vectors[0]):
            found = self.search([part], "cosine", query, 200)
            assert len(found) == 200
            scores = judged([part], query, "cosine")
            assert found[0].score == pytest.approx(max(scores.values()), abs=1e-5)

    def test_a_graph_is_the_same_every_time(self, tmp_path: Path) -> None:
        (tmp_path / "again").mkdir()
        one = self.segment(clustered(300), "cosine", tmp_path).graph
        other = self.segment(clustered(300), "cosine", tmp_path / "again").graph
        assert one is not None
        assert other is not None
        assert one.read_bytes() == other.read_bytes()

    def test_a_segment_without_a_graph_is_scanned(self) -> None:
        part = segment(clustered(500))
        query = clustered(501)[-1]
        exact = SEARCHERS.load("exact")([part], "cosine").search(query, 20)
        assert self.search([part], "cosine", query, 20) == exact


class TestBinary(SearcherContract):
    name = "binary"

    def segment(self, vectors: Vectors, metric: str, folder: Path, live: Sequence[bool] | None = None) -> VectorSegment:
        return coded(segment(vectors, live), folder, metric)

    @pytest.mark.parametrize("metric", METRICS)
    def test_recall(self, metric: str, tmp_path: Path) -> None:
        vectors = clustered(6100, 96)
        part = self.segment(vectors[:6000], metric, tmp_path)
        searcher, judge = SEARCHERS.load("binary")([part], metric), SEARCHERS.load("exact")([part], metric)
        found = 0
        for query in vectors[6000:]:
            wanted = {match.row: match.score for match in judge.search(query, 10)}
            matches = searcher.search(query, 10)
            found += sum(match.row in wanted for match in matches)
            assert all(m.score == pytest.approx(wanted[m.row], abs=1e-5) for m in matches if m.row in wanted)
        assert found >= 0.97 * 10 * 100

    def test_the_codes_are_what_is_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        part = self.segment(clustered(6000, 96), "cosine", tmp_path)
        monkeypatch.setattr("core.vectors.binary.search_segment", lambda *call: pytest.fail("scanned"))
        assert len(self.search([part], "cosine", clustered(1, 96)[0], 10)) == 10

    def test_many_equal_vectors(self, tmp_path: Path) -> None:
        vectors = clustered(2000, 64)
        vectors[100:1900] = vectors[0]
        part = self.segment(vectors, "cosine", tmp_path)
        found = self.search([part], "cosine", vectors[0], 20)
        assert [match.row for match in found] == [0, *range(100, 119)]


def test_every_searcher_has_its_contract() -> None:
    assert {contract.name for contract in SearcherContract.__subclasses__()} == set(SEARCHERS)


@pytest.mark.parametrize("metric", METRICS)
def test_higher_is_better(metric: str) -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], dtype=np.float32)
    scores = score(vectors, np.linalg.norm(vectors, axis=1).astype(np.float32), vectors[0], metric)
    assert scores.dtype == np.float32
    assert np.argsort(-scores).tolist() == [0, 1, 2, 3]
