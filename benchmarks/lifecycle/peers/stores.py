"""Three ways to keep a collection with vectors and words on a disk, behind one small protocol.

Every store is opened anew by each call and holds the same 300 synthetic documents. `update(folder, n)` changes a fifth
of them, deletes a tenth and adds a tenth, in as few calls of the library as it offers; it yields after each of them, so
that the states between two calls are known too. Updates n and n+1 touch different documents: their order is no matter.
An answer to a vector is its 5 nearest; one to a word is every match, by id, for many of them score the same.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

COUNT, DIMENSION, TOP = 300, 64, 5
Documents = dict[str, str]
State = dict[str, Any]  # documents: text by id; answers: for each of the ten queries, the [id, score] pairs


class Store(Protocol):
    packages: tuple[str, ...]
    lag: float  # how far scores of words may be off until the index of words has caught up with the documents

    def load(self) -> None:
        """Import the libraries, open nothing."""

    def create(self, folder: Path) -> None:
        """Write the first 300 documents into a folder that is not there yet."""

    def update(self, folder: Path, n: int) -> Iterator[None]:
        """Apply update n, yielding after each call of the library; raises what the library raises."""

    def read(self, folder: Path) -> State:
        """Every document and the answers to the ten queries; raises what the library raises."""


def words(*seed: object) -> list[str]:
    """20 to 40 made-up words, the first ones of the vocabulary the most frequent."""
    draw = random.Random(repr(seed))
    return [VOCABULARY[int(len(VOCABULARY) * draw.random() ** 2)] for _ in range(draw.randint(20, 40))]


def vector(*seed: object) -> list[float]:
    """A random unit vector of 64 dimensions, of float32 values."""
    draw = random.Random(repr(seed))
    values = np.array([draw.gauss(0, 1) for _ in range(DIMENSION)])
    return [float(value) for value in (values / np.linalg.norm(values)).astype(np.float32)]


VOCABULARY = [f"{a}{b}{c}k" for a in "bdfghjkl" for b in "aeiou" for c in ("ra", "se")]
QUERIES = [vector("query", number) for number in range(5)]
WORD_QUERIES = [VOCABULARY[12 + 8 * number] for number in range(5)]
FIRST = [f"d{number:03}" for number in range(COUNT)]


def row(id: str, n: int) -> tuple[str, str, list[float]]:
    """A document as update n writes it (-1: as it was at first): id, text, vector."""
    return id, f"{id} of {n}: {' '.join(words(id, n))}", vector(id, n)


def change(n: int) -> tuple[list[tuple[str, str, list[float]]], list[str]]:
    """Update n: 60 changed and 30 new documents, and the ids of 30 to delete."""
    place = 5 * (n % 2)
    changed = [id for number, id in enumerate(FIRST) if number % 10 in (place, place + 1)]
    # the first two updates delete old documents, each later one what the last but one had added
    deleted = [f"u{n - 2}-{number:02}" for number in range(30)] if n > 1 else FIRST[place + 2 :: 10]
    return [row(id, n) for id in [*changed, *(f"u{n}-{number:02}" for number in range(30))]], deleted


class Chroma:
    """chromadb's PersistentClient. It has no transaction over two calls: documents are written, then others deleted."""

    packages, lag = ("chromadb",), 1e-3
    # the graph is written after 50 changes instead of 1,000, so that 300 documents are kept as 300,000 would be
    hnsw: ClassVar = {
        "space": "cosine",
        "ef_construction": 300,
        "ef_search": 300,
        "batch_size": 50,
        "sync_threshold": 50,
    }

    def load(self) -> None:
        global chromadb
        import chromadb

    def open(self, folder: Path) -> Any:
        return chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))

    def create(self, folder: Path) -> None:
        with self.open(folder) as client:
            collection = client.create_collection(
                "documents", configuration={"hnsw": self.hnsw}, embedding_function=None
            )
            ids, texts, vectors = zip(*(row(id, -1) for id in FIRST), strict=True)
            collection.add(ids=list(ids), documents=list(texts), embeddings=list(vectors))

    def update(self, folder: Path, n: int) -> Iterator[None]:
        rows, deleted = change(n)
        ids, texts, vectors = zip(*rows, strict=True)
        with self.open(folder) as client:
            collection = client.get_collection("documents", embedding_function=None)
            collection.upsert(ids=list(ids), documents=list(texts), embeddings=list(vectors))
            yield
            collection.delete(ids=deleted)
            yield

    def read(self, folder: Path) -> State:
        with self.open(folder) as client:
            collection = client.get_collection("documents", embedding_function=None)
            found = collection.get(include=["documents"])
            near = collection.query(query_embeddings=QUERIES, n_results=TOP, include=["distances"])
            pairs = zip(near["ids"], near["distances"], strict=True)
            answers = [[[id, 1 - far] for id, far in zip(*pair, strict=True)] for pair in pairs]
            for word in WORD_QUERIES:  # chromadb filters by words and gives no score
                ids = collection.get(where_document={"$contains": word}, include=[])["ids"]
                answers.append(sorted([id, 0.0] for id in ids))
        return {"documents": dict(zip(found["ids"], found["documents"], strict=True)), "answers": answers}


