from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.config import open_encoder
from core.errors import CorruptError
from core.index.columns import Column, Table, concatenate, write_columns
from core.space.canaries import SHORT, TOLERANCE, Canaries, canary_texts, compare, embed_canaries
from core.space.diagnose import diagnose
from core.space.record import SpaceRecord, read_record, record_space
from core.space.verify import verify_space
from core.text import han_share


@pytest.fixture(scope="module")
def record() -> SpaceRecord:
    return record_space(open_encoder("hashing"))


# The texts


@pytest.mark.parametrize("model", ["hashing", "minilm", "multilingual-e5-small-q4"])
def test_the_texts(model: str) -> None:
    """Both languages, mixed text, code, digits, full width, both scripts, symbols, nearly nothing, and the length limit."""
    encoder = open_encoder(model)
    texts = canary_texts(encoder)
    assert texts == canary_texts(encoder)
    assert tuple(texts)[: len(SHORT)] == SHORT
    assert len(texts) >= 24
    shares = [han_share(text) for text in texts]
    assert min(shares) == 0
    assert max(shares) == 1
    assert any(0 < share < 1 for share in shares)
    joined = " ".join(texts)
    assert all(part in joined for part in ("ＦＵＬＬ", "繁體", "🦊", "v1.2.3", "E-1047", "def "))
    assert any(character.isdigit() for character in joined)
    assert min(map(len, texts)) == 1
    assert sum(map(bool, texts.values())) == 2
    counts = [encoder.count_tokens(text, "passage") for text in texts]
    limit = encoder.space.max_tokens
    assert counts[-2:] == [limit, limit + 1]
    assert max(counts[:-2]) < 60


def test_a_model_that_takes_a_book() -> None:
    encoder = open_encoder("hashing")
    encoder.space = replace(encoder.space, max_tokens=10**9)
    assert encoder.count_tokens(tuple(canary_texts(encoder))[-1], "passage") == 8193


def test_a_changed_length_limit_shows(record: SpaceRecord) -> None:
    encoder = open_encoder("hashing")
    cut = [" ".join(text.split()[:32]) for text in record.canaries.texts]
    now = {"passage": encoder.embed(cut, "passage")}
    assert not compare({"passage": record.canaries.passage}, now, TOLERANCE).agrees  # type: ignore[arg-type, dict-item]


# Comparing


def vectors(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(5, 16)).astype(np.float32)


def agrees(old: NDArray[np.float32], new: NDArray[np.float32]) -> bool:
    return compare({"query": old}, {"query": new}, TOLERANCE).agrees


def test_equal_and_nearly_equal_vectors_agree() -> None:
    assert agrees(vectors(), vectors())
    assert agrees(vectors(), vectors() + np.float32(1e-6))
    assert agrees(vectors(), vectors().astype(np.float16).astype(np.float32))
    found = compare({"query": vectors()}, {"query": vectors()}, TOLERANCE)
    assert (found.texts, round(found.mean_cosine, 6)) == (5, 1)


@pytest.mark.parametrize(
    "new",
    [
        -vectors(), vectors() * np.float32(1.001), vectors(1), vectors()[::-1], np.roll(vectors(), 1, axis=1),
        vectors()[:4], vectors()[:, :15], vectors() * np.float32("nan"), vectors() * np.float32("inf"), vectors() * 0,
    ],
    ids=["sign", "length", "other", "order", "rolled", "fewer", "narrower", "nan", "inf", "zero"],
)  # fmt: skip
def test_others_do_not(new: NDArray[np.float32]) -> None:
    assert not agrees(vectors(), new)
    assert not agrees(new, vectors())


@pytest.mark.parametrize("row", range(5))
def test_one_bad_vector_is_enough(row: int) -> None:
    new = vectors()
    new[row, 3] += 0.2
    assert not agrees(vectors(), new)
    new[row, 3] = np.nan
    assert not agrees(vectors(), new)


def test_every_side_counts() -> None:
    old = {"query": vectors(), "passage": vectors()}
    assert compare(old, {"query": vectors(), "passage": vectors()}, TOLERANCE).agrees  # type: ignore[arg-type]
    assert not compare(old, {"query": vectors(), "passage": -vectors()}, TOLERANCE).agrees  # type: ignore[arg-type]
    assert compare(old, {"query": vectors()}, TOLERANCE).agrees  # type: ignore[arg-type, dict-item]


@given(st.floats(-1, 1), st.floats(1e-8, 1e-2))
def test_the_tolerance_is_the_border(angle: float, tolerance: float) -> None:
    old = np.array([[1, 0]], dtype=np.float32)
    new = np.array([[np.cos(angle), np.sin(angle)]], dtype=np.float32)
    found = compare({"query": old}, {"query": new}, tolerance)
    assert found.agrees == (found.worst_distance <= tolerance and found.worst_length <= tolerance)
    assert found.worst_distance == pytest.approx(1 - np.cos(angle), abs=1e-6)


