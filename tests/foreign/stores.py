"""Vectors as other tools write them, byte by byte, so that no package is needed to test their readers."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config import open_encoder
from core.vectors.graph_file import HEADER

Floats = NDArray[np.float32]
Writer = Callable[[Path, Floats, Sequence[str]], Path]

TEXTS = [
    "Otters dig their holes along the bank of the river.",
    "A bank lends money and pays interest on savings.",
    "龙井茶用八十度的水泡，三分钟就好。",
    "Snow fell on the mountain all night.",
    "The lighthouse keeper trims his seven lamps.",
    "银行的利率上周又下调了，存款的人并不高兴。",
    "ERR_CONN_4032 means that the server hung up.",
    "Bread rises slowly in a cold kitchen.",
    "The committee meets on the first Monday of the month.",
    "Cosine similarity compares directions and forgets lengths.",
    "Two ships passed in the fog without a sound.",
    "An apple a day keeps the doctor away.",
]


def vectors_of(texts: Sequence[str], model: str = "hashing") -> Floats:
    return open_encoder(model).embed(list(texts), "passage")


def write_texts(path: Path, texts: Sequence[str], ids: Sequence[str] | None = None) -> Path:
    names = ids or [f"d{n}" for n in range(len(texts))]
    lines = (json.dumps({"_id": id, "text": text}) for id, text in zip(names, texts, strict=True))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def npy(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    np.save(folder / "vectors.npy", vectors)
    return folder / "vectors.npy"


def npz(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    np.savez_compressed(folder / "vectors.npz", vectors=vectors, ids=np.arange(len(vectors)))
    return folder / "vectors.npz"


def safetensors(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    from safetensors.numpy import save_file

    save_file({"embeddings": vectors, "scale": np.ones(1, dtype=np.float32)}, folder / "vectors.safetensors")
    return folder / "vectors.safetensors"


def graph(vectors: Floats, labels: Sequence[int], deleted: Sequence[int] = ()) -> tuple[bytes, bytes]:
    """hnswlib's header and level 0, with no links: rows in the order given, those in `deleted` marked."""
    rows, dimension = vectors.shape
    links = 4 + 4 * 32
    header = np.zeros(1, dtype=HEADER)
    values = (0, rows, rows, links + 4 * dimension + 8, links + 4 * dimension, links, 0, 0, 16, 32, 16, 0.36067376, 200)
    header[0] = values
    elements = b"".join(
        struct.pack("<I", 1 << 16 if n in deleted else 0)
        + bytes(4 * 32)
        + vectors[n].tobytes()
        + struct.pack("<Q", label)
        for n, label in enumerate(labels)
    )
    return header.tobytes(), elements