class Lance:
    """lancedb with a vector index whose every partition is searched, so that answers are exact, and its full-text index.

    One merge changes, adds and deletes as one version of the table; then `optimize` takes the new rows into the indexes.
    """

    packages, lag = ("lancedb", "pyarrow"), float("inf")

    def load(self) -> None:
        global lancedb
        import lancedb
        import lancedb.index

    def table(self, rows: list[tuple[str, str, list[float]]]) -> Any:
        import pyarrow as pa

        ids, texts, vectors = zip(*rows, strict=True)
        kind = pa.list_(pa.float32(), DIMENSION)
        return pa.table({"id": ids, "text": texts, "vector": pa.array(vectors, type=kind)})

    def create(self, folder: Path) -> None:
        table = lancedb.connect(str(folder)).create_table("documents", self.table([row(id, -1) for id in FIRST]))
        table.create_index("vector", config=lancedb.index.IvfFlat(distance_type="cosine", num_partitions=4))
        table.create_index("text", config=lancedb.index.FTS())

    def update(self, folder: Path, n: int) -> Iterator[None]:
        rows, deleted = change(n)
        table = lancedb.connect(str(folder)).open_table("documents")
        merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.when_not_matched_by_source_delete(f"id IN {tuple(deleted)}").execute(self.table(rows))
        yield
        table.optimize()
        yield

    def read(self, folder: Path) -> State:
        table = lancedb.connect(str(folder)).open_table("documents")
        found = table.to_arrow().select(["id", "text"]).to_pydict()
        answers = []
        for query in QUERIES:
            hits = (
                table.search(query).distance_type("cosine").nprobes(4).limit(TOP).select(["id", "_distance"]).to_list()
            )
            answers.append([[hit["id"], 1 - hit["_distance"]] for hit in hits])
        for word in WORD_QUERIES:
            hits = table.search(word, query_type="fts").limit(COUNT).select(["id", "_score"]).to_list()
            answers.append(sorted([hit["id"], hit["_score"]] for hit in hits))
        return {"documents": dict(zip(found["id"], found["text"], strict=True)), "answers": answers}


class Files:
    """An hnswlib graph, a bm25s index, vectors.npy and documents.json, each written in its place by a careful script."""

    packages, lag = ("hnswlib", "bm25s", "numpy"), 1e-3

    def load(self) -> None:
        global bm25s, hnswlib
        import bm25s
        import hnswlib

    def write(self, folder: Path, documents: Documents, vectors: np.ndarray) -> None:
        np.save(folder / "vectors.npy", vectors)
        (folder / "documents.json").write_text(json.dumps(documents), encoding="utf-8")
        graph = hnswlib.Index("cosine", DIMENSION)
        graph.init_index(len(vectors), ef_construction=300)
        graph.add_items(vectors, num_threads=1)
        graph.save_index(str(folder / "graph.bin"))
        index = bm25s.BM25()
        index.index(self.tokens(list(documents.values())), show_progress=False)
        index.save(str(folder / "words"))

    def tokens(self, texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords=None, show_progress=False)

    def documents(self, folder: Path) -> Documents:
        documents: Documents = json.loads((folder / "documents.json").read_text(encoding="utf-8"))
        return documents

    def create(self, folder: Path) -> None:
        folder.mkdir()
        _, _, vectors = zip(*(rows := [row(id, -1) for id in FIRST]), strict=True)
        self.write(folder, {id: text for id, text, _ in rows}, np.array(vectors, dtype=np.float32))

    def update(self, folder: Path, n: int) -> Iterator[None]:
        rows, deleted = change(n)
        documents = self.documents(folder)
        vectors = dict(zip(documents, np.load(folder / "vectors.npy"), strict=True))
        for id, text, values in rows:
            documents[id], vectors[id] = text, np.array(values, dtype=np.float32)
        for id in deleted:
            documents.pop(id, None), vectors.pop(id, None)
        self.write(folder, documents, np.array(list(vectors.values())))
        yield

    def read(self, folder: Path) -> State:
        documents = self.documents(folder)
        ids, vectors = list(documents), np.load(folder / "vectors.npy")
        graph = hnswlib.Index("cosine", DIMENSION)
        graph.load_index(str(folder / "graph.bin"))
        graph.set_ef(COUNT)
        index = bm25s.BM25.load(str(folder / "words"))
        counts = {"documents": len(ids), "vectors": len(vectors), "graph": graph.get_current_count()}
        if len(set(counts.values())) > 1 or index.scores["num_docs"] != len(ids):
            raise ValueError(f"the files of {folder} do not belong together: {counts}")
        rows, _ = graph.knn_query(np.array(QUERIES, dtype=np.float32), k=TOP, num_threads=1)
        near = [
            [[ids[hit], float(vectors[hit] @ np.array(query))] for hit in hits]
            for hits, query in zip(rows, QUERIES, strict=True)
        ]
        rows, scores = index.retrieve(self.tokens(WORD_QUERIES), k=COUNT, show_progress=False, n_threads=1)
        found = [
            sorted([ids[hit], float(score)] for hit, score in zip(*pair, strict=True) if score > 0)
            for pair in zip(rows, scores, strict=True)
        ]
        return {"documents": documents, "answers": near + found}


STORES: dict[str, Store] = {"chromadb": Chroma(), "lancedb": Lance(), "files": Files()}