def test_canaries_are_embedded_on_both_sides() -> None:
    encoder = open_encoder("hashing")
    found = embed_canaries(encoder, dict.fromkeys(SHORT, ""))
    assert isinstance(found, Canaries)
    assert found.texts == SHORT
    assert found.vectors("query") is found.query
    assert found.vectors("passage") is found.passage
    assert found.query.shape == found.passage.shape == (len(SHORT), encoder.space.dimension)


# The record


def table(columns: dict[str, Column], folder: Path) -> Table:
    path = folder / "canaries"
    path.unlink(missing_ok=True)
    path.write_bytes(concatenate(write_columns(columns)))
    return Table(path)


def test_the_record_and_back(record: SpaceRecord, tmp_path: Path) -> None:
    again = read_record(record.to_bytes(), table(record.columns(), tmp_path), "space.json")
    assert again.to_json() == record.to_json()
    assert np.array_equal(again.canaries.query, record.canaries.query)
    assert np.array_equal(again.canaries.passage, record.canaries.passage)


def test_a_damaged_record(record: SpaceRecord, tmp_path: Path) -> None:
    """Cut anywhere: CorruptError. A bit flipped: CorruptError or, beside the identity, another word for people."""
    data, columns = record.to_bytes(), table(record.columns(), tmp_path)
    rng = random.Random(5)
    for length in [*range(50), *rng.sample(range(50, len(data) - 1), 100)]:
        with pytest.raises(CorruptError) as caught:
            read_record(data[:length], columns, "space.json")
        assert caught.value.path == "space.json"
    refused = 0
    for bit in rng.sample(range(len(data) * 8), 500):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert read_record(bytes(damaged), columns, "space.json").space == record.space
        except CorruptError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    "change",
    [
        {"identity": None}, {"identity": {}}, {"id": "s-0000000000000000"}, {"canaries": []}, {"canaries": 7},
        {"canaries": None}, {"tolerance": "much"}, {"model": []}, {"model": {"name": "x"}}, {"metric": ...},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_that_contradicts_itself(record: SpaceRecord, tmp_path: Path, change: dict[str, object]) -> None:
    value = {name: part for name, part in {**record.to_json(), **change}.items() if part is not ...}
    with pytest.raises(CorruptError):
        read_record(json.dumps(value).encode(), table(record.columns(), tmp_path), "space.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"\xff", b"[" * 100_000 + b"]" * 100_000], ids=len)
def test_what_is_no_record(record: SpaceRecord, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorruptError):
        read_record(data, table(record.columns(), tmp_path), "space.json")


def test_canaries_that_do_not_fit(record: SpaceRecord, tmp_path: Path) -> None:
    query, passage = record.canaries.query, record.canaries.passage
    for columns in (
        {"query": query},
        {"query": query[1:], "passage": passage},
        {"query": query[:, 1:], "passage": passage[:, 1:]},
    ):
        with pytest.raises(CorruptError):
            read_record(record.to_bytes(), table(columns, tmp_path), "space.json")  # type: ignore[arg-type]


def test_a_record_from_before_contexts_and_tokens(tmp_path: Path) -> None:
    """An index of an earlier version is read, verified and diagnosed by what it has."""
    encoder = open_encoder("hashing")
    texts = dict.fromkeys([*canary_texts(encoder)][:9], "")
    before = SpaceRecord(encoder.space, "cosine", encoder.model, {}, TOLERANCE, embed_canaries(encoder, texts))
    value = {name: part for name, part in before.to_json().items() if name != "contexts"}
    columns: dict[str, Column] = {"query": before.canaries.query, "passage": before.canaries.passage}
    found = read_record(json.dumps(value).encode(), table(columns, tmp_path), "space.json")
    assert (found.canaries.contexts, dict(found.canaries.tokens)) == ((), {})
    assert verify_space(found, encoder).accepted
    assert diagnose(found, open_encoder("hashing-2")).cause == "model"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("query_token_ends", [1, 2]), ("query_token_ends", [0] * 26 + [10**9]), ("query_token_ends", [5, 4] + [9] * 25),
        ("query_token_ends", [-1] * 27), ("passage_tokens", [1]),
    ],
    ids=["few", "far", "falling", "negative", "short"],
)  # fmt: skip
def test_tokens_that_do_not_fit(record: SpaceRecord, tmp_path: Path, name: str, values: list[int]) -> None:
    dtype = np.int64 if name.endswith("ends") else np.int32
    columns = {**record.columns(), name: np.array(values, dtype=dtype)}
    with pytest.raises(CorruptError):
        read_record(record.to_bytes(), table(columns, tmp_path), "space.json")
