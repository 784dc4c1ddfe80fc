"""Graph files that were changed: refused, or searched without a crash. Native code runs in a child that may die."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from handmade import FIRST, built, for_small_segments, put
from numpy.typing import NDArray

from core.errors import CorruptError
from core.index.reader import open_index
from core.pipeline.search import Search, SearchSettings
from core.types import Query
from core.vectors import VectorSegment
from core.vectors.graph_file import HEADER, verify_graph

pytest.importorskip("hnswlib")
from core.vectors.hnsw import HnswSearcher, build_graph

ROWS, DIMENSION, M = 600, 12, 16
ELEMENT = 4 + 8 * M + 4 * DIMENSION + 8
UPPER = 96 + ROWS * ELEMENT  # where the lists above level 0 begin
ODD = (0, 1, 2, 7, 16, 32, 33, 255, ROWS - 1, ROWS, ROWS + 1, 0x7FFF, 0xFFFF, 0x10000, 1 << 31, (1 << 32) - 1)
VECTORS = np.random.default_rng(5).standard_normal((ROWS, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module", params=["cosine", "dot", "euclidean"])
def metric(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(metric: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("graph") / "whole.hnsw"
    build_graph(VECTORS, metric, path)
    return path.read_bytes()


def refused(path: Path, data: bytes, metric: str, vectors: NDArray[np.float32] = VECTORS) -> str:
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="no graph") as caught:
        verify_graph(path, vectors, metric)
    assert caught.value.path == str(path)
    return caught.value.message


def survives(path: Path, datas: list[bytes], metric: str) -> None:
    """Every file is refused with a CorruptError or searched, in a child: a crash ends that, and is seen here."""
    child = os.fork()
    if not child:
        done = 1
        try:
            for data in datas:
                path.write_bytes(data)
                search(path, metric)
            done = 0
        finally:
            os._exit(done)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"signal {os.WTERMSIG(status)}, exit {os.WEXITSTATUS(status)}: see {path}"


def search(path: Path, metric: str) -> None:
    segment = VectorSegment(VECTORS, np.linalg.norm(VECTORS, axis=1), graph=path)
    try:
        searcher = HnswSearcher([segment], metric)
    except CorruptError:
        return
    for row in range(0, ROWS, 60):
        assert len(searcher.search(VECTORS[row], 10)) == 10


def test_a_graph_as_it_was_built_is_taken(whole: bytes, metric: str, tmp_path: Path) -> None:
    (tmp_path / "graph").write_bytes(whole)
    verify_graph(tmp_path / "graph", VECTORS, metric)


@pytest.mark.parametrize("rows", [1, 2, 17])
def test_small_graphs_are_taken(rows: int, tmp_path: Path) -> None:
    build_graph(VECTORS[:rows], "cosine", tmp_path / "graph")
    verify_graph(tmp_path / "graph", VECTORS[:rows], "cosine")


@pytest.mark.parametrize("field", HEADER.names or ())
def test_every_field_of_the_header(whole: bytes, metric: str, field: str, tmp_path: Path) -> None:
    dtype, offset = (HEADER.fields or {})[field][:2]
    before = whole[offset : offset + dtype.itemsize]
    values = [value.to_bytes(8, "little")[: dtype.itemsize] for value in (*ODD, 1 << 40, (1 << 64) - 1)]
    if field == "mult":
        values = [struct.pack("<d", value) for value in (0.0, -1.0, 1e300, float("inf"), float("nan"))]
    changed = [whole[:offset] + value + whole[offset + dtype.itemsize :] for value in values if value != before]
    harmless = {"ef_construction"}  # any number that can be is fine: nothing is added to the graph
    if field not in harmless:
        for data in changed:
            refused(tmp_path / "graph", data, metric)
    survives(tmp_path / "graph", changed, metric)


def words_of(data: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(data, dtype="<u4").copy()


def lists_above(whole: bytes) -> list[int]:
    """The words of the file at which elements say the bytes of their upper lists, where that is not 0."""
    words, found, at = words_of(whole), [], UPPER // 4
    while at < len(words):
        if words[at]:
            found.append(at)
        at += 1 + int(words[at]) // 4
    return found


def test_numbers_of_links_links_and_labels(whole: bytes, metric: str, tmp_path: Path) -> None:
    """Of a few elements, each set to what cannot be."""
    above = lists_above(whole)
    assert len(above) > 20
    changes: list[tuple[str, Callable[[NDArray[np.uint32]], object]]] = []
    for row in (0, 1, ROWS // 2, ROWS - 1):
        first = (96 + row * ELEMENT) // 4
        label = first + ELEMENT // 4 - 2
        changes += [
            ("more links", lambda words, at=first: words.__setitem__(at, 2 * M + 1)),
            ("more links", lambda words, at=first: words.__setitem__(at, 1 << 16)),  # marked as deleted
            ("nowhere", lambda words, at=first: words.__setitem__(at + 1, ROWS)),
            ("nowhere", lambda words, at=first: words.__setitem__(at + 2, (1 << 32) - 1)),
            ("label is of no row", lambda words, at=label: words.__setitem__(at, ROWS)),
            ("label is of no row", lambda words, at=label: words.__setitem__(at + 1, 1)),
            ("label stands twice", lambda words, at=label, row=row: words.__setitem__(at, (row + 1) % ROWS)),
        ]
    ground = next(row for row in range(ROWS) if not any(row == place for place in elements_above(whole)))
    for at in (above[0], above[len(above) // 2], above[-1]):
        changes += [
            ("more links", lambda words, at=at: words.__setitem__(at + 1, M + 1)),
            ("nowhere", lambda words, at=at: words.__setitem__(slice(at + 1, at + 3), (1, ROWS))),
            ("not on its level", lambda words, at=at: words.__setitem__(slice(at + 1, at + 3), (1, ground))),
            ("of their size", lambda words, at=at: words.__setitem__(at, words[at] + 4)),
            ("of their size", lambda words, at=at: words.__setitem__(at, 3)),
        ]
    for what, change in changes:
        words = words_of(whole)
        change(words)
        assert what in refused(tmp_path / "graph", words.tobytes(), metric)


def elements_above(whole: bytes) -> set[int]:
    words, found, at, row = words_of(whole), set(), UPPER // 4, 0
    while at < len(words):
        if words[at]:
            found.add(row)
        at, row = at + 1 + int(words[at]) // 4, row + 1
    assert row == ROWS
    return found


def test_an_entry_that_is_not_at_the_top(whole: bytes, metric: str, tmp_path: Path) -> None:
    (entry,) = struct.unpack_from("<I", whole, 52)
    data = bytearray(whole)
    struct.pack_into("<I", data, 52, next(row for row in range(ROWS) if row not in elements_above(whole)))
    assert "highest node" in refused(tmp_path / "graph", bytes(data), metric)
    assert entry in elements_above(whole)


@pytest.mark.parametrize("length", [0, 1, 4, 95, 96, 100, UPPER - 4, UPPER, UPPER + 4, UPPER + 400, -1, -4, -68])
def test_cut_short(whole: bytes, metric: str, length: int, tmp_path: Path) -> None:
    refused(tmp_path / "graph", whole[:length], metric)


def test_made_longer(whole: bytes, metric: str, tmp_path: Path) -> None:
    for more in (b"\0", b"\0" * 4, b"\1\0\0\0", b"\xff" * 68):
        refused(tmp_path / "graph", whole + more, metric)


def test_a_graph_of_other_vectors_is_refused(whole: bytes, metric: str, tmp_path: Path) -> None:
    other = VECTORS.copy()
    other[0] = -other[0]
    assert "not those" in refused(tmp_path / "graph", whole, metric, other)
    refused(tmp_path / "graph", whole, metric, VECTORS[:-1])
    refused(tmp_path / "graph", whole, metric, VECTORS[:, :-1])
    other[0] = np.nan
    refused(tmp_path / "graph", whole, metric, other)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_changed_nothing_crashes(whole: bytes, metric: str, seed: int, tmp_path: Path) -> None:
    """Single words and bits, mostly where links, labels and lists are; what is not refused answers."""
    chance = random.Random(seed)
    datas = []
    for _ in range(150):
        words = words_of(whole)
        for _ in range(chance.choice((1, 1, 3))):
            element = 96 + chance.randrange(ROWS) * ELEMENT
            at = chance.choice(
                (
                    chance.randrange(96),
                    element,
                    element + chance.randrange(8 * M),
                    element + ELEMENT - 8,
                    chance.randrange(UPPER, len(whole)),
                    chance.randrange(len(whole)),
                )
            )
            words[at // 4] = chance.choice((*ODD, int(words[at // 4]) ^ 1 << chance.randrange(32)))
        datas.append(words.tobytes()[: chance.choice((None, None, None, chance.randrange(len(whole))))])
    survives(tmp_path / "graph", datas, metric)


def test_a_graph_without_links_is_scanned(whole: bytes, metric: str, tmp_path: Path) -> None:
    words = words_of(whole)
    words[np.arange(ROWS) * ELEMENT // 4 + 24] = 0
    (tmp_path / "graph").write_bytes(words.tobytes())
    verify_graph(tmp_path / "graph", VECTORS, metric)
    search(tmp_path / "graph", metric)


def test_an_untrusted_index_is_searched_without_its_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for_small_segments(monkeypatch)
    monkeypatch.setattr("core.vectors.plan.LOAD", 0.0)
    monkeypatch.setattr("core.vectors.plan.STEP", 0.0)
    root = tmp_path / "my.index"
    built(root, put(tmp_path / "notes", FIRST), ann="hnsw")
    trusted = Search(open_index(root), SearchSettings(mode="dense")).search(Query("1", "cat"))
    assert "hnsw search" in trusted.plan
    monkeypatch.setattr("core.vectors.hnsw._load", lambda *call: pytest.fail("a graph was read"))
    (path,) = root.rglob("*.hnsw")
    path.write_bytes(b"its digest is not even asked for")
    found = Search(open_index(root), SearchSettings(mode="dense", untrusted=True)).search(Query("1", "cat"))
    assert "hnsw search" not in found.plan
    assert "graphs are left out: untrusted" in found.plan
    assert found.hits == trusted.hits
