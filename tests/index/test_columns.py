from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from safetensors import numpy as judge

from core.errors import CorruptError
from core.index.columns import Column, Table, concatenate, write_columns

DTYPES = ("<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
)
strings = st.lists(st.text(max_size=8), max_size=6)
tables = st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), arrays | strings, max_size=5)


def read(data: bytes) -> Table:
    with tempfile.NamedTemporaryFile(prefix="table-") as file:  # the map stays valid when the file is gone
        file.write(data)
        file.flush()
        return Table(file.name)


def bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


@given(tables, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_what_was_written_is_read(columns: dict[str, Column], meta: dict[str, str]) -> None:
    table = read(concatenate(write_columns(columns, meta)))
    assert table.meta == meta
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            assert bits(table.array(name, column.dtype.str, column.ndim)) == bits(column)
        else:
            assert list(table.strings(name)) == column


@given(tables)
def test_safetensors_reads_the_same(columns: dict[str, Column]) -> None:
    theirs = judge.load(concatenate(write_columns(columns)))
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            assert bits(theirs[name]) == bits(column)
        else:
            assert theirs[f"{name}.utf8"].tobytes() == "".join(column).encode()
            assert theirs[f"{name}.ends"].tolist() == np.cumsum([len(s.encode()) for s in column]).tolist()


@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), arrays, max_size=5))
def test_what_safetensors_writes_is_read(columns: dict[str, np.ndarray]) -> None:
    table = read(judge.save(columns, {"by": "safetensors"}))
    assert table.meta == {"by": "safetensors"}
    assert {name: bits(table.array(name, a.dtype.str, a.ndim)) for name, a in columns.items()} == {
        name: bits(a) for name, a in columns.items()
    }


def test_the_same_columns_give_the_same_bytes_in_any_order() -> None:
    columns: dict[str, Column] = {"b": np.arange(3), "a": ["x", "猫"], "c": np.ones((2, 2), dtype="<f4")}
    turned = dict(reversed(columns.items()))
    assert concatenate(write_columns(columns)) == concatenate(write_columns(turned))


def test_big_endian_arrays_are_stored_little_endian() -> None:
    table = read(concatenate(write_columns({"n": np.array([1, 2], dtype=">i4")})))
    assert table.array("n", "<i4").tolist() == [1, 2]


def test_half_a_character_is_replaced() -> None:
    assert list(read(concatenate(write_columns({"s": ["a\ud800b"]}))).strings("s")) == ["a?b"]


@given(st.lists(st.text(max_size=4), max_size=20), st.text(max_size=4))
def test_find_in_a_sorted_column(texts: list[str], wanted: str) -> None:
    texts = sorted(set(texts), key=str.encode)
    column = read(concatenate(write_columns({"s": texts}))).strings("s")
    assert column.find(wanted) == (texts.index(wanted) if wanted in texts else -1)
    assert [column.find(text) for text in texts] == list(range(len(texts)))


def test_a_wrong_type_or_a_missing_column_is_refused() -> None:
    table = read(concatenate(write_columns({"n": np.arange(3), "s": ["a"]})))
    for name, dtype, ndim in (("n", "<i4", 1), ("n", "<i8", 2), ("missing", "<i8", 1), ("s", "|u1", 1)):
        with pytest.raises(CorruptError):
            table.array(name, dtype, ndim)
    with pytest.raises(CorruptError):
        table.strings("n")


# Damage and attacks: CorruptError and nothing else.

WHOLE = concatenate(
    write_columns({"v": np.arange(6, dtype="<f4").reshape(3, 2), "s": ["猫", "", "cat"]}, {"made_from": "x"})
)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_cut_short_anywhere(length: int) -> None:
    with pytest.raises(CorruptError):
        read(WHOLE[:length])


