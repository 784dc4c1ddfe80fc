"""A graph that hnswlib saved, read without hnswlib: its vectors in the order of their labels. The links are not looked at.

The layout is written down in core/vectors/graph_file.py. hnswlib keeps no texts and no metric; for cosine it stores the
vectors at length 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.foreign import Choice, Foreign, damaged
from core.vectors.graph_file import HEADER

_DELETED = 1 << 16  # beside the number of links: hnswlib's mark of an element that was deleted


def read(path: Path, choice: Choice) -> Foreign:
    """`ids` are the labels. Raises CorruptError when the file is no whole graph."""
    data = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.zeros(0, dtype=np.uint8)
    if len(data) < HEADER.itemsize:
        raise damaged(path, "it has no header")
    header = dict(zip(HEADER.names or (), data[: HEADER.itemsize].view(HEADER)[0].item(), strict=True))
    vectors, labels = level0(data[HEADER.itemsize :], header, path)
    in_order = bool((labels == np.arange(len(labels), dtype=np.uint64)).all())
    notes = () if in_order else (f"rows in the order of their labels, {int(labels[0])} to {int(labels[-1])}",)
    return Foreign("hnswlib", str(path), vectors, ids=[str(label) for label in labels.tolist()], notes=notes)


def level0(
    data: NDArray[np.uint8], header: dict[str, Any], path: Path
) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    """The vectors that were not deleted, float32 rows × dimension, and their labels, uint64 and rising.

    `data` begins with level 0. Raises CorruptError when the header does not fit it, or a label stands twice.
    """
    count, size, at, label_at = (header[name] for name in ("count", "element_size", "data_offset", "label_offset"))
    dimension, rest = divmod(label_at - at, 4)
    fits = 4 <= at < label_at and not rest and size == label_at + 8 and count <= header["max_elements"]
    if not fits or header["offset_level0"] != 0:
        raise damaged(path, "its header is none of hnswlib's")
    if count * size > len(data):
        raise damaged(path, f"it says {count:,} elements and has not room for them")
    formats, offsets = ["<u4", ("<f4", (dimension,)), "<u8"], [0, at, label_at]
    layout: Any = {"names": ["links", "vector", "label"], "formats": formats, "offsets": offsets, "itemsize": size}
    elements = data[: count * size].view(np.dtype(layout))
    elements = elements[elements["links"] & _DELETED == 0]
    elements = elements[np.argsort(elements["label"], kind="stable")]
    labels = elements["label"]
    if len(labels) > 1 and (labels[1:] == labels[:-1]).any():
        raise damaged(path, "a label stands twice")
    return elements["vector"], labels
