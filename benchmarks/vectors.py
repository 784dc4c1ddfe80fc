"""Search over many vectors, beside NumPy and hnswlib.

    python benchmarks/vectors.py RFC-PASSAGES.jsonl [--rows 100000]

The first so many passages, cut to 200 characters, are embedded by minilm once (kept in .bench); the queries are
sentences of later passages. One warm query: a NumPy float32 product and the choice of the best against our search by
codes. The first answer: hnswlib builds, loads and answers; ours opens the files that an index has, in a fresh process.
Recall@10 is measured in the same run, against NumPy's exact answer; copies tie.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from measure import in_turns, process, records, report, versions

from core.index.columns import Table, write_columns
from core.vectors import SEARCHERS, VectorSegment
from core.vectors.codes import make_codes, read_codes

WORK = Path(".bench")
ASKED = 200  # queries a round
FIRST = """
import sys
from pathlib import Path
import numpy as np
sys.path[:0] = ["benchmarks"]
from vectors import opened
from core.vectors import SEARCHERS
SEARCHERS.load("binary")([opened(Path(sys.argv[1]))], "cosine").search(np.load(sys.argv[2])[0], 10)
"""


def embedded(source: Path, rows: int) -> tuple[Any, Any]:
    """Vectors and queries, float32, unit length."""
    paths = [WORK / f"vectors-{rows}.npy", WORK / f"queries-{rows}.npy"]
    if not all(path.exists() for path in paths):
        from core.config import open_encoder

        WORK.mkdir(exist_ok=True)
        texts = [" ".join(row["text"].split()) for row in records(source)]
        later = np.random.default_rng(1).permutation(np.arange(rows, len(texts)))
        sentences = (re.split(r"(?<=[.!?])\s+", texts[n]) for n in later)
        middle = (parts[len(parts) // 2] for parts in sentences if 40 < len(parts[len(parts) // 2]) < 160)
        encoder = open_encoder("minilm", "documents")
        np.save(paths[0], encoder.embed([text[:200] for text in texts[:rows]], "passage"))
        np.save(paths[1], encoder.embed(list(islice(middle, 500)), "query"))
    return np.load(paths[0]), np.load(paths[1])


def store(vectors: Any, folder: Path) -> float:
    """The files of a segment, as an index has them; the seconds that the codes took."""
    start = time.perf_counter()
    codes = make_codes(vectors, "cosine")
    spent = time.perf_counter() - start
    norms = np.linalg.norm(vectors, axis=1).astype(np.float32)
    for name, columns in {"vectors": {"vectors": vectors, "norms": norms}, "codes": codes}.items():
        with (folder / name).open("wb") as file:
            file.writelines(write_columns(columns))  # type: ignore[arg-type]
    return spent


def opened(folder: Path) -> VectorSegment:
    table = Table(folder / "vectors")
    vectors = table.array("vectors", "<f4", 2)
    return VectorSegment(
        vectors, table.array("norms", "<f4"), codes=read_codes(Table(folder / "codes"), *vectors.shape)
    )


def by_numpy(vectors: Any, query: Any) -> Any:
    scores = vectors @ query
    best = np.argpartition(scores, len(scores) - 10)[-10:]
    return best[np.argsort(-scores[best])]


def recall(vectors: Any, queries: Any, search: Any) -> float:
    shares = []
    for query in queries:
        scores = vectors @ query
        least = np.partition(scores, len(scores) - 10)[-10] - 1e-6
        shares.append(np.mean(scores[search(query)] >= least))
    return float(np.mean(shares))


def hnsw_first(vectors: Any, query: Any, path: Path) -> tuple[float, Any]:
    """hnswlib as its users use it: build on all cores, save, load, ask. The seconds of all, and the graph."""
    import hnswlib

    start = time.perf_counter()
    graph = hnswlib.Index(space="cosine", dim=vectors.shape[1])
    graph.init_index(max_elements=len(vectors), M=16, ef_construction=200)
    graph.add_items(vectors)
    graph.save_index(str(path))
    graph = hnswlib.Index(space="cosine", dim=vectors.shape[1])
    graph.load_index(str(path), max_elements=len(vectors))
    graph.set_ef(128)
    graph.knn_query(query, k=10)
    return time.perf_counter() - start, graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    vectors, queries = embedded(options.source, options.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = store(vectors, folder)
        segment = opened(folder)
        searcher = SEARCHERS.load("binary")([segment], "cosine")
        built, graph = hnsw_first(vectors, queries[0], folder / "graph")

        def codes(query: Any) -> list[int]:
            return [match.row for match in searcher.search(query, 10)]

        ways = {"numpy float32": lambda query: by_numpy(vectors, query), "samespace codes": codes}
        ways["hnswlib, ef 128"] = lambda query: graph.knn_query(query, k=10, num_threads=1)[0][0].astype(int)

        def timed(search: Any) -> Any:
            def run() -> float:
                start = time.perf_counter()
                for query in queries[:ASKED]:
                    search(query)
                return (time.perf_counter() - start) / ASKED

            return run

        warm = in_turns({name: timed(search) for name, search in ways.items()})
        np.save(folder / "queries.npy", queries)
        first = in_turns({"samespace": process([sys.executable, "-c", FIRST, folder, folder / "queries.npy"])})
        value = {
            "rows": len(vectors),
            "seconds a warm query": warm,
            "ratio warm": round(warm["numpy float32"]["median"] / warm["samespace codes"]["median"], 1),
            "recall@10": {name: round(recall(vectors, queries, search), 4) for name, search in ways.items()},
            "codes": {"seconds": made, "depth": segment.codes.depth, "calibrated": segment.codes.recall},  # type: ignore[union-attr]
            "seconds to the first answer": {"hnswlib, build, load and query": built, **first},
            "ratio first": round(built / first["samespace"]["median"]),
            "versions": versions("numpy", "hnswlib"),
        }
    report("vectors", value)


if __name__ == "__main__":
    main()
