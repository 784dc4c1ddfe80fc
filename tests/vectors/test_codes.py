"""Binary codes say what they should, are refused when they cannot be right, and are used when they pay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import FIRST, SECOND, built, for_small_segments, generation, put, without_merges
from hypothesis import given
from hypothesis import strategies as st

from core.check import check
from core.errors import CorruptError, UsageError
from core.index.columns import Table, concatenate, write_columns
from core.index.reader import open_index
from core.pipeline.index import index
from core.pipeline.search import Search, SearchSettings
from core.types import Query
from core.vectors import METRICS, VectorSegment, codes, plan, score
from core.vectors.codes import Codes, differing, make_codes, read_codes, stand_ins
from core.vectors.plan import check_ann, choose, graph_pays


def vectors_of(rows: int, dimension: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)


def codes_of(vectors: Any, metric: str = "cosine") -> Codes:
    made: Any = make_codes(vectors, metric)
    arrays = [made[name] for name in ("words", "mean", "scale", "offset")]
    return Codes(*arrays, int(made["depth"][0]), float(made["recall"][0]))


def scores_of(vectors: Any, query: Any, metric: str) -> Any:
    return score(vectors, np.linalg.norm(vectors, axis=1).astype(np.float32), query, metric)


@given(st.integers(1, 40), st.sampled_from([1, 7, 63, 64, 65, 130]), st.integers(0, 5), st.integers(1, 3))
def test_differences_are_counted_as_by_a_plain_loop(rows: int, dimension: int, seed: int, planes: int) -> None:
    random = np.random.default_rng(seed)
    bits, asked = random.random((rows, dimension)) < 0.5, random.random((planes, dimension)) < 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.vectors.codes._BLOCK", 7)
        words = codes._pack(bits)
        found = differing(words, [codes._pack(plane[None])[:, 0] for plane in asked])
    assert words.shape == (-(-dimension // 64), rows)
    weights = [1 << (planes - 1 - n) for n in range(planes)]
    assert found.tolist() == [
        sum(w * int((row != plane).sum()) for w, plane in zip(weights, asked, strict=True)) for row in bits
    ]


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_rank_rows_as_their_scores_do(metric: str) -> None:
    vectors = vectors_of(2000, 256) * np.linspace(0.8, 1.2, 2000, dtype=np.float32)[:, None] + np.float32(0.3)
    made = codes_of(vectors, metric)
    for query in vectors_of(5, 256, 9):
        found = np.corrcoef(made.estimate(query, metric), scores_of(vectors, query, metric))
        assert found[0, 1] > 0.65, metric


@pytest.mark.parametrize("metric", METRICS)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 3))
def test_the_nearest_are_those_of_the_best_estimates(metric: str, rows: int, depth: int, seed: int) -> None:
    made, query = codes_of(vectors_of(rows, 64, seed), metric), vectors_of(1, 64, seed + 9)[0]
    live = np.random.default_rng(seed).random(rows) < 0.7
    estimates = made.estimate(query, metric)
    for mask in (None, live):
        alive = np.arange(rows) if mask is None else np.flatnonzero(mask)
        found = made.nearest(query, depth, metric, mask)
        assert set(found) <= set(alive)
        assert len(found) >= min(depth, len(alive))
        left = set(alive) - set(found)
        assert not left or max(estimates[list(left)]) < min(estimates[found])


def test_of_many_rows_those_are_estimated_that_agree_in_most_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    made, query = codes_of(vectors_of(3000, 128)), vectors_of(1, 128, 9)[0]
    whole = set(made.nearest(query, 30, "cosine"))
    monkeypatch.setattr("core.vectors.codes._BLOCK", 500)
    asked = []
    estimate = Codes.estimate
    monkeypatch.setattr(Codes, "estimate", lambda *call: asked.append(len(call[3])) or estimate(*call))
    found = made.nearest(query, 30, "cosine")
    assert len(found) >= 30
    assert 180 <= asked[0] < 1500
    assert len(whole & set(found)) >= 24
    live = np.arange(3000) % 50 == 0  # most are dead: they must not crowd out those that live
    assert set(made.nearest(query, 30, "cosine", live)) <= set(np.flatnonzero(live))
    assert len(made.nearest(query, 30, "cosine", live)) >= 30


def test_codes_of_a_cone_tell_directions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors that all point one way, as those of e5 do: centred, the depth stays small."""
    monkeypatch.setattr("core.vectors.codes._LEAST", 1)
    vectors = vectors_of(4000, 128)
    cone = vectors + np.float32(2) * vectors_of(1, 128, 5)
    assert 10 < codes_of(cone).depth < 2 * codes_of(vectors).depth < 4000
    assert codes_of(cone).recall >= 0.98


