"""The embedding cache: vectors are shared between indexes, and never believed against the model."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from handmade import FIRST, built, put, seen

from core.embeddings import Embeddings, embeddings_folder, prune_embeddings
from core.pipeline.build import build
from core.pipeline.embed import EmbedReport
from core.pipeline.known import hash_texts

RUNTIME = {"engine": "none", "precision": "float32"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "notes", FIRST)


def embedding(root: Path, source: Path) -> EmbedReport:
    report = built(root, source).embed
    assert report is not None
    return report


def files() -> list[Path]:
    return sorted(embeddings_folder().glob("*.sqlite"))


def test_another_index_embeds_nothing_again(tmp_path: Path, source: Path) -> None:
    first = embedding(tmp_path / "a.index", source)
    second = embedding(tmp_path / "b.index", source)
    assert (first.cached, second.cached, second.embedded) == (0, first.embedded, 0)
    assert seen(tmp_path / "a.index") == seen(tmp_path / "b.index")


def test_another_space_and_another_runtime_share_nothing(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding(tmp_path / "a.index", source)
    assert build(tmp_path / "b.index", [str(source)], model="hashing-2").embed.cached == 0  # type: ignore[union-attr]
    monkeypatch.setattr("core.encoders.hashing.HashingEncoder.runtime", lambda self: {"engine": "another"})
    assert embedding(tmp_path / "c.index", source).cached == 0
    assert len(files()) == 3


def test_vectors_that_the_model_does_not_give_are_not_believed(tmp_path: Path, source: Path) -> None:
    embedding(tmp_path / "a.index", source)
    (path,) = files()
    space, _, rest = path.name.partition("-passage-")
    assert rest
    connection = sqlite3.connect(path)
    texts = [row[0] for row in connection.execute("SELECT text FROM vectors")]
    connection.close()
    cache = Embeddings.__new__(Embeddings)
    cache.path, cache._dimension, cache._connection = path, 128, sqlite3.connect(path)
    hashes = np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(len(texts), 16)
    cache.add(hashes, np.ones((len(texts), 128), dtype=np.float32))
    cache.close()
    report = embedding(tmp_path / "b.index", source)
    assert (report.cached, report.embedded) == (0, len(texts))
    assert seen(tmp_path / "a.index") == seen(tmp_path / "b.index")
    assert space.startswith("s-")


@pytest.mark.parametrize("data", [b"", b"no database at all, though long enough to be one" * 100])
def test_a_damaged_cache_is_done_without(tmp_path: Path, source: Path, data: bytes) -> None:
    embedding(tmp_path / "a.index", source)
    (path,) = files()
    path.write_bytes(data)
    report = embedding(tmp_path / "b.index", source)
    assert report.cached == 0
    assert report.embedded
    assert seen(tmp_path / "a.index") == seen(tmp_path / "b.index")


def test_a_row_that_was_damaged_is_embedded_again(tmp_path: Path, source: Path) -> None:
    first = embedding(tmp_path / "a.index", source)
    connection = sqlite3.connect(files()[0])
    with connection:
        connection.execute("UPDATE vectors SET vector = zeroblob(512) WHERE rowid = 2")
    connection.close()
    report = embedding(tmp_path / "b.index", source)
    assert (report.cached, report.embedded) == (first.embedded - 1, 1)


@pytest.mark.parametrize("value", ["5", "'text'", "zeroblob(3)", "NULL"])
def test_a_row_of_another_type_is_passed_over(tmp_path: Path, source: Path, value: str) -> None:
    first = embedding(tmp_path / "a.index", source)
    connection = sqlite3.connect(files()[0])
    with connection:
        connection.execute("CREATE TABLE other AS SELECT * FROM vectors")
        connection.execute("DROP TABLE vectors")
        connection.execute("ALTER TABLE other RENAME TO vectors")
        connection.execute(f"UPDATE vectors SET vector = {value}")
    connection.close()
    assert embedding(tmp_path / "b.index", source).embedded == first.embedded


def test_what_is_no_number_is_passed_over() -> None:
    cache = Embeddings("s-one", "passage", RUNTIME, 4)
    hashes = hash_texts(["a", "b"])
    cache.add(hashes, np.array([[1, 2, 3, np.nan], [1, 2, 3, 4]], dtype=np.float32))
    assert list(cache.find(hashes)) == [hashes[1].tobytes()]
    cache.close()


def test_equal_texts_are_embedded_once(tmp_path: Path) -> None:
    folder = put(tmp_path / "notes", {f"{n}/same.txt": "The very same text about otters." for n in range(5)})
    report = embedding(tmp_path / "a.index", folder)
    assert (report.embedded, report.reused, report.cached) == (1, 4, 0)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "file"))
    assert embedding(tmp_path / "a.index", source).embedded == 5


def filled(name: str, rows: int, monkeypatch: pytest.MonkeyPatch, day: int) -> None:
    monkeypatch.setattr("core.embeddings.time.time", lambda: day * 86_400.0)
    cache = Embeddings(f"s-{name}", "passage", RUNTIME, 64)
    cache.add(hash_texts([f"{name} {n}" for n in range(rows)]), np.ones((rows, 64), dtype=np.float32))
    cache.close()


def known(name: str, rows: int, monkeypatch: pytest.MonkeyPatch | None = None, day: int = 200) -> int:
    if monkeypatch:
        monkeypatch.setattr("core.embeddings.time.time", lambda: day * 86_400.0)
    cache = Embeddings(f"s-{name}", "passage", RUNTIME, 64)
    found = len(cache.find(hash_texts([f"{name} {n}" for n in range(rows)])))
    cache.close()
    return found


def test_what_was_not_used_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    filled("one", 1000, monkeypatch, day=100)
    known("one", 500, monkeypatch, day=200)  # the first 500 are asked for again
    size = sum(path.stat().st_size for path in embeddings_folder().iterdir())
    assert prune_embeddings(size) == 0
    assert prune_embeddings(size // 2) > 0
    assert 0 < known("one", 500) == known("one", 1000)
    assert prune_embeddings(0) > 0
    assert files() == []


def test_a_file_that_is_no_database_goes_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    filled("good", 20, monkeypatch, day=100)
    size = sum(path.stat().st_size for path in embeddings_folder().iterdir())
    (embeddings_folder() / "a-garbage.sqlite").write_bytes(b"no database" * 100_000)
    assert prune_embeddings(size + 1000) > 0
    assert known("good", 20) == 20
    assert len(files()) == 1


def test_what_was_last_used_before_a_day_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    filled("old", 20, monkeypatch, day=100)
    filled("new", 20, monkeypatch, day=200)
    prune_embeddings(before=lambda: 150)
    assert (known("old", 20), known("new", 20)) == (0, 20)
