"""Binary codes: one bit a dimension, which side of the mean a vector lies on. A fiftieth of the vectors' size to scan.

Sign bits of vectors that lie in a cone say little, as most of them are equal; of centred vectors they tell directions
apart (Charikar 2002; the mean taken off as in principal components). What they find is scored again exactly, so all they
have to do is let the true neighbours through: how many candidates that takes is measured on the index's own vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError
from core.index.columns import Column, Table

RECALL = 0.995  # asked of the stand-ins for queries, so that true ones have 0.99
_K = 10
_STAND_INS = 200
_NEIGHBOUR = 0.5  # how much of a stand-in is its own row; the rest is other rows
_BLOCK = 1 << 15  # rows whose distances are counted at once: what is touched stays in the cache


@dataclass(frozen=True, slots=True)
class Codes:
    """Of one segment: `words` uint64, words × rows, bits beyond the dimension 0; `mean` float32 (dimension,), taken off
    unit vectors; `depth` candidates bring `recall` of the ten nearest.
    """

    words: NDArray[np.uint64]
    mean: NDArray[np.float32]
    depth: int
    recall: float

    def nearest(
        self, query: NDArray[np.float32], depth: int, live: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """The live rows of the `depth` least Hamming distances to the query (dimension,), with all ties of the last; rising."""
        distances = self.distances(query)
        if live is not None:
            distances[~live] = np.iinfo(np.uint16).max
        counted = np.cumsum(np.bincount(distances, minlength=1)[: len(self.mean) + 1])
        furthest = int(np.searchsorted(counted, depth))
        return np.flatnonzero(distances <= min(furthest, len(self.mean)))

    def fit(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> bool:
        """Whether the codes of these rows are those of the vectors; a bit may differ where a value is next to the mean."""
        made = _pack(_directions(vectors[rows]) - self.mean)
        different = np.bitwise_count(made ^ self.words[:, rows]).sum()
        return bool(different <= 1e-3 * made.size * 64)

    def distances(self, query: NDArray[np.float32]) -> NDArray[np.uint16]:
        """The Hamming distance of every row: uint16 (rows,)."""
        asked = _pack(_directions(query[None]) - self.mean)[:, 0]
        rows = self.words.shape[1]
        total = np.zeros(rows, dtype=np.uint16)
        different = np.empty(min(rows, _BLOCK), dtype=np.uint64)
        for start in range(0, rows, _BLOCK):
            part = total[start : start + _BLOCK]
            buffer = different[: len(part)]
            for word, bits in zip(self.words, asked, strict=True):
                np.bitwise_xor(word[start : start + _BLOCK], bits, out=buffer)
                part += np.bitwise_count(buffer)
        return total


def serve(norms: NDArray[np.float32], metric: str) -> bool:
    """Whether codes can stand for these vectors: directions decide a cosine; the other metrics only at equal length."""
    if metric == "cosine" or not len(norms):
        return True
    return float(norms.max() - norms.min()) <= 1e-3 * float(norms.max())


def make_codes(vectors: NDArray[np.float32]) -> dict[str, Column]:
    """The columns of a codes table for vectors (rows × dimension), the depth found. Equal vectors give equal columns."""
    mean = np.zeros(vectors.shape[1], dtype=np.float64)
    for start in range(0, len(vectors), _BLOCK):
        mean += _directions(vectors[start : start + _BLOCK]).sum(axis=0, dtype=np.float64)
    centre = (mean / max(len(vectors), 1)).astype(np.float32)
    parts = [_pack(_directions(vectors[n : n + _BLOCK]) - centre) for n in range(0, len(vectors), _BLOCK)]
    words = np.concatenate(parts, axis=1) if parts else np.zeros((-(-len(centre) // 64), 0), dtype=np.uint64)
    depth, recall = calibrate(vectors, Codes(words, centre, len(vectors), 1.0))
    return {
        "words": words,
        "mean": centre,
        "depth": np.array([depth], dtype=np.int64),
        "recall": np.array([recall], dtype=np.float64),
    }


def read_codes(table: Table, rows: int, dimension: int) -> Codes:
    """Raises CorruptError unless the table holds codes for that many rows of that dimension."""
    words, mean = table.array("words", "<u8", 2), table.array("mean", "<f4")
    depth, recall = table.array("depth", "<i8"), table.array("recall", "<f8")
    fits = words.shape == (-(-dimension // 64), rows) and mean.shape == (dimension,) and np.isfinite(mean).all()
    if not fits or not len(depth) == len(recall) == 1 or not 1 <= depth[0] <= max(rows, 1) or not 0 <= recall[0] <= 1:
        raise CorruptError(
            "the binary codes do not fit the segment",
            path=table.path,
            fix="samespace index INDEX --ann exact, then --ann auto, makes them anew",
        )
    return Codes(words, mean, int(depth[0]), float(recall[0]))


def calibrate(vectors: NDArray[np.float32], codes: Codes) -> tuple[int, float]:
    """How many candidates bring RECALL of the ten nearest, and the share that they bring.

    A query is no passage, and lies further from its neighbours than they from one another. So the stand-ins are blends
    of a row with others, as far away as that.
    """
    asked = stand_ins(vectors)
    if not len(asked):
        return max(len(vectors), 1), 1.0
    ranks = np.concatenate([_ranks(vectors, codes, query) for query in asked])
    depth = int(np.sort(ranks)[min(len(ranks) - 1, int(np.ceil(RECALL * len(ranks))))])
    depth = min(len(vectors), max(_K, depth))
    return depth, float(np.mean(ranks <= depth))


def stand_ins(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors, up to 200 × dimension, that are to the rows what queries are; the same ones every time."""
    count = min(_STAND_INS, len(vectors))
    random = np.random.default_rng(20260131)
    own, other, third = (np.sort(random.choice(len(vectors), count, replace=False)) for _ in range(3))
    random.shuffle(other)
    random.shuffle(third)
    rest = (_directions(vectors[other]) + _directions(vectors[third])) / np.float32(2)
    return _directions(np.float32(_NEIGHBOUR) * _directions(vectors[own]) + np.float32(1 - _NEIGHBOUR) * rest)


def _ranks(vectors: NDArray[np.float32], codes: Codes, query: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many rows one has to take by their codes to have each of the ten nearest."""
    scores = np.concatenate([_directions(vectors[n : n + _BLOCK]) @ query for n in range(0, len(vectors), _BLOCK)])
    nearest = np.argpartition(-scores, min(_K, len(scores)) - 1)[:_K]
    distances = codes.distances(query)
    counted = np.cumsum(np.bincount(distances))
    return np.asarray(counted[distances[nearest]], dtype=np.int64)


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-30)), dtype=np.float32)


def _pack(centred: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One bit a value, 1 where it is above 0: rows × dimension to words × rows, little-endian."""
    rows, dimension = centred.shape
    bits = np.zeros((rows, -(-dimension // 64) * 64), dtype=np.bool_)
    bits[:, :dimension] = centred > 0
    packed = np.packbits(bits, axis=1, bitorder="little")
    return np.ascontiguousarray(packed.view("<u8").T)