def test_stand_ins_are_no_rows_and_the_same_every_time() -> None:
    vectors = vectors_of(500, 32)
    made = codes_of(vectors)
    asked = stand_ins(vectors, made, "cosine")
    assert np.array_equal(asked, stand_ins(vectors, made, "cosine"))
    assert np.allclose(np.linalg.norm(asked, axis=1), 1, atol=1e-5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert 0.4 < np.median((asked @ unit.T).max(axis=1)) < 0.95
    assert len(stand_ins(vectors[:1], made, "cosine")) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c | {"words": c["words"][:-1]},
        lambda c: c | {"words": c["words"][:, :-1].copy()},
        lambda c: c | {"words": c["words"].astype(np.int64)},
        lambda c: c | {"mean": c["mean"][:-1].copy()},
        lambda c: c | {"mean": c["mean"] * np.float32("nan")},
        lambda c: c | {"scale": c["scale"][:-1].copy()},
        lambda c: c | {"offset": c["offset"] + np.float32("inf")},
        lambda c: c | {"depth": np.array([0])},
        lambda c: c | {"depth": np.array([10**12])},
        lambda c: c | {"depth": np.array([3, 3])},
        lambda c: c | {"recall": np.array([float("nan")])},
        lambda c: {name: column for name, column in c.items() if name != "recall"},
    ],
)
def test_codes_that_cannot_be_right_are_refused(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    path = tmp_path / "codes"
    path.write_bytes(concatenate(write_columns(change(make_codes(vectors_of(50, 128), "cosine")))))
    with pytest.raises(CorruptError):
        read_codes(Table(path), 50, 128)


class TestPlan:
    def segment(self, rows: int, dimension: int = 384, coded: bool = True, graph: bool = False) -> VectorSegment:
        """Of that size, and empty: a plan looks at nothing else."""
        vectors = np.broadcast_to(np.float32(0), (rows, dimension))
        none = np.zeros(dimension, dtype=np.float32)
        made = Codes(np.zeros((6, 0), dtype=np.uint64), none, none, none, 500, 0.99)
        return VectorSegment(vectors, vectors[:, 0], None, Path("x") if graph else None, made if coded else None)

    def test_few_rows_are_scanned_and_many_are_not(self) -> None:
        assert choose([self.segment(2000)], 200, 1).method == "exact"
        many = choose([self.segment(300_000)], 200, 1)
        assert many.method == "binary"
        assert str(many) == "binary search (300,000 rows, 800 of them scored; recall@10 0.990 when calibrated)"
        assert choose([self.segment(300_000, coded=False)], 200, 1).method == "exact"
        assert choose([], 200, 1).method == "exact"

    def test_a_graph_has_to_earn_its_loading(self) -> None:
        large = [self.segment(300_000, graph=True)]
        assert choose(large, 200, 1, "hnsw").method == "binary"
        assert choose(large, 200, 10_000, "hnsw").method == "hnsw"
        assert choose([replace(large[0], codes=None)], 200, 1, "hnsw").method == "exact"
        assert graph_pays(300_000, 384)
        assert not graph_pays(2000, 384)

    def test_what_was_asked_for_by_name(self) -> None:
        assert choose([self.segment(300_000)], 200, 1, "exact").method == "exact"
        assert choose([self.segment(2000)], 200, 1, "binary").method == "binary"
        assert choose([self.segment(2000, coded=False)], 200, 1, "binary").method == "exact"
        with pytest.raises(UsageError, match="no ann called 'ivf'"):
            check_ann("ivf")


class TestIndex:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        built(tmp_path / "my.index", put(tmp_path / "notes", FIRST))
        return tmp_path / "my.index"

    def names(self, root: Path) -> list[str]:
        return sorted(name for name in generation(root).files if name.endswith((".codes", ".hnsw")))

    def test_small_segments_get_neither_codes_nor_graphs(self, root: Path) -> None:
        assert generation(root).settings["ann"] == {"name": "auto"}
        assert self.names(root) == []
        pytest.importorskip("hnswlib")
        report = index(root, ann="hnsw")
        assert self.names(root) == []
        assert len(report.notes) == 1
        assert "searched faster without a graph" in report.notes[0]

    def test_large_ones_get_codes_and_keep_them(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for_small_segments(monkeypatch)
        without_merges(monkeypatch)
        assert index(root, ann="binary").published
        (first,) = self.names(root)
        assert first.endswith("000001.000002.codes")
        put(tmp_path / "notes", SECOND)
        built(root)
        assert first in self.names(root)
        assert len(self.names(root)) == 2
        assert [finding.severity for finding in check(root)] == ["ok", "ok"]
        plan_of = Search(open_index(root), SearchSettings(mode="dense")).search(Query("q", "river")).plan
        assert "vectors by binary search" in plan_of
        assert index(root, ann="exact").published
        assert self.names(root) == []
        assert "vectors by exact search" in Search(open_index(root), SearchSettings()).search(Query("q", "river")).plan

    def test_codes_of_other_vectors_are_found_by_check(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Digests and all in order, as whoever can write an index could make them."""
        monkeypatch.setattr("core.vectors.codes.make_codes", lambda vectors, metric: make_codes(-vectors, metric))
        assert index(root, ann="binary").published
        assert [(f.check, f.severity) for f in check(root)] == [("codes", "error"), ("staging", "ok")]

    def test_a_damaged_file_of_codes(self, root: Path) -> None:
        index(root, ann="binary")
        path = root / self.names(root)[0]
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.unlink()
        path.write_bytes(data)
        with pytest.raises(CorruptError):
            Search(open_index(root), SearchSettings(mode="dense"))
        assert plan.WORTH > 1000
