"""A self-contained index answers where neither its model nor torch is installed, and is refused when it is damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import FIRST, SECOND, all_files, built, generation, put

from core.config import open_encoder
from core.encoders.bert import Shape
from core.encoders.carried import CarriedEncoder, carry
from core.errors import CorruptError, MissingError, SpaceMismatchError, UsageError
from core.index.columns import Table, write_columns
from core.index.reader import open_index
from core.pipeline.build import build
from core.pipeline.index import index
from core.pipeline.search import Search, SearchSettings
from core.pipeline.spaces import read_space
from core.space.identity import check_record
from core.space.verify import guard
from core.types import Query

sys.path.append(str(Path(__file__).parents[1] / "encoders"))
from tiny_models import rewrite, save_model, vocabulary

ROOT = Path(__file__).parents[2]
# What a machine without the model and the reference has not.
BARE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "sentence_transformers", "transformers", "openvino"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
from cli.main import main
main()
"""
# Their metadata is gone as well.
HIDDEN = """
import importlib.metadata as metadata
version = metadata.version
def missing(name):
    if name in ("torch", "sentence-transformers", "transformers", "openvino"):
        raise metadata.PackageNotFoundError(name)
    return version(name)
metadata.version = missing
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


@pytest.fixture
def root(tmp_path: Path, model: Path) -> Path:
    put(tmp_path / "notes", FIRST)
    build(tmp_path / "my.index", [str(tmp_path / "notes")], model=str(model), size=32)
    return tmp_path / "my.index"


def bare(*words: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", BARE, *map(str, words)], capture_output=True, text=True, timeout=120, env=env
    )


def carried_name(root: Path) -> str:
    current = generation(root)
    name = current.primary.find_encoder(current.files)
    assert name is not None
    return name


def hits(root: Path, mode: str = "dense") -> list[tuple[str, float]]:
    found = Search(open_index(root), SearchSettings(mode=mode)).search(Query("q", "the river bank"))  # type: ignore[arg-type]
    return [(hit.chunk.document_id, round(hit.score, 5)) for hit in found.hits]


def test_it_answers_without_torch_and_without_its_model(root: Path, model: Path) -> None:
    before = hits(root)
    assert index(root, self_contained=True).encoder > 10_000
    model.rename(model.with_name("gone"))
    assert hits(root) == before
    done = bare("search", root, "the river bank", "--mode", "dense", "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert [(hit["document"], round(hit["score"], 5)) for hit in value["hits"]] == before
    assert value["space"]["runtime"] == "numpy, float32"
    assert bare("verify-space", root).returncode == 0
    assert bare("check", root).returncode == 0
    done = bare("search", root, "the river bank", "--mode", "dense", "--model", model)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("installed", [True, False], ids=["but does not import", "not at all"])
def test_an_index_can_be_made_without_torch(tmp_path: Path, model: Path, installed: bool) -> None:
    """Our own engine stands for the reference, and the record says so."""
    put(tmp_path / "notes", FIRST)
    code = BARE if installed else BARE.replace("from cli", HIDDEN + "from cli")
    words = ["build", tmp_path / "notes", "--to", tmp_path / "my.index", "--model", model, "--size", 32]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    record = read_space(open_index(tmp_path / "my.index"))
    assert record.runtime["engine"] == "numpy"
    assert guard(record, open_encoder(str(model), "reference"), path="x").accepted


def test_without_it_the_message_says_what_to_do(root: Path, model: Path) -> None:
    done = bare("search", root, "the river bank")
    assert done.returncode == 0, done.stderr  # the model's folder is there: NumPy runs it
    model.rename(model.with_name("gone"))
    done = bare("search", root, "the river bank")
    assert done.returncode == 15
    assert "the folder of the model" in done.stderr


def test_it_stays_so_over_later_builds_and_can_be_undone(root: Path, tmp_path: Path, model: Path) -> None:
    first = index(root, self_contained=True)
    assert index(root).published is False
    put(tmp_path / "notes", SECOND)
    model.rename(model.with_name("gone"))
    build(root)
    name = carried_name(root)
    assert generation(root).generation == first.generation + 1
    assert index(root, self_contained=False).encoder == 0
    assert name not in generation(root).files


def test_it_can_be_put_in_again_and_mended(root: Path) -> None:
    before = hits(root)
    for choice in (True, False, True):
        assert index(root, self_contained=choice).published
    path = root / carried_name(root)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(CorruptError):
        hits(root)
    assert index(root, self_contained=True).published
    assert carried_name(root) != path.relative_to(root).as_posix()
    assert hits(root) == before


def test_weights_that_differ_are_not_put_in(root: Path, model: Path) -> None:
    """Rows of words that no canary uses: the behaviour agrees, the identity does not, and that must not be forgotten."""

    def change(name: str, tensor: Any) -> tuple[str, Any]:
        if "word_embeddings" in name:
            tensor = tensor.copy()
            tensor[vocabulary().index("keeper")] += 1
        return name, tensor

    rewrite(model, change)
    with pytest.raises(SpaceMismatchError, match="not quite the one"):
        index(root, self_contained=True)


def test_the_model_it_carries_has_to_prove_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = all_files(root)
    monkeypatch.setattr("core.encoders.fast.pool", lambda tokens, how: tokens[0] * np.float32(-1))
    with pytest.raises(SpaceMismatchError):
        index(root, self_contained=True)
    monkeypatch.undo()
    assert {name for name in all_files(root) if not name.startswith("staging")} == before
    assert index(root, self_contained=True).published


def test_a_model_without_files(tmp_path: Path) -> None:
    put(tmp_path / "notes", FIRST)
    built(tmp_path / "my.index", tmp_path / "notes")
    with pytest.raises(UsageError, match="needs no files"):
        index(tmp_path / "my.index", self_contained=True)


def test_a_model_that_only_torch_can_run(tmp_path: Path) -> None:
    put(tmp_path / "notes", FIRST)
    model = save_model(tmp_path / "model", hidden_act="gelu_new")
    build(tmp_path / "my.index", [str(tmp_path / "notes")], model=str(model), size=32)
    with pytest.raises(MissingError, match="hidden_act"):
        index(tmp_path / "my.index", self_contained=True)


def test_a_query_says_why_it_is_slow(tmp_path: Path) -> None:
    put(tmp_path / "notes", FIRST)
    model = save_model(tmp_path / "model", hidden_act="gelu_new")
    build(tmp_path / "my.index", [str(tmp_path / "notes")], model=str(model), size=32)
    found = Search(open_index(tmp_path / "my.index"), SearchSettings()).search(Query("q", "the river bank"))
    assert found.notes[0] == (
        "the model is run by sentence-transformers, float32, slower than usual: its hidden_act is 'gelu_new'"
    )


def test_another_model_of_the_same_shape_is_found_out(root: Path, tmp_path: Path) -> None:
    """Whoever can write an index can put another encoder into it, digests and all; the canaries tell."""
    record = read_space(open_index(root))
    other = save_model(tmp_path / "other", initializer_range=0.3)
    (tmp_path / "table").write_bytes(b"".join(bytes(part) for part in carry(open_encoder(str(other)))))  # type: ignore[arg-type]
    encoder = CarriedEncoder(Table(tmp_path / "table"), record.model, record.space, record.metric, "queries")
    with pytest.raises(SpaceMismatchError, match="the behaviour is not"):
        guard(record, encoder, path=str(root), short=True)


@pytest.mark.parametrize(
    "shape",
    [
        {"hidden": 1 << 40},
        {"hidden": 0},
        {"heads": 5},
        {"heads": "4"},
        {"layers": -1},
        {"layers": 3},
        {"eps": None},
        {"eps": float("nan")},
        {"first_position": -3},
        {"unknown": 1},
        {"feed_forward": True},
    ],
    ids=str,
)
def test_a_shape_that_cannot_be(tmp_path: Path, model: Path, shape: dict[str, Any]) -> None:
    encoder = open_encoder(str(model))
    bert, tokenizer = encoder.parts()  # type: ignore[attr-defined]
    meta = json.dumps({**Shape.to_json(bert.shape), **shape})
    parts = write_columns({**bert.columns(), **tokenizer.columns()}, {"shape": meta})
    (tmp_path / "table").write_bytes(b"".join(bytes(part) for part in parts))
    carried = CarriedEncoder(Table(tmp_path / "table"), encoder.model, encoder.space, "cosine", "queries")
    with pytest.raises(CorruptError, match=r"carries is damaged|is missing or not of the type"):
        carried.embed(["x"], "query")


@pytest.mark.parametrize(
    "identity",
    [
        {"query_prompt": 5},
        {"passage_prompt": None},
        {"dimension": 384.0},
        {"dimension": True},
        {"normalize": "no"},
        {"max_tokens": -1},
        {"max_tokens": 1 << 40},
        {"pooling": ["mean"]},
    ],
    ids=str,
)
def test_an_identity_of_other_types_is_refused(root: Path, identity: dict[str, Any]) -> None:
    value = read_space(open_index(root)).to_json()
    check_record(value)
    with pytest.raises((TypeError, ValueError)):
        check_record({**value, "identity": {**value["identity"], **identity}})


def test_an_encoder_of_another_dimension_or_length_is_refused(root: Path, tmp_path: Path, model: Path) -> None:
    record = read_space(open_index(root))
    (tmp_path / "table").write_bytes(b"".join(bytes(part) for part in carry(open_encoder(str(model)))))  # type: ignore[arg-type]
    for field in ({"dimension": 64}, {"max_tokens": 500}):
        space = replace(record.space, **field)  # type: ignore[arg-type]
        carried = CarriedEncoder(Table(tmp_path / "table"), record.model, space, record.metric, "queries")
        with pytest.raises(CorruptError, match="dimension or length"):
            carried.embed(["x"], "query")


def test_damage_is_found_before_it_is_used(root: Path) -> None:
    index(root, self_contained=True)
    path = root / carried_name(root)
    data = path.read_bytes()
    for damaged in (data[:-1], b"", data[: len(data) // 2] + bytes(1000) + data[len(data) // 2 + 1000 :], data + b"x"):
        path.unlink()
        path.write_bytes(damaged)
        with pytest.raises(CorruptError):
            hits(root)
    assert hits(root, "lexical")
