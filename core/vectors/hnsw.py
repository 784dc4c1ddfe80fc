"""HNSW graphs by hnswlib (Malkov & Yashunin 2016), one a segment, built from its vectors and rescored with them.

hnswlib reports no error on a full disk and does not notice a damaged file, so a graph is written aside, loaded again
and asked before it gets its name, its digest is checked before every use, and its structure (`graph_file.py`): a digest
that fits says only that the file is the one that the index's maker put there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError, StorageError
from core.types import Match
from core.vectors import VectorSegment, best, score
from core.vectors.exact import ExactSearcher, search_segment
from core.vectors.graph_file import verify_graph

_SPACES = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}


@dataclass(frozen=True, slots=True)
class HnswSettings:
    m: int = 16
    ef_construction: int = 200
    ef: int = 128  # hnswlib does not store it


class HnswSearcher:
    def __init__(self, segments: Sequence[VectorSegment], metric: str):
        self._segments, self._metric = segments, metric
        self._graphs = [_load(segment, metric) for segment in segments]

    def search(self, query: NDArray[np.float32], depth: int) -> list[Match]:
        matches: list[Match] = []
        for number, (segment, graph) in enumerate(zip(self._segments, self._graphs, strict=True)):
            dead = 0 if segment.live is None else int((~segment.live).sum())
            wanted = min(depth + dead, len(segment.vectors))
            if graph is None or wanted * 4 > len(segment.vectors):
                matches += search_segment(segment, number, query, depth, self._metric)
                continue
            graph.set_ef(max(HnswSettings().ef, wanted * 2))
            try:
                found = graph.knn_query(query, k=wanted)[0][0]
            except RuntimeError:  # its links do not lead to as many elements
                matches += search_segment(segment, number, query, depth, self._metric)
                continue
            rows = np.sort(found.astype(np.int64))
            if segment.live is not None:
                rows = rows[segment.live[rows]]
            scores = score(segment.vectors[rows], segment.norms[rows], query, self._metric)
            matches += [Match(number, int(row), float(value)) for row, value in zip(rows, scores, strict=True)]
        return best(matches, depth)


def _load(segment: VectorSegment, metric: str) -> Any:
    if segment.graph is None or not len(segment.vectors):
        return None
    verify_graph(segment.graph, segment.vectors, metric)
    graph = hnswlib.Index(space=_SPACES[metric], dim=segment.vectors.shape[1])
    try:
        graph.load_index(str(segment.graph), max_elements=len(segment.vectors))
    except RuntimeError as error:
        segment.graph.stat()  # FileNotFoundError: it was collected meanwhile
        raise CorruptError(
            f"this is no graph ({error})", path=segment.graph, fix="samespace repair INDEX --untrusted makes it anew"
        ) from error
    return graph


def build_graph(vectors: NDArray[np.float32], metric: str, path: Path, settings: HnswSettings | None = None) -> float:
    """Write the graph of `vectors` (rows × dimension) to `path` and return its recall@10 against exact search.

    The recall is measured on up to 100 of the rows, by the file as it was read back. Raises StorageError when what was
    read back is not what was written.
    """
    settings = settings or HnswSettings()
    graph = hnswlib.Index(space=_SPACES[metric], dim=vectors.shape[1])
    graph.init_index(max_elements=len(vectors), M=settings.m, ef_construction=settings.ef_construction, random_seed=100)
    graph.add_items(vectors, np.arange(len(vectors)), num_threads=1)  # one thread: the same graph every time
    graph.save_index(str(path))
    if path.stat().st_size != graph.index_file_size():
        raise StorageError("the graph could not be written whole", path=path, fix="free some space and run again")
    segment = VectorSegment(vectors, np.linalg.norm(vectors, axis=1).astype(np.float32), graph=path)
    return recall(HnswSearcher([segment], metric), ExactSearcher([segment], metric), vectors)


def recall(searcher: HnswSearcher, judge: ExactSearcher, vectors: NDArray[np.float32], k: int = 10) -> float:
    """Mean share of the exact top k that `searcher` finds, over up to 100 evenly spread rows as queries."""
    rows = np.unique(np.linspace(0, len(vectors) - 1, num=min(100, len(vectors)), dtype=np.int64))
    shares = []
    for row in rows:
        wanted = {match.row for match in judge.search(vectors[row], k)}
        found = {match.row for match in searcher.search(vectors[row], k)}
        shares.append(len(wanted & found) / max(len(wanted), 1))
    return float(np.mean(shares)) if shares else 1.0
