"""A table of columns in one file: the safetensors layout (8-byte length, JSON header, raw arrays), written as a stream
and read through a map. Every data file of an index is one of these, so one reader and one set of checks serve them all.

A column is an array, or strings: `NAME.utf8` holds the bytes, `NAME.ends` where each string ends.
Layout: https://github.com/huggingface/safetensors#format (the `safetensors` package reads these files too).
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError

_CODES = {
    "<f4": "F32", "<f2": "F16", "<f8": "F64", "<i8": "I64", "<i4": "I32", "<i2": "I16", "|i1": "I8",
    "|u1": "U8", "<u2": "U16", "<u4": "U32", "<u8": "U64",
}  # fmt: skip
_DTYPES = {code: np.dtype(dtype) for dtype, code in _CODES.items()}
_MAX_HEADER = 1 << 20
_ALIGN = 64  # arrays start on a cache line: the map can be used as it is


class Strings(Sequence[str]):
    """A column of strings over mapped bytes: nothing is decoded before it is asked for."""

    def __init__(self, utf8: NDArray[np.uint8], ends: NDArray[np.int64]):
        self._utf8 = utf8
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    def raw(self, row: int) -> bytes:
        start = int(self._ends[row - 1]) if row else 0
        return self._utf8[start : int(self._ends[row])].tobytes()

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if row < 0:
            row += len(self)
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.raw(row).decode("utf-8", "replace")

    def sizes(self) -> NDArray[np.int64]:
        """The bytes of each string."""
        return np.diff(self._ends, prepend=0)

    def joined(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The bytes of these rows, one after the other; rows that follow one another are taken in one piece."""
        if not len(rows):
            return np.zeros(0, dtype=np.uint8)
        first = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
        last = np.append(first[1:], len(rows)) - 1
        starts = np.where(rows[first] > 0, self._ends[rows[first] - 1], 0)
        pieces = zip(starts, self._ends[rows[last]], strict=True)
        return np.concatenate([self._utf8[start:end] for start, end in pieces])

    def find(self, text: str) -> int:
        """The row of `text` in a sorted column (by bytes), or -1."""
        wanted = text.encode("utf-8", "replace")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.raw(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self.raw(low) == wanted else -1


@dataclass(frozen=True, slots=True)
class Lazy:
    """An array that is made while it is written, so that it need not fit into memory: its parts, along the first axis."""

    dtype: str
    shape: tuple[int, ...]
    parts: Callable[[], Iterable[NDArray[Any]]]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


Column = NDArray[Any] | Sequence[str] | Lazy


def write_columns(columns: Mapping[str, Column], meta: Mapping[str, str] | None = None) -> Iterator[bytes | memoryview]:
    """The bytes of a table file, in order. The same columns give the same bytes.

    Arrays are stored little-endian as they are; lone surrogates in strings are replaced.
    """
    arrays: dict[str, NDArray[Any] | Lazy] = {}
    for name, column in columns.items():
        if isinstance(column, Lazy):
            arrays[name] = column
        elif isinstance(column, np.ndarray):
            arrays[name] = np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<"))
        else:
            arrays.update(_string_arrays(name, column))
    # Larger items first keeps every array aligned to its own item size without holes, which the layout forbids.
    order = sorted(arrays, key=lambda name: (-np.dtype(arrays[name].dtype).itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(sorted((meta or {}).items()))}
    offset = 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": _CODES[np.dtype(array.dtype).str],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGN)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        yield from _bytes_of(arrays[name])


def _string_arrays(name: str, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    encoded = [text.encode("utf-8", "replace") for text in texts]
    ends = np.cumsum([len(part) for part in encoded], dtype=np.int64)
    return {f"{name}.utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8), f"{name}.ends": ends}


def _bytes_of(array: NDArray[Any] | Lazy) -> Iterator[memoryview]:
    """Raises ValueError when a lazy array is not what it said it would be."""
    if not isinstance(array, Lazy):
        yield memoryview(array.reshape(-1).view(np.uint8).data)
        return
    size = 0
    for part in array.parts():
        data = np.ascontiguousarray(part, dtype=array.dtype).reshape(-1).view(np.uint8)
        size += len(data)
        yield memoryview(data.data)
    if size != array.nbytes:
        raise ValueError(f"a column of {array.nbytes} bytes came out with {size}")


class Table:
    """A table file, mapped read-only. Opening checks its whole structure; nothing in it is executed.

    Raises CorruptError when the file is not a table or not whole. The map stays valid when the file is unlinked.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        with Path(path).open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:  # an empty file cannot be mapped
                raise self._corrupt("the file is empty") from error
        self._data = np.frombuffer(self._map, dtype=np.uint8)
        self.meta, self._arrays = self._read_header()

    def _corrupt(self, what: str) -> CorruptError:
        return CorruptError(what, path=self.path, fix="run `samespace check` on the index to see what is affected")

    def _read_header(self) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
        size = int.from_bytes(self._map[:8], "little")
        if len(self._map) < 8 or not 0 < size <= min(_MAX_HEADER, len(self._map) - 8):
            raise self._corrupt("not a table file: its header does not fit in it")
        try:
            header = json.loads(self._map[8 : 8 + size], object_pairs_hook=_unique)
            meta = header.pop("__metadata__", {})
            if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
                raise ValueError("metadata that is no text")
            arrays, expected = {}, 0
            for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                start, end = entry["data_offsets"]
                dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
                count = 1
                for length in shape:
                    if type(length) is not int or length < 0:
                        raise ValueError("a negative length")
                    count *= length
                if start != expected or end - start != count * dtype.itemsize:
                    raise ValueError("offsets do not fit")
                expected = end
                if 8 + size + end > len(self._map):
                    raise ValueError("cut short")
                arrays[name] = self._data[8 + size + start : 8 + size + end].view(dtype).reshape(shape)
            if 8 + size + expected != len(self._map):
                raise ValueError("bytes left over")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._corrupt(f"a damaged table file ({error})") from error
        return meta, arrays

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def array(self, name: str, dtype: str, ndim: int = 1) -> NDArray[Any]:
        """The column `name`, mapped; raises CorruptError when it is not a `ndim`-dimensional array of `dtype`."""
        array = self._arrays.get(name)
        if array is None or array.dtype != np.dtype(dtype) or array.ndim != ndim:
            raise self._corrupt(f"the column {name!r} is missing or not of the type it should have")
        return array

    def floats(self, name: str) -> NDArray[Any]:
        """The matrix `name`, mapped, float16 or float32. Raises CorruptError."""
        array = self._arrays.get(name)
        return self.array(name, "<f2" if array is not None and array.dtype == np.dtype("<f2") else "<f4", 2)

    def strings(self, name: str) -> Strings:
        """The string column `name`; raises CorruptError when its ends do not rise or do not fit its bytes."""
        utf8, ends = self.array(f"{name}.utf8", "|u1"), self.array(f"{name}.ends", "<i8")
        last = int(ends[-1]) if len(ends) else 0
        # Compared, not subtracted: a difference could wrap around.
        if last != len(utf8) or (len(ends) and (ends[0] < 0 or (ends[1:] < ends[:-1]).any())):
            raise self._corrupt(f"the string column {name!r} is damaged")
        return Strings(utf8, ends)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice: readers differ in which of the two they take."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def concatenate(parts: Iterable[bytes | memoryview]) -> bytes:
    return b"".join(bytes(part) for part in parts)
