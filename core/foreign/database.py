"""SQLite files of others, opened so that they stay as they are and nothing in them runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.foreign import damaged, require_file


@contextmanager
def read_only(path: Path, tables: Sequence[str], what: str) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, for the block. What comes of damaged content in it becomes a CorruptError.

    Raises UsageError unless all of `tables` are there, as tables: a view of that name could compute anything.
    """
    require_file(path)
    try:
        with closing(_connect(path)) as connection:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := [name for name in tables if name not in found]:
                fix = "name the format, if it is another one: --format"
                raise UsageError(f"this is no database of {what}: it has no table {missing[0]}", path=path, fix=fix)
            yield connection
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:  # any column may hold values of any type
        raise damaged(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    # A database in WAL mode gets two files beside it from whoever opens it, readers too, unless it is told that nobody
    # writes; that is so where no log and no journal lies beside it.
    beside = [path.with_name(path.name + end) for end in ("-wal", "-journal")]
    still = "&immutable=1" if not any(one.exists() and one.stat().st_size for one in beside) else ""
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro{still}", uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(1 << 20, path.stat().st_size))
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def stack(blobs: Sequence[object], path: Path) -> NDArray[np.float32]:
    """float32, blobs × dimension, from as many little-endian values each. Raises CorruptError."""
    sizes = {len(blob) if isinstance(blob, bytes) else -1 for blob in blobs}
    if sizes and (len(sizes) > 1 or min(sizes) < 4 or min(sizes) % 4):
        raise damaged(path, "its vectors are not all of one length, or none")
    data = b"".join(blob for blob in blobs if isinstance(blob, bytes))
    return np.frombuffer(data, dtype="<f4").reshape(len(blobs), -1) if blobs else np.zeros((0, 1), dtype=np.float32)
