"""Columns of an Arrow table as vectors, texts and ids; what parquet files and LanceDB have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.foreign import Choice, Foreign, choose, damaged

_TEXTS = ("text", "document", "content", "chunk", "passage", "body", "page_content")
_IDS = ("id", "_id", "doc_id", "document_id", "chunk_id")


def pick(schema: Any, choice: Choice, path: Path) -> tuple[str, str | None, str | None]:
    """The names of the columns of vectors, texts and ids; of texts: a usual name, else the only column of strings that is
    not the ids. Raises UsageError when there is no column of vectors, or several and none is chosen.
    """
    lists = [field.name for field in schema if _is_vectors(field.type)]
    strings = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    column = choose(lists, choice.column, path, "column of lists of floats", "--column")
    ids = next((name for name in _IDS if name in schema.names and name not in lists), None)
    others = [name for name in strings if name != ids]
    text = next((name for name in _TEXTS if name in others), others[0] if len(others) == 1 else None)
    return column, text, ids


def _is_vectors(kind: Any) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(listed and pa.types.is_floating(kind.value_type))


def foreign(
    kind: str, path: Path, table: Any, columns: tuple[str, str | None, str | None], notes: Sequence[str] = ()
) -> Foreign:
    """Raises CorruptError for rows without a vector or of different lengths."""
    column, text, id = columns
    vectors = _vectors(table.column(column), path)
    texts = table.column(text).to_pylist() if text else None
    texts = texts if texts and None not in texts else None
    ids = [str(one) for one in table.column(id).to_pylist()] if id else None
    said = (*notes, f"column {column}", *([f"texts from column {text}"] if texts else []))
    return Foreign(kind, str(path), vectors, texts=texts, ids=ids, notes=said)


def _vectors(column: Any, path: Path) -> NDArray[Any]:
    """Floats as they are stored, rows × dimension."""
    parts: list[NDArray[Any]] = []
    dimensions: set[int] = set()
    for chunk in column.chunks:
        if chunk.null_count or chunk.flatten().null_count:
            raise damaged(path, "a row has no vector, or one with holes")
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        sizes = pc.list_value_length(chunk).unique().to_pylist() if len(chunk) else []
        dimensions.update(sizes)
        parts.append(values)
    if len(dimensions) > 1:
        raise damaged(path, "its vectors are not all of one length")
    dimension = dimensions.pop() if dimensions else 1
    flat = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    rows: NDArray[Any] = flat.reshape(-1, dimension) if dimension else np.zeros((len(column), 0), dtype=np.float32)
    return rows
