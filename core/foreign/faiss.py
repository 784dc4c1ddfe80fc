"""A FAISS index that keeps vectors whole, read without faiss: flat ones, alone, under an id map, or under an HNSW graph.

The layout is that of faiss 1.15.1 (impl/index_write.cpp), little-endian. A header: four letters that name the kind, d:
int32, ntotal: int64, two int64 that mean nothing, is_trained: bool, metric_type: int32, and above 1 its argument: float32.
A vector of values is their number, uint64, and the values; flat vectors count their float32 values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.foreign import Choice, Foreign, damaged

_FLAT, _MAPS, _GRAPH = (b"IxFI", b"IxF2", b"IxFl"), (b"IxMp", b"IxM2"), b"IHNf"
_METRICS = {0: "dot", 1: "euclidean"}
_KINDS = {
    b"IwFl": "an inverted file (IVFFlat)", b"IwPQ": "an inverted file of product codes (IVFPQ)",
    b"IxPq": "product codes (PQ)", b"IxSQ": "scalar codes (SQ)", b"IwSq": "an inverted file of scalar codes (IVFSQ)",
    b"IxPT": "a transformed index (PreTransform)", b"IHNs": "an HNSW graph of scalar codes",
    b"IHNp": "an HNSW graph of product codes", b"IBxF": "binary vectors",
}  # fmt: skip
# Of a graph: the values of each of its vectors, before its entry point.
_GRAPH_PARTS = ("<f8", "<i4", "<i4", "<u8", "<i4")  # probabilities, neighbours a level, levels, offsets, neighbours


class _Cursor:
    """Reads on through the bytes of a file. Raises CorruptError where it ends too early."""

    def __init__(self, path: Path):
        self.path = path
        self._data = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.zeros(0, dtype=np.uint8)
        self._at = 0

    def take(self, dtype: str, count: int) -> NDArray[Any]:
        size = np.dtype(dtype).itemsize * count
        if size > len(self._data) - self._at:
            raise damaged(self.path, "it is cut short")
        part = self._data[self._at : self._at + size]
        self._at += size
        return part.view(dtype)

    def one(self, dtype: str) -> Any:
        return self.take(dtype, 1)[0].item()

    def several(self, dtype: str) -> NDArray[Any]:
        return self.take(dtype, self.one("<u8"))


def read(path: Path, choice: Choice) -> Foreign:
    """`ids` are those of an id map. Raises CorruptError, UsageError for a kind that does not keep vectors whole."""
    kind, vectors, ids, metric = _index(_Cursor(path), 0)
    notes = (f"faiss kind {kind.decode('ascii')}",)
    return Foreign("faiss", str(path), vectors, ids=ids, metric=metric, notes=notes)


def _index(cursor: _Cursor, depth: int) -> tuple[bytes, NDArray[np.float32], list[str] | None, str | None]:
    kind = cursor.take("|u1", 4).tobytes()
    if kind not in (*_FLAT, *_MAPS, _GRAPH):
        name = kind.decode("ascii", "replace") if kind.isalnum() else kind.hex()
        raise UsageError(
            f"this is a FAISS index of the kind {_KINDS.get(kind, name)}, whose vectors are not read from the file",
            path=cursor.path,
            fix="save its vectors with faiss: index.make_direct_map() for an inverted file, then "
            "numpy.save(FILE, index.reconstruct_n(0, index.ntotal)); codes give the vectors back only roughly",
        )
    dimension, rows = cursor.one("<i4"), cursor.one("<i8")
    cursor.take("|u1", 17)
    metric = cursor.one("<i4")
    if metric > 1:
        cursor.one("<f4")
    if dimension < 1 or rows < 0:
        raise damaged(cursor.path, "its header cannot be")
    if kind in _FLAT:
        values = cursor.several("<f4")
        if len(values) != rows * dimension:
            raise damaged(cursor.path, f"its header says {rows:,} rows, and there are {len(values):,} values")
        return kind, values.reshape(rows, dimension), None, _METRICS.get(metric)
    if kind == _GRAPH:
        for dtype in _GRAPH_PARTS:
            cursor.several(dtype)
        cursor.take("<i4", 5)  # entry point, highest level, two widths, and one that faiss no longer uses
    if depth > 2:
        raise damaged(cursor.path, "an index within an index within an index")
    _, vectors, ids, inner = _index(cursor, depth + 1)
    if vectors.shape != (rows, dimension):
        raise damaged(cursor.path, "its parts do not fit one another")
    if kind in _MAPS:
        mapped = cursor.several("<i8")
        if len(mapped) != rows:
            raise damaged(cursor.path, "its ids are not as many as its rows")
        ids = [str(id) for id in mapped.tolist()]
    return kind, vectors, ids, inner