def hnswlib(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    """Elements in another order than their labels, as several threads leave them."""
    order = np.random.default_rng(1).permutation(len(vectors))
    header, elements = graph(vectors[order], order.tolist())
    (folder / "graph.bin").write_bytes(header + elements + bytes(4 * len(vectors)))
    return folder / "graph.bin"


def faiss_header(kind: bytes, vectors: Floats, metric: int = 1) -> bytes:
    rows, dimension = vectors.shape
    return kind + struct.pack("<iqqq?i", dimension, rows, 1 << 20, 1 << 20, True, metric)


def faiss_flat(vectors: Floats, kind: bytes = b"IxF2", metric: int = 1) -> bytes:
    return faiss_header(kind, vectors, metric) + struct.pack("<Q", vectors.size) + vectors.tobytes()


def faiss(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    (folder / "flat.faiss").write_bytes(faiss_flat(vectors, b"IxFI", 0))
    return folder / "flat.faiss"


def faiss_map(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    ids = np.arange(len(vectors), dtype="<i8") + 7
    data = faiss_header(b"IxM2", vectors) + faiss_flat(vectors) + struct.pack("<Q", len(ids)) + ids.tobytes()
    (folder / "map.faiss").write_bytes(data)
    return folder / "map.faiss"


def faiss_graph(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    parts = [("d", 3), ("i", 4), ("i", len(vectors)), ("Q", len(vectors) + 1), ("i", 10)]
    lists = b"".join(
        struct.pack("<Q", count) + struct.pack(f"<{count}{letter}", *range(count)) for letter, count in parts
    )
    data = faiss_header(b"IHNf", vectors) + lists + struct.pack("<5i", 0, 1, 40, 16, 1) + faiss_flat(vectors)
    (folder / "graph.faiss").write_bytes(data)
    return folder / "graph.faiss"


def llm(folder: Path, vectors: Floats, texts: Sequence[str], name: str = "embeddings.db") -> Path:
    with closing(sqlite3.connect(folder / name)) as db, db:
        db.execute("CREATE TABLE collections (id INTEGER PRIMARY KEY, name TEXT, model TEXT)")
        db.execute("INSERT INTO collections VALUES (1, 'docs', 'sentence-transformers/all-MiniLM-L6-v2')")
        db.execute(
            "CREATE TABLE embeddings (collection_id INTEGER, id TEXT, embedding BLOB, content TEXT, content_blob BLOB, "
            "content_hash BLOB, metadata TEXT, updated INTEGER, PRIMARY KEY (collection_id, id))"
        )
        rows = [
            (1, f"d{n}", vector.tobytes(), text) for n, (vector, text) in enumerate(zip(vectors, texts, strict=True))
        ]
        db.executemany("INSERT INTO embeddings (collection_id, id, embedding, content) VALUES (?, ?, ?, ?)", rows)
    return folder / name


COLLECTION = "496ecd74-1dd3-487d-8522-64232053152a"
SEGMENT = "1bfb701d-fe8c-4b0f-b2a2-8d2f2b78d27c"
METADATA = "0de0b993-d823-4039-9bea-021f7764a152"
TOPIC = f"persistent://default/default/{COLLECTION}"


def chroma_tables(db: sqlite3.Connection) -> None:
    db.executescript(f"""
        CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT, dimension INTEGER);
        CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT, scope TEXT, collection TEXT);
        CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT, embedding_id TEXT, seq_id BLOB);
        CREATE TABLE embedding_metadata (id INTEGER, key TEXT, string_value TEXT, PRIMARY KEY (id, key));
        CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id INTEGER);
        CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, operation INTEGER, topic TEXT, id TEXT, vector BLOB,
            encoding TEXT, metadata TEXT);
        INSERT INTO collections VALUES ('{COLLECTION}', 'docs', 128);
        INSERT INTO segments VALUES ('{SEGMENT}', 'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', '{COLLECTION}');
        INSERT INTO segments VALUES ('{METADATA}', 'urn:chroma:segment/metadata/sqlite', 'METADATA', '{COLLECTION}');
    """)


def chroma(folder: Path, vectors: Floats, texts: Sequence[str], synced: int = 0) -> Path:
    """The first `synced` rows in the graph, out of order and after a deleted one; the others in the queue."""
    root = folder / "chroma"
    root.mkdir()
    with closing(sqlite3.connect(root / "chroma.sqlite3")) as db, db:
        chroma_tables(db)
        for n, (vector, text) in enumerate(zip(vectors, texts, strict=True), start=1):
            db.execute("INSERT INTO embeddings VALUES (?, ?, ?, ?)", (n + 1, METADATA, f"d{n}", n + 2))
            db.execute("INSERT INTO embedding_metadata VALUES (?, 'chroma:document', ?)", (n + 1, text))
            if n > synced:
                queued = (n + 2, TOPIC, f"d{n}", vector.tobytes())
                db.execute("INSERT INTO embeddings_queue VALUES (?, 0, ?, ?, ?, 'FLOAT32', NULL)", queued)
        if synced:
            db.execute("INSERT INTO max_seq_id VALUES (?, ?)", (SEGMENT, synced + 2))
    if synced:
        held = np.concatenate([vectors[:1] * -1, vectors[:synced]])  # label 1 was deleted
        order = np.random.default_rng(2).permutation(len(held))
        header, elements = graph(held[order], (order + 1).tolist(), deleted=np.flatnonzero(order == 0).tolist())
        (root / SEGMENT).mkdir()
        (root / SEGMENT / "header.bin").write_bytes(struct.pack("<i", 1) + header)
        (root / SEGMENT / "data_level0.bin").write_bytes(elements + bytes(400))
        (root / SEGMENT / "index_metadata.pickle").write_bytes(b"cos\nsystem\n(S'touch pickle-was-read'\ntR.")
    return root


def chroma_synced(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    return chroma(folder, vectors, texts, synced=len(vectors))


def chroma_partly(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    return chroma(folder, vectors, texts, synced=len(vectors) // 2)


def arrow_table(vectors: Floats, texts: Sequence[str]):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    kind = pa.list_(pa.float32(), vectors.shape[1])
    ids = [f"d{n}" for n in range(len(texts))]
    return pa.table({"id": ids, "text": list(texts), "vector": pa.array(list(vectors), type=kind)})


def parquet(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(arrow_table(vectors, texts), folder / "vectors.parquet")
    return folder / "vectors.parquet"


def lancedb(folder: Path, vectors: Floats, texts: Sequence[str]) -> Path:
    import lancedb as package

    package.connect(str(folder / "lance")).create_table("docs", arrow_table(vectors, texts))
    return folder / "lance"


WRITERS: dict[str, Writer] = {
    "npy": npy, "npz": npz, "safetensors": safetensors, "hnswlib": hnswlib, "faiss": faiss, "faiss-map": faiss_map,
    "faiss-graph": faiss_graph, "llm": llm, "chroma": chroma, "chroma-synced": chroma_synced,
    "chroma-partly": chroma_partly, "parquet": parquet, "lancedb": lancedb,
}  # fmt: skip
NEEDS = {"parquet": "pyarrow", "lancedb": "lancedb"}
WITH_TEXTS = ("llm", "chroma", "chroma-synced", "chroma-partly", "parquet", "lancedb")
