"""python stores.py FOLDER: texts.jsonl and vectors.npy there, written into every store by the store's own code.

Runs in the environment of requirements.txt, which knows nothing of samespace.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

Vectors = np.ndarray
_AT_ONCE = 100  # rows a call


def chroma(folder: Path, ids: list[str], texts: list[str], vectors: Vectors, **hnsw: int) -> None:
    import chromadb

    client = chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))
    configuration = {"hnsw": {"space": "cosine", **hnsw}}
    collection = client.create_collection("documents", configuration=configuration, embedding_function=None)
    for start in range(0, len(ids), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        collection.add(ids=ids[part], documents=texts[part], embeddings=vectors[part].tolist())
    if hnsw:  # some go and come again, as in a store that is lived in
        collection.delete(ids=ids[10:20])
        collection.add(ids=ids[10:20], documents=texts[10:20], embeddings=vectors[10:20].tolist())
        collection.upsert(ids=ids[30:90], documents=texts[30:90], embeddings=vectors[30:90].tolist())


def chroma_graph(folder: Path, ids: list[str], texts: list[str], vectors: Vectors) -> None:
    chroma(folder, ids, texts, vectors, sync_threshold=50, batch_size=50)


def table(ids: list[str], texts: list[str], vectors: Vectors):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    kind = pa.list_(pa.float32(), vectors.shape[1])
    return pa.table({"id": ids, "text": texts, "vector": pa.array(list(vectors), type=kind)})


def lance(folder: Path, ids: list[str], texts: list[str], vectors: Vectors) -> None:
    import lancedb

    lancedb.connect(str(folder)).create_table("documents", table(ids, texts, vectors))


def parquet(path: Path, ids: list[str], texts: list[str], vectors: Vectors) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table(ids, texts, vectors), path)


def faiss_of(make: Callable[..., object]) -> Callable[..., None]:
    def write(path: Path, ids: list[str], texts: list[str], vectors: Vectors) -> None:
        import faiss

        index = make(faiss, vectors)
        faiss.write_index(index, str(path))

    return write


def flat(faiss, vectors):  # type: ignore[no-untyped-def]
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def mapped(faiss, vectors):  # type: ignore[no-untyped-def]
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(vectors.shape[1]))
    index.add_with_ids(vectors, np.arange(len(vectors)) + 1000)
    return index


def graph(faiss, vectors):  # type: ignore[no-untyped-def]
    index = faiss.IndexHNSWFlat(vectors.shape[1], 16)
    index.add(vectors)
    return index


def llm(path: Path, ids: list[str], texts: list[str], vectors: Vectors) -> None:
    """A model of llm's that gives the vectors that are there, so that llm itself does all the writing."""
    import sqlite_utils
    from llm import Collection, EmbeddingModel

    known = dict(zip(texts, vectors.tolist(), strict=True))

    class Known(EmbeddingModel):
        model_id, batch_size = "minilm-as-given", _AT_ONCE

        def embed_batch(self, items) -> Iterator[list[float]]:  # type: ignore[no-untyped-def]
            return (known[item] for item in items)

    collection = Collection("documents", sqlite_utils.Database(path), model=Known())
    collection.embed_multi(zip(ids, texts, strict=True), store=True)


STORES = {
    "chroma": chroma, "chroma-graph": chroma_graph, "lancedb": lance, "vectors.parquet": parquet,
    "flat.faiss": faiss_of(flat), "map.faiss": faiss_of(mapped), "graph.faiss": faiss_of(graph), "embeddings.db": llm,
}  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[1])
    records = [json.loads(line) for line in (folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    ids, texts = [record["_id"] for record in records], [record["text"] for record in records]
    vectors = np.load(folder / "vectors.npy")
    for name, write in STORES.items():
        write(folder / name, ids, texts, vectors)
    packages = ("chromadb", "faiss-cpu", "lancedb", "llm", "pyarrow")
    print(json.dumps({name: metadata.version(name) for name in packages}))


if __name__ == "__main__":
    main()