@pytest.mark.parametrize("more", [b"\0", b" ", b"x" * 64, WHOLE])
def test_made_longer(more: bytes) -> None:
    with pytest.raises(CorruptError):
        read(WHOLE + more)


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(start: Any, end: Any, shape: Any = None, dtype: Any = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


ATTACKS = {
    "overlapping": file_of({"a": entry(0, 4), "b": entry(2, 6)}, b"x" * 6),
    "the same bytes twice": file_of({"a": entry(0, 4), "b": entry(0, 4)}, b"x" * 4),
    "a hole": file_of({"a": entry(0, 2), "b": entry(4, 6)}, b"x" * 6),
    "a hole at the beginning": file_of({"a": entry(2, 4)}, b"x" * 4),
    "past the end": file_of({"a": entry(0, 8)}, b"x" * 4),
    "far past the end": file_of({"a": entry(0, 2**62)}, b"x" * 4),
    "backwards": file_of({"a": entry(4, 0, [0])}, b"x" * 4),
    "negative offsets": file_of({"a": entry(-4, 0, [4])}, b"x" * 4),
    "negative shape": file_of({"a": entry(0, 4, [-4])}, b"x" * 4),
    "negative shape twice": file_of({"a": entry(0, 4, [-2, -2])}, b"x" * 4),
    "shape that overflows": file_of({"a": entry(0, 0, [2**32, 2**32], "U8")}),
    "huge empty shape": file_of({"a": entry(0, 0, [0, 2**64])}),
    "huge empty shapes": file_of({"a": entry(0, 0, [0, 2**62, 2**62])}),
    "a thousand dimensions": file_of({"a": entry(0, 1, [1] * 1000)}, b"x"),
    "float shape": file_of({"a": entry(0, 4, [4.0])}, b"x" * 4),
    "float offsets": file_of({"a": entry(0.0, 4.0, [4])}, b"x" * 4),
    "boolean shape": file_of({"a": entry(0, 1, [True])}, b"x"),
    "shape of text": file_of({"a": entry(0, 4, "4")}, b"x" * 4),
    "unknown dtype": file_of({"a": entry(0, 4, [4], "OBJECT")}, b"x" * 4),
    "dtype that is no text": file_of({"a": entry(0, 4, [4], ["U8"])}, b"x" * 4),
    "three offsets": file_of({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4, 4]}}, b"x" * 4),
    "no offsets": file_of({"a": {"dtype": "U8", "shape": [4]}}, b"x" * 4),
    "offsets of text": file_of({"a": {"dtype": "U8", "shape": [0], "data_offsets": "ab"}}),
    "an entry that is a list": file_of({"a": [0, 4]}, b"x" * 4),
    "a header that is a list": file_of([]),
    "a header that is a number": file_of(b"7"),
    "a header that is no JSON": file_of(b"{"),
    "a header that is not UTF-8": file_of(b'{"\xff": 1}'),
    "deep nesting": file_of(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "deep metadata": file_of(b'{"__metadata__":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "metadata that is a number": file_of({"__metadata__": 7}),
    "metadata that is not text": file_of({"__metadata__": {"made_from": 7}}),
    "a key twice": file_of(
        b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        b"x" * 4,
    ),
    "a key twice, the same": file_of(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
    ),
    "a number of 10,000 digits": file_of(b'{"a":' + b"1" * 10_000 + b"}"),
    "no header": (0).to_bytes(8, "little") + b"{}",
    "a header past the end": (1000).to_bytes(8, "little") + b"{}",
    "the longest header there could be": (2**64 - 1).to_bytes(8, "little") + b"{}",
    "a header that is too large": file_of(b"{}" + b" " * (1 << 20)),
    "nothing": b"",
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.",
}


@pytest.mark.parametrize("data", ATTACKS.values(), ids=ATTACKS)
def test_attacks(data: bytes) -> None:
    with pytest.raises(CorruptError):
        read(data)


@pytest.mark.parametrize(
    "ends",
    [[-1, 1, 3], [2, 1, 3], [0, 1, 4], [0, 1, 2], [0, 2**63 - 1, -2, 3], [2**63 - 1, -(2**63), 3], []],
    ids=str,
)
def test_ends_that_do_not_rise_or_do_not_fit(ends: list[int]) -> None:
    table = read(
        concatenate(write_columns({"s.utf8": np.frombuffer(b"cat", "|u1"), "s.ends": np.array(ends, dtype="<i8")}))
    )
    with pytest.raises(CorruptError):
        table.strings("s")


@given(st.data())
def test_flipped_bytes_of_the_header_raise_nothing_else(data: st.DataObject) -> None:
    size = 8 + int.from_bytes(WHOLE[:8], "little")
    damaged = bytearray(WHOLE)
    for position in data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=3)):
        damaged[position] = data.draw(st.integers(0, 255))
    try:
        table = read(bytes(damaged))
        table.array("v", "<f4", 2)
        assert len(list(table.strings("s"))) == 3
    except CorruptError as error:
        assert error.path  # noqa: PT017 - most, not all, damage shows


def test_a_map_stays_valid_when_the_file_is_replaced_or_gone(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(WHOLE)
    table = Table(path)
    path.unlink()
    path.write_bytes(b"other")
    assert list(table.strings("s")) == ["猫", "", "cat"]
