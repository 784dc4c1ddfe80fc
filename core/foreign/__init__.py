"""Vectors that another tool wrote: read, never written, and never through a pickle.

One reader a format. A reader takes what lies in the files; `open_foreign` checks it in one place: shape, type, numbers,
and that every row has its text.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError, UsageError
from core.registry import Registry

READERS = Registry(
    "format",
    {
        "npy": "core.foreign.arrays:read_npy",
        "npz": "core.foreign.arrays:read_npz",
        "safetensors": "core.foreign.arrays:read_safetensors",
        "parquet": "core.foreign.parquet:read",
        "hnswlib": "core.foreign.hnswlib:read",
        "faiss": "core.foreign.faiss:read",
        "chroma": "core.foreign.chroma:read",
        "lancedb": "core.foreign.lancedb:read",
        "llm": "core.foreign.llm:read",
    },
    extras={"parquet": "pyarrow", "lancedb": "lancedb"},
)
FOLDERS = ("chroma", "lancedb")
CHROMA = "chroma.sqlite3"
_BLOCK = 1 << 14  # rows at once
_PICKLE = "pickles can run code when they are read, so none is"
_MAGIC = (
    (rb"\x93NUMPY", "npy"),
    (rb"PK[\x03\x05]", "npz"),
    (rb"PAR1", "parquet"),
    (rb"SQLite format 3\0", "llm"),
    (rb"I[A-Za-z][A-Za-z0-9]{2}", "faiss"),
    (rb"\0{8}", "hnswlib"),  # the place of level 0, which is the first
    (rb'.{8}\{"', "safetensors"),
)
_EXTENSIONS = {
    ".npy": "npy", ".npz": "npz", ".parquet": "parquet", ".pq": "parquet", ".safetensors": "safetensors",
    ".faiss": "faiss", ".hnsw": "hnswlib", ".bin": "hnswlib", ".db": "llm", ".sqlite": "llm", ".sqlite3": "llm",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Foreign:
    """Vectors and their texts, row by row.

    `vectors` is float32, rows × dimension, mapped where the file allows it. `texts` is None where the store keeps none;
    `titles` stand beside texts that came with some. `ids` are the store's own, `metric` what it says it compares by.
    `notes` are for people: what was recorded, chosen or deduced.
    """

    kind: str
    path: str
    vectors: NDArray[np.float32]
    texts: Sequence[str] | None = None
    titles: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    metric: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of a store is meant, where it has several: a collection or table, an array or column."""

    collection: str | None = None
    column: str | None = None


Reader = Callable[[Path, Choice], Foreign]


def open_foreign(
    path: Path, *, texts: Path | None = None, kind: str | None = None, choice: Choice = Choice()
) -> Foreign:
    """What lies at `path`, with its texts: those of the file `texts`, else the store's own.

    `kind` is a name of READERS; left out, the content says it. Raises UsageError (not a format, shape or type that is
    read; texts that are missing, or not as many as rows), CorruptError (cut short, damaged, values that are no numbers),
    MissingError (the format needs a package). Nothing is written, and memory follows the size of the files.
    """
    kind = kind or detect(path)
    reader: Reader = READERS.load(kind)
    if kind not in FOLDERS:
        require_file(path)
    elif not path.is_dir() and not (kind == "chroma" and path.name == CHROMA):
        raise UsageError(f"this is no folder, and {kind} keeps its vectors in one", path=path, fix="name the folder")
    found = reader(path, choice)
    found = replace(found, vectors=check_vectors(found.vectors, path))
    if texts is not None:
        from core.foreign.texts import pair, read_texts

        return pair(found, read_texts(texts), texts)
    if found.texts is None:
        raise UsageError(
            "there are no texts with these vectors, and without them nothing can be compared",
            path=path,
            fix='--texts FILE: a line for each row, {"_id": "…", "text": "…"} or a JSON string; plain lines in a .txt',
        )
    return found


