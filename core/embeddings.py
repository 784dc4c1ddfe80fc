"""The embedding cache: vectors of texts that this machine has embedded before, shared between indexes.

One SQLite file for everything that decides a vector but the text: the space, the side, the runtime and its precision. The
key is the hash of the text that was embedded (template filled in). It can only save time: a row whose checksum is wrong is
passed over, a file that is damaged or cannot be written is done without, and `embed` asks the model again for a few of the
vectors before it believes the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.cache import cache_folder
from core.canonical import digest
from core.types import Side

LIMIT = 4 << 30  # bytes of the whole cache; what was not used for longest goes first
_DAY = 86_400
_AT_ONCE = 500  # keys a query: SQLite takes 999 in its oldest versions
_TABLE = """CREATE TABLE IF NOT EXISTS vectors
    (text BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL, day INTEGER NOT NULL)"""


def embeddings_folder() -> Path:
    return cache_folder() / "embeddings"


class Embeddings:
    """The vectors of one space, side and runtime. Nothing in it raises: without a usable file it is empty."""

    def __init__(self, space: str, side: Side, runtime: Mapping[str, str], dimension: int):
        self.path = embeddings_folder() / f"{space}-{side}-{digest(dict(runtime))[:16]}.sqlite"
        self._dimension = dimension
        self._connection: sqlite3.Connection | None = None
        with self._trying():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=5)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=OFF")  # a power cut may cost the file, never a wrong vector
            self._connection.execute(_TABLE)

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        """For the block; after a failure the cache is done without, and a damaged file goes."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            self.close()
            if damaged:
                self.discard()

    def find(self, texts: NDArray[np.uint8]) -> dict[bytes, NDArray[np.float32]]:
        """The vectors known of these hashes (uint8, rows × 16): float32 (dimension,) each."""
        found: dict[bytes, NDArray[np.float32]] = {}
        keys = [text.tobytes() for text in texts]
        for start in range(0, len(keys), _AT_ONCE):
            if self._connection is None:
                return {}
            part, today = keys[start : start + _AT_ONCE], int(time.time() // _DAY)
            marks = ",".join("?" * len(part))
            with self._trying(), self._connection:
                rows = self._connection.execute(
                    f"SELECT text, vector, checksum FROM vectors WHERE text IN ({marks})",  # noqa: S608  (only marks)
                    part,
                ).fetchall()
                for text, vector, checksum in rows:
                    if isinstance(vector, bytes) and checksum == _checksum(text, vector):
                        values = np.frombuffer(vector[: len(vector) // 4 * 4], dtype="<f4")
                        if values.shape == (self._dimension,) and np.isfinite(values).all():
                            found[text] = values
                self._connection.execute(
                    f"UPDATE vectors SET day = ? WHERE day <> ? AND text IN ({marks})",  # noqa: S608
                    [today, today, *part],
                )
        return found

    def add(self, texts: NDArray[np.uint8], vectors: NDArray[np.float32]) -> None:
        """Keep the vectors (float32, rows × dimension) of these hashes."""
        if self._connection is None:
            return
        today = int(time.time() // _DAY)
        data = np.ascontiguousarray(vectors, dtype="<f4")
        pairs = [(text.tobytes(), vector.tobytes()) for text, vector in zip(texts, data, strict=True)]
        rows = [(text, vector, _checksum(text, vector), today) for text, vector in pairs]
        with self._trying(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def discard(self) -> None:
        """Forget all of it: what it said was not so."""
        self.close()
        for path in _files(self.path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _checksum(text: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(text + vector, digest_size=8).digest()


def _files(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def prune_embeddings(limit: int = LIMIT, before: Callable[[], int] = lambda: 0) -> int:
    """Remove vectors until the cache has no more than `limit` bytes, those first that were not used for longest, and all
    that were last used before the day `before()` (days since 1970). Returns the bytes that became free.
    """
    size = _size()
    oldest_day = before()
    if size <= limit and not oldest_day:
        return 0
    for path in sorted(embeddings_folder().glob("*.sqlite"), key=lambda path: (_is_database(path), _last_used(path))):
        over = _size() - limit
        if over <= 0 and not oldest_day:
            break
        _prune_file(path, over, oldest_day)
    return size - _size()


def _prune_file(path: Path, over: int, oldest_day: int) -> None:
    """Take at least `over` bytes out of one file, and what was last used before `oldest_day`; all of it where it has no more."""
    left = 0
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
            left = _delete_rows(connection, over, oldest_day)
            if left:
                connection.execute("VACUUM")
    except sqlite3.OperationalError:
        return  # another process is at it
    except sqlite3.DatabaseError:
        left = 0  # no database, or a damaged one: nobody can use it
    if not left:
        for file in _files(path):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def _delete_rows(connection: sqlite3.Connection, over: int, oldest_day: int) -> int:
    """Returns how many are left."""
    with connection:
        connection.execute("DELETE FROM vectors WHERE day < ?", [oldest_day])
        count, stored = connection.execute("SELECT count(*), sum(length(vector)) FROM vectors").fetchone()
        if count and over > 0:
            share = min(1.0, over / max(stored, 1))
            connection.execute(
                "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors ORDER BY day, rowid LIMIT ?)",
                [int(count * share) + 1],
            )
        return int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])


def _size() -> int:
    total = 0
    for path in embeddings_folder().glob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return True


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
