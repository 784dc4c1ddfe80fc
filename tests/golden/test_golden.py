"""An index that was committed when its format was written: it opens, answers as it did, and is made again to the bit."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from core.index.columns import Table
from core.index.generation import FORMAT
from core.index.reader import open_index
from core.index.verified import Verified

HERE = Path(__file__).parent
INDEX = HERE / f"format-{FORMAT}"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_it_holds_what_was_put_into_it() -> None:
    index = open_index(INDEX)
    documents = {segment.document(row).id: segment.document(row) for segment, row in index.live_documents()}
    assert sorted(documents) == [
        "corpus/apple.md", "corpus/python.txt", "corpus/river.md", "corpus/thunder.txt", "q-1", "q-2",
    ]  # fmt: skip
    assert documents["corpus/apple.md"].text.endswith("telephones, not fruit.\n")
    assert documents["q-2"].meta == {"format": "jsonl", "path": "corpus.jsonl", "line": 2, "lang": "zh"}
    assert [(source.name, source.root) for source in index.generation.sources] == [("corpus", "/golden/corpus")]
    assert (index.generation.generation, index.generation.parent, index.generation.documents) == (2, 1, 6)


def test_every_file_is_whole_and_named() -> None:
    index = open_index(INDEX)
    for name in index.generation.files:
        index.verified(name)
    assert files(INDEX).keys() == index.generation.files.keys() | {
        "samespace.json", "CURRENT", "generations/000001.json", "generations/000002.json",
    }  # fmt: skip


def test_it_answers_as_it_did(make: ModuleType) -> None:
    pinned = json.loads((HERE / "answers.json").read_text(encoding="utf-8"))
    found = make.answers(INDEX)
    assert {mode: list(queries) for mode, queries in found.items()} == {mode: list(q) for mode, q in pinned.items()}
    for mode, queries in pinned.items():
        assert sum(map(len, queries.values())) >= 5
        for query, hits in queries.items():
            assert [hit[:4] for hit in found[mode][query]] == [hit[:4] for hit in hits], (mode, query)
            assert [hit[4] for hit in found[mode][query]] == pytest.approx([hit[4] for hit in hits], abs=1e-5)


def test_it_is_made_again_to_the_bit(make: ModuleType, tmp_path: Path) -> None:
    """Vectors to 1e-6: their last digits are the processor's. Everything else, and who names whom, to the bit."""
    make.make(tmp_path / "again")
    new, old = files(tmp_path / "again"), files(INDEX)
    assert new.keys() == old.keys()
    floats = {name for name in old if name.startswith("spaces/") and not name.endswith(".json")}
    other_digits = any(new[name] != old[name] for name in floats)
    for name in sorted(old.keys() - floats):
        if name == "CURRENT" and other_digits:  # it holds the digest of a generation that holds those of the vectors
            assert new[name].split()[0] == old[name].split()[0]
        elif name.startswith("generations/") and other_digits:
            assert without_floats(new[name], floats) == without_floats(old[name], floats), name
        else:
            assert new[name] == old[name], name
    for name in floats:
        one, other = Table(INDEX / name), Table(tmp_path / "again" / name)
        assert one.meta == other.meta
        for column in ("query", "passage", "vectors", "canaries_query", "canaries_passage"):
            assert (column in one) == (column in other)
            if column in one:
                assert np.allclose(one.array(column, "<f4", 2), other.array(column, "<f4", 2), atol=1e-6, rtol=0)


def without_floats(data: bytes, floats: set[str]) -> Any:
    value = json.loads(data)
    del value["sha256"]
    for name in floats & value["files"].keys():
        del value["files"][name]["sha256"]
    return value


def test_a_golden_index_is_only_read(make: ModuleType) -> None:
    before = {path: path.stat().st_mtime_ns for path in [INDEX, *INDEX.rglob("*")]}
    make.answers(INDEX)
    assert {path: path.stat().st_mtime_ns for path in [INDEX, *INDEX.rglob("*")]} == before
    assert Verified(INDEX).knows(*next(iter(open_index(INDEX).generation.files.items())))