def detect(path: Path) -> str:
    """The name of the reader for what lies at `path`: by content, then by extension. Raises UsageError."""
    fix = f"name the format: --format {', '.join(READERS)}"
    if path.is_dir():
        if (path / CHROMA).is_file():
            return "chroma"
        if path.suffix == ".lance" or any(path.glob("*.lance")):
            return "lancedb"
        raise UsageError(f"neither {CHROMA} nor a .lance folder lies in this folder", path=path, fix=fix)
    require_file(path)
    with path.open("rb") as file:
        head = file.read(16)
    if re.match(rb"\x80[\x00-\x05]", head) and path.suffix in (".pkl", ".pickle", ""):
        raise UsageError(f"this is a pickle; {_PICKLE}", path=path, fix="save the array alone: numpy.save(FILE, array)")
    for magic, kind in _MAGIC:
        if re.match(magic, head, re.DOTALL):
            return "chroma" if kind == "llm" and path.name == CHROMA else kind
    if kind := _EXTENSIONS.get(path.suffix.lower(), ""):
        return kind
    raise UsageError("this is no file of vectors that samespace knows", path=path, fix=fix)


def require_file(path: Path) -> None:
    """Raises UsageError unless `path` is a file: a pipe would be waited for, a folder cannot be read."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError("there is no such file", path=path, fix="check the path") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise UsageError(f"this is {what}, not a file", path=path, fix="name a file")


def damaged(path: Path, why: object) -> CorruptError:
    return CorruptError(f"this file is damaged, cut short or not what it says ({why})", path=path, fix="write it again")


def pickled(path: Path) -> UsageError:
    return UsageError(
        f"it holds Python objects, that is pickles; {_PICKLE}",
        path=path,
        fix="save plain numbers: numpy.save(FILE, numpy.array(rows, dtype='float32'))",
    )


def choose(names: Sequence[str], wanted: str | None, path: Path, what: str, option: str) -> str:
    """The one that is `wanted`, else the only one. Raises UsageError when there is none, or several to choose from."""
    if wanted is not None and wanted in names:
        return wanted
    if wanted is None and len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"there is no {what} in it", path=path, fix="check that this is the file you mean")
    shown = ", ".join(names[:20])
    if wanted is not None:
        raise UsageError(f"there is no {what} called {wanted!r} in it", path=path, fix=f"it has: {shown}")
    raise UsageError(f"there are {len(names)} of {what}s in it", path=path, fix=f"choose one with {option}: {shown}")


def check_vectors(vectors: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """The same as float32, rows × dimension; what is float32 already is not copied.

    Raises UsageError for another shape or type and for no rows, CorruptError for NaN and infinities.
    """
    if vectors.dtype.hasobject:
        raise pickled(path)
    if vectors.dtype.kind != "f" or vectors.dtype.itemsize not in (2, 4, 8):
        fix = "vectors are float16, float32 or float64; codes and quantised vectors are not compared"
        raise UsageError(f"these are values of type {vectors.dtype}, not vectors", path=path, fix=fix)
    if vectors.ndim != 2 or not vectors.shape[1]:
        shape = " × ".join(map(str, vectors.shape)) or "a single number"
        raise UsageError(f"its shape is {shape}, not rows × dimensions", path=path, fix="one row a text")
    if not len(vectors):
        raise UsageError("there are no vectors in it", path=path, fix="check that this is the file you mean")
    with np.errstate(over="ignore"):
        found: NDArray[np.float32] = vectors.astype(np.float32, copy=False)
    for start in range(0, len(found), _BLOCK):
        fine = np.isfinite(found[start : start + _BLOCK]).all(axis=1)
        if not fine.all():
            row = start + int(np.flatnonzero(~fine)[0])
            fix = "find out what wrote it: an embedder that failed, or a wrong format"
            raise CorruptError(f"row {row:,} (from 0) holds values that are no numbers", path=path, fix=fix)
    return found
