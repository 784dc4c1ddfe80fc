"""A folder of Chroma's, as version 1.5.9 writes it: texts and the newest vectors in chroma.sqlite3, older ones in a graph.

Vectors wait in the table `embeddings_queue` until enough are there (`sync_threshold`, 1000 unless set otherwise); then they
go into the segment's graph. Which id has which label stands in a pickle there, which is never read: labels and rows of
`embeddings` both rise in the order in which ids were first added, and deleted elements are marked, so that the live ones
pair one to one. Where they do not, the store is refused.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.foreign import CHROMA, Choice, Foreign, choose, damaged, require_file
from core.foreign.database import read_only, stack
from core.foreign.hnswlib import level0
from core.vectors.graph_file import HEADER

_TABLES = ("collections", "segments", "embeddings", "embedding_metadata", "embeddings_queue", "max_seq_id")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DELETE = 3  # an operation of the queue; the others bring a vector, or change only the text
_VERSION = 4  # bytes before hnswlib's header


@dataclass(frozen=True, slots=True)
class _Collection:
    """`rows`: (id, text or None) in the order of adding; `queued`: the vectors of the queue that count; `synced`: how far
    the graph has taken the queue in; `lost`: whether something was deleted after that."""

    name: str
    segment: str
    rows: list[tuple[str, str | None]]
    queued: dict[str, bytes]
    synced: int
    lost: bool


def read(path: Path, choice: Choice) -> Foreign:
    """One collection. Raises UsageError (several to choose from; a state that cannot be paired), CorruptError."""
    folder = path.parent if path.name == CHROMA else path
    database = folder / CHROMA
    with read_only(database, _TABLES, "Chroma's") as connection:
        found = _collection(connection, database, choice)
    if not found.rows:
        raise UsageError(f"the collection {found.name!r} is empty", path=path, fix="choose another with --collection")
    ids, texts = [id for id, _ in found.rows], [text for _, text in found.rows]
    notes = [f"collection {found.name}"]
    if all(id in found.queued for id in ids):
        vectors = stack([found.queued[id] for id in ids], database)
    else:
        vectors = _with_graph(folder, found, ids)
        notes.append(
            "vectors of the graph are paired with ids by the order in which they were added: the list of them is a "
            "pickle, which is not read"
        )
    known = [text for text in texts if text is not None]
    stored = known if len(known) == len(texts) else None
    return Foreign("chroma", str(path), vectors, texts=stored, ids=ids, notes=tuple(notes))


def _collection(connection: sqlite3.Connection, path: Path, choice: Choice) -> _Collection:
    names = {str(name): str(id) for id, name in connection.execute("SELECT id, name FROM collections")}
    name = choose(sorted(names), choice.collection, path, "collection", "--collection")
    segments = connection.execute("SELECT scope, id FROM segments WHERE collection = ?", [names[name]]).fetchall()
    scopes = {str(scope): str(id) for scope, id in segments}
    vectors, metadata = scopes.get("VECTOR", ""), scopes.get("METADATA", "")
    rows = connection.execute(
        "SELECT e.embedding_id, m.string_value, e.seq_id FROM embeddings e LEFT JOIN embedding_metadata m "
        "ON m.id = e.id AND m.key = 'chroma:document' WHERE e.segment_id = ? ORDER BY e.id",
        [metadata],
    ).fetchall()
    synced = _number(
        connection.execute("SELECT max(seq_id) FROM max_seq_id WHERE segment_id = ?", [vectors]).fetchone()[0]
    )
    last = {id: _number(number) for id, _, number in rows}
    queued: dict[str, bytes] = {}
    lost = False
    queue = connection.execute(
        "SELECT seq_id, operation, id, vector, encoding FROM embeddings_queue WHERE topic LIKE ? ORDER BY seq_id",
        [f"%/{names[name]}"],
    )
    for number, operation, id, vector, encoding in queue:
        if operation == _DELETE:
            lost = lost or (number > synced and id not in queued)
            queued.pop(id, None)
        elif vector is not None and number <= last.get(id, -1):  # Chroma passed others over: an id added twice
            if encoding != "FLOAT32" or not isinstance(vector, bytes):
                raise UsageError(f"its vectors are kept as {encoding}", path=path, fix="FLOAT32 is what is read")
            queued[id] = vector
    texts = [(str(id), text if isinstance(text, str) else None) for id, text, _ in rows]
    return _Collection(name, vectors, texts, queued, synced, lost)


def _number(value: object) -> int:
    """A place in the queue; older versions keep it as big-endian bytes. 0 where there is none."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else value if isinstance(value, int) else 0


def _with_graph(folder: Path, found: _Collection, ids: list[str]) -> NDArray[np.float32]:
    """The vectors of `ids`: those of the graph in order, and of the queue those that it holds."""
    held = _graph(folder, found.segment) if found.synced else np.zeros((0, 1), dtype=np.float32)
    rest = ids[len(held) :]
    if found.lost or len(held) > len(ids) or not all(id in found.queued for id in rest):
        raise UsageError(
            f"the vectors of collection {found.name!r} cannot be told apart without its pickle: something was deleted "
            "since they went into the graph, or its files are not of one state",
            path=folder,
            fix="with chromadb: numpy.save(FILE, collection.get(include=['embeddings'])['embeddings']), the documents "
            "as JSON lines, and name these with --vectors and --texts",
        )
    newer = np.array([id in found.queued for id in ids])
    if not newer.any():
        return held
    queued = stack([found.queued[id] for id in ids if id in found.queued], folder / CHROMA)
    if len(held) and queued.shape[1] != held.shape[1]:
        raise damaged(folder / CHROMA, "the vectors of the queue and of the graph are of different lengths")
    vectors = np.empty((len(ids), queued.shape[1]), dtype=np.float32)
    vectors[: len(held)] = held
    vectors[newer] = queued
    return vectors


def _graph(folder: Path, segment: str) -> NDArray[np.float32]:
    """The live vectors of a segment, in the order of their labels."""
    if not _UUID.fullmatch(segment):  # it becomes a path
        raise damaged(folder / CHROMA, "the name of a segment is none")
    path, level = folder / segment / "header.bin", folder / segment / "data_level0.bin"
    require_file(path)
    require_file(level)
    head = path.read_bytes()[_VERSION : _VERSION + HEADER.itemsize]
    if len(head) < HEADER.itemsize:
        raise damaged(path, "it is cut short")
    header = dict(zip(HEADER.names or (), np.frombuffer(head, dtype=HEADER)[0].item(), strict=True))
    data = np.memmap(level, dtype=np.uint8, mode="r") if level.stat().st_size else np.zeros(0, dtype=np.uint8)
    return level0(data, header, level)[0]
