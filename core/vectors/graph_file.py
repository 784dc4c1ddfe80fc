"""The file of an HNSW graph, verified before native code reads it.

hnswlib trusts its files: a count or an id that is too large makes it read or write beyond its memory. What it relies on
is checked here: the layout of hnswlib 0.8.0 (hnswalg.h, saveIndex and loadIndex), in its own order:

    header    offsetLevel0, max_elements, cur_element_count, size_data_per_element, label_offset, offsetData: uint64;
              maxlevel: int32; enterpoint_node: uint32; maxM, maxM0, M: uint64; mult: float64; ef_construction: uint64
    level 0   of every element: the number of its links, room for maxM0 of them (uint32), its vector, its label (uint64)
    the rest  of every element: the bytes of its upper lists (uint32), then for each level from 1 a list of the number of
              links and room for maxM of them (uint32)
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError

HEADER = np.dtype(
    [
        ("offset_level0", "<u8"), ("max_elements", "<u8"), ("count", "<u8"), ("element_size", "<u8"),
        ("label_offset", "<u8"), ("data_offset", "<u8"), ("max_level", "<i4"), ("entry", "<u4"),
        ("max_m", "<u8"), ("max_m0", "<u8"), ("m", "<u8"), ("mult", "<f8"), ("ef_construction", "<u8"),
    ]
)  # fmt: skip
_MOST_LINKS = 10_000  # what hnswlib itself takes for M at most
_BLOCK = 1 << 14  # elements at once
_SAMPLE = 4096  # rows whose vectors are compared: other vectors cost recall, never memory


class _Wrong(Exception):
    """What is wrong with a graph file."""


@dataclass(frozen=True, slots=True)
class _Upper:
    """The lists above level 0: the file's words, the level of each element, and of each list where it begins among the
    words and its level.
    """

    words: NDArray[np.uint32]
    levels: NDArray[np.int64]
    starts: NDArray[np.int64]
    of_level: NDArray[np.int64]


def verify_graph(path: Path, vectors: NDArray[np.float32], metric: str) -> None:
    """Raises CorruptError unless the file at `path` is a graph of these vectors (rows × dimension) that hnswlib can read
    and search without leaving its memory. Reads through a map; holds less than the file's size.
    """
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.zeros(0, dtype=np.uint8)
        header = _header(data, vectors)
        elements = _elements(data, header, vectors)
        upper = _upper(data[HEADER.itemsize + elements.nbytes :], header)
        _check_entry(header, upper)
        _check_level0(elements, header)
        _check_upper(upper, header)
        _check_vectors(elements, vectors, metric)
    except _Wrong as wrong:
        raise CorruptError(
            f"this is no graph of the segment's vectors ({wrong})",
            path=path,
            fix="samespace repair INDEX --untrusted makes it anew; samespace search INDEX --untrusted does without it",
        ) from None


def _require(fits: Any, what: str) -> None:
    if not fits:
        raise _Wrong(what)


def _header(data: NDArray[np.uint8], vectors: NDArray[np.float32]) -> dict[str, Any]:
    _require(len(data) >= HEADER.itemsize and len(data) % 4 == 0, "it is cut short")
    header = dict(zip(HEADER.names or (), data[: HEADER.itemsize].view(HEADER)[0].item(), strict=True))
    rows, dimension = vectors.shape
    m = header["m"]
    _require(header["count"] == header["max_elements"] == rows > 0, f"it is not of {rows:,} rows")
    _require(2 <= m <= _MOST_LINKS and header["max_m"] == m and header["max_m0"] == 2 * m, "its links a node cannot be")
    links = 4 + 4 * header["max_m0"]
    offsets = (header["offset_level0"], header["data_offset"], header["label_offset"], header["element_size"])
    fits = offsets == (0, links, links + 4 * dimension, links + 4 * dimension + 8)
    _require(fits, f"its elements are not laid out for {dimension:,} dimensions")
    _require(abs(header["mult"] * math.log(m) - 1) < 1e-6, "its factor of levels cannot be")
    _require(1 <= header["ef_construction"] < 1 << 31, "its width of construction cannot be")
    return header


def _elements(data: NDArray[np.uint8], header: dict[str, Any], vectors: NDArray[np.float32]) -> NDArray[Any]:
    """Level 0 as it lies in the file, a record an element."""
    size = header["count"] * header["element_size"]
    _require(HEADER.itemsize + size <= len(data), "it is cut short")
    layout = [("links", "<u4"), ("ids", "<u4", (header["max_m0"],)), ("vector", "<f4", (vectors.shape[1],))]
    return data[HEADER.itemsize : HEADER.itemsize + size].view(np.dtype([*layout, ("label", "<u8")]))


def _upper(data: NDArray[np.uint8], header: dict[str, Any]) -> _Upper:
    """Where the lists above level 0 are. Only elements that have some are gone through one by one."""
    words = data.view("<u4")
    filled = np.append(np.flatnonzero(words), len(words))  # a word that is 0 says: no lists
    size = 1 + header["max_m"]
    rows, starts, counts = array("q"), array("q"), array("q")
    row = position = 0
    while (found := int(filled[np.searchsorted(filled, position)])) < len(words):
        row += found - position
        lists, rest = divmod(int(words[found]), 4 * size)
        position = found + 1 + lists * size
        _require(lists and not rest and row < header["count"], "its upper lists are not of their size")
        _require(position <= len(words), "it is cut short")
        rows.append(row)
        starts.append(found + 1)
        counts.append(lists)
        row += 1
    _require(row + len(words) - position == header["count"], "it does not end where it should")
    levels = np.zeros(header["count"], dtype=np.int64)
    levels[np.asarray(rows)] = counts
    above = np.asarray(counts)
    within = np.arange(above.sum()) - np.repeat(np.cumsum(above) - above, above)
    return _Upper(words, levels, np.repeat(np.asarray(starts), above) + within * size, within + 1)


def _check_entry(header: dict[str, Any], upper: _Upper) -> None:
    top, entry = header["max_level"], header["entry"]
    fits = top == upper.levels.max() and entry < header["count"] and upper.levels[entry] == top
    _require(fits, "it does not begin at its highest node")


def _blocks(count: int, step: int = _BLOCK) -> Iterator[slice]:
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _check_level0(elements: NDArray[Any], header: dict[str, Any]) -> None:
    """Numbers of links that have room, links and labels that name elements, each label once."""
    count, room = header["count"], np.arange(header["max_m0"])
    labelled = np.zeros(count, dtype=bool)
    for block in _blocks(count):
        part = elements[block]
        links, labels = part["links"], part["label"]
        _require((links <= header["max_m0"]).all(), "an element has more links than there is room for")
        _require((part["ids"] < count)[room < links[:, None]].all(), "a link leads nowhere")
        _require((labels < count).all(), "a label is of no row")
        labelled[labels.astype(np.int64)] = True
    _require(labelled.all(), "a label stands twice")


def _check_upper(upper: _Upper, header: dict[str, Any]) -> None:
    """The same above level 0; a link of a level leads to an element that has that level."""
    count, room = header["count"], np.arange(header["max_m"])
    for block in _blocks(len(upper.starts)):
        starts = upper.starts[block]
        links = upper.words[starts]
        _require((links <= header["max_m"]).all(), "an element has more links than there is room for")
        used = room < links[:, None]
        ids = upper.words[starts[:, None] + 1 + room][used]
        _require((ids < count).all(), "a link leads nowhere")
        needed = np.broadcast_to(upper.of_level[block][:, None], used.shape)[used]
        _require((upper.levels[ids] >= needed).all(), "a link leads to an element that is not on its level")


def _check_vectors(elements: NDArray[Any], vectors: NDArray[np.float32], metric: str) -> None:
    """Of a spread sample: what the graph holds is the row that its label names (for cosine at length 1)."""
    places = np.unique(np.linspace(0, len(elements) - 1, num=min(_SAMPLE, len(elements)), dtype=np.int64))
    held, rows = elements["vector"][places], vectors[elements["label"][places].astype(np.int64)]
    if metric == "cosine":
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            fits = np.allclose(held, rows / np.maximum(lengths, np.float32(1e-30)), rtol=1e-4, atol=1e-6)
    else:
        fits = np.array_equal(held, rows)
    _require(fits, "its vectors are not those of the segment")
