"""Binary codes: sign bits of centred vectors, and an estimate of every row's score from nothing but them.

Centring first is what lets them serve models whose vectors lie in a narrow cone: there most signs are the same for all
rows, and what is left after it are the differences between passages. The query keeps two bits a dimension, and each row
two numbers, by which the bits that agree become a score. After RaBitQ (Gao & Long 2024, arXiv:2405.12497), without its
rotation. What the estimates let through is scored again exactly: how many rows that takes is measured on the index's own
vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError
from core.index.columns import Column, Table

RECALL = 0.99
BITS = 2  # of the query, a dimension
_MARGIN = 1.25  # the depth that reached the recall is made this much larger
_NOISE = 1.75  # of a stand-in for a query, in distances of rows from their mean
_WIDER = 6  # rows that are estimated for each that is scored
_REACH = 1.5  # the largest level of a query's value, in standard deviations: the best for two bits (Max 1960)
_LEAST = 500  # candidates that are always scored: it takes a twentieth of a millisecond
_K = 10
_STAND_INS = 300
_BLOCK = 1 << 15  # rows at once: what is touched stays in the cache
_ROWS = 1 << 12  # rows at once when codes are made: what is held beyond the mapped vectors stays small

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Codes:
    """Of one segment: `words` uint64, words × rows (one word of all rows lies together), bits beyond the dimension 0;
    `mean` float32 (dimension,); `scale` and `offset` float32 (rows,); `depth` candidates bring `recall` of the ten nearest.
    """

    words: NDArray[np.uint64]
    mean: Floats
    scale: Floats
    offset: Floats
    depth: int
    recall: float

    def nearest(
        self, query: Floats, depth: int, metric: str, live: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """The live rows of the `depth` best estimates for the query (dimension,), with all ties of the last; rising.

        Of many rows those are estimated that agree with the query in most signs, which is told by half the work.
        """
        rows = None
        if metric == "cosine" and self.words.shape[1] > max(_BLOCK, 2 * _WIDER * depth):
            rows = self._agreeing(query, depth * _WIDER, live)
        estimates = self.estimate(query, metric, rows)
        if live is not None:
            estimates[~(live if rows is None else live[rows])] = -np.inf
        if len(estimates) > depth:
            least = np.partition(estimates, len(estimates) - depth)[len(estimates) - depth]
            found = np.flatnonzero(estimates >= max(least, np.finfo(np.float32).min))
        else:
            found = np.flatnonzero(estimates > -np.inf)
        return found if rows is None else rows[found]

    def _agreeing(self, query: Floats, count: int, live: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """At least `count` live rows whose signs differ least from the query's, if there are as many."""
        signs = _pack(_directions(query[None], "cosine") > self.mean)[:, 0]
        distances = differing(self.words, [signs])
        if live is not None:
            distances[~live] = len(self.mean) + 1  # further than any other
        furthest = int(np.searchsorted(np.cumsum(np.bincount(distances)), count))
        return np.flatnonzero(distances <= furthest)

    def estimate(self, query: Floats, metric: str, rows: NDArray[np.int64] | None = None) -> Floats:
        """float32, one for each row, or of `rows`: what ranks them for the query nearly as their scores do. Only the
        order means something.
        """
        centred = _directions(query[None], metric)[0] - self.mean
        levels = (1 << BITS) - 1
        reach = np.float32(_REACH) * np.sqrt(np.mean(centred**2)) + np.float32(1e-30)
        level = np.clip(np.rint((centred / reach + 1) / 2 * levels), 0, levels).astype(np.uint8)
        planes = [_pack((level[None] >> bit & 1).astype(bool))[:, 0] for bit in reversed(range(BITS))]
        words, scale, offset = self.words, self.scale, self.offset
        if rows is not None:
            words, scale, offset = np.take(words, rows, axis=1), scale[rows], offset[rows]
        # A sign times a level is 1 where they agree in a plane and -1 where they differ, weighted by the plane's power of 2.
        products: Floats = differing(words, planes).astype(np.float32)
        products *= np.float32(-2)
        products += np.float32(levels * len(centred))
        products *= scale
        products *= reach / np.float32(levels)
        products += offset
        return products

    def fit(self, vectors: Floats, rows: NDArray[np.int64], metric: str) -> bool:
        """Whether the codes of these rows are those of the vectors; a bit may differ where a value is next to the mean."""
        words, scale, offset = _encode(vectors[rows], self.mean, metric)
        different = np.bitwise_count(words ^ self.words[:, rows]).sum()
        near = np.allclose(scale, self.scale[rows], rtol=1e-3) and np.allclose(
            offset, self.offset[rows], atol=1e-3, rtol=1e-3
        )
        return bool(near and different <= 1e-3 * words.size * 64)


def differing(words: NDArray[np.uint64], planes: list[NDArray[np.uint64]]) -> NDArray[np.uint16]:
    """In how many bits each of `words` (words × rows) differs from each plane (words,), the first weighing most, each
    half the one before: uint16. With one plane this is the Hamming distance.
    """
    rows = words.shape[1]
    distances = np.zeros(rows, dtype=np.uint16)
    unequal = np.empty(min(_BLOCK, rows), dtype=np.uint64)
    counts = np.empty(min(_BLOCK, rows), dtype=np.uint8)
    for start in range(0, rows, _BLOCK):
        part = distances[start : start + _BLOCK]
        size = len(part)
        for plane in planes:
            part <<= 1
            for word, own in zip(words, plane, strict=True):
                np.bitwise_xor(word[start : start + size], own, out=unequal[:size])
                np.bitwise_count(unequal[:size], out=counts[:size])
                part += counts[:size]
    return distances


def make_codes(vectors: Floats, metric: str) -> dict[str, Column]:
    """The columns of a codes table for vectors (rows × dimension), the depth found. Equal vectors give equal columns."""
    blocks = [slice(start, start + _ROWS) for start in range(0, len(vectors), _ROWS)]
    total = sum(_directions(vectors[block], metric).sum(axis=0, dtype=np.float64) for block in blocks)
    mean = (np.zeros(vectors.shape[1]) + total / max(len(vectors), 1)).astype(np.float32)
    parts = [_encode(vectors[block], mean, metric) for block in blocks] or [_encode(vectors, mean, metric)]
    words = np.concatenate([part[0] for part in parts], axis=1)
    scale, offset = (np.concatenate([part[n] for part in parts]) for n in (1, 2))
    depth, recall = calibrate(vectors, Codes(words, mean, scale, offset, len(vectors), 1.0), metric)
    found = {"depth": np.array([depth], dtype=np.int64), "recall": np.array([recall], dtype=np.float64)}
    return {"words": words, "mean": mean, "scale": scale, "offset": offset, **found}


def read_codes(table: Table, rows: int, dimension: int) -> Codes:
    """Raises CorruptError unless the table holds codes for that many rows of that dimension."""
    words, depth, recall = table.array("words", "<u8", 2), table.array("depth", "<i8"), table.array("recall", "<f8")
    mean, scale, offset = (table.array(name, "<f4") for name in ("mean", "scale", "offset"))
    fits = (
        words.shape == (-(-dimension // 64), rows) and mean.shape == (dimension,) and len(scale) == len(offset) == rows
    )
    finite = all(np.isfinite(part).all() for part in (mean, scale, offset))
    counted = len(depth) == len(recall) == 1 and 1 <= depth[0] <= max(rows, 1) and 0 <= recall[0] <= 1
    if not (fits and finite and counted):
        raise CorruptError(
            "the binary codes do not fit the segment",
            path=table.path,
            fix="samespace repair INDEX --untrusted makes them anew",
        )
    return Codes(words, mean, scale, offset, int(depth[0]), float(recall[0]))


def calibrate(vectors: Floats, codes: Codes, metric: str) -> tuple[int, float]:
    """How many candidates bring RECALL of the ten nearest, with a margin, and the share that they bring.

    A row is no query: its own neighbours are close, and codes tell close rows apart easily. A real query lies far from
    every passage. So stand-ins decide that are rows moved by noise; half of them say the depth, the others what it brings.
    """
    asked = stand_ins(vectors, codes, metric)
    if not len(asked):
        return max(len(vectors), 1), 1.0
    nearest = _nearest(vectors, asked, metric)
    ranks = [_ranks(codes.estimate(query, metric), rows) for query, rows in zip(asked, nearest, strict=True)]
    decide, judge = np.concatenate(ranks[::2]), np.concatenate(ranks[1::2] or ranks)
    depth = int(np.ceil(_MARGIN * float(np.quantile(decide, RECALL, method="higher"))))
    depth = min(len(vectors), max(_LEAST, depth))
    return depth, round(float(np.mean(judge <= depth)), 4)


def stand_ins(vectors: Floats, codes: Codes, metric: str) -> Floats:
    """Queries, float32 (up to 300 × dimension): rows moved by noise, as long as their row; the same ones every time."""
    random = np.random.default_rng(20260131)
    rows = np.sort(random.choice(len(vectors), size=min(_STAND_INS, len(vectors)), replace=False))
    chosen = _directions(vectors[rows], metric)
    spread = np.linalg.norm(chosen - codes.mean, axis=1).mean() if len(rows) else 0.0
    noise = random.standard_normal(chosen.shape, dtype=np.float32)
    moved = chosen + noise * np.float32(_NOISE * spread / np.sqrt(chosen.shape[1]))
    lengths = np.linalg.norm(chosen, axis=1) / np.maximum(np.linalg.norm(moved, axis=1), 1e-30)
    return np.asarray(moved * lengths[:, None], dtype=np.float32)


def _nearest(vectors: Floats, asked: Floats, metric: str) -> NDArray[np.int64]:
    """The ten nearest rows of each query, queries × 10 (fewer where there are fewer rows)."""
    scores, rows = np.empty((len(asked), 0), dtype=np.float32), np.empty((len(asked), 0), dtype=np.int64)
    for start in range(0, len(vectors), _ROWS):
        part = _directions(vectors[start : start + _ROWS], metric)
        found = asked @ part.T
        if metric == "euclidean":
            found -= np.einsum("ij,ij->i", part, part) / np.float32(2)
        count = min(_K, found.shape[1])
        places = np.argpartition(-found, count - 1, axis=1)[:, :count]
        scores = np.concatenate([scores, np.take_along_axis(found, places, axis=1)], axis=1)
        rows = np.concatenate([rows, places + start], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :_K]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return rows


def _ranks(estimates: Floats, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many candidates one has to take to have each of these rows."""
    return np.searchsorted(np.sort(-estimates), -estimates[rows], side="right")


def _directions(vectors: Floats, metric: str) -> Floats:
    """What codes are made of: for cosine the vectors (rows × dimension) at length 1, else the vectors themselves."""
    if metric != "cosine":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-30)), dtype=np.float32)


def _encode(vectors: Floats, mean: Floats, metric: str) -> tuple[NDArray[np.uint64], Floats, Floats]:
    """Words, scale and offset of rows.

    With y = x - mean and p = query - mean, y·p is near (signs of y)·p × |y|²/Σ|y|: the scale. The offset turns y·p into
    what ranks rows by the metric: x·query is y·p + y·mean and a constant, -|x - query|²/2 is y·p - |y|²/2 and another.
    """
    centred = _directions(vectors, metric) - mean
    squares = np.einsum("ij,ij->i", centred, centred)
    scale = squares / np.maximum(np.abs(centred).sum(axis=1), np.float32(1e-30))
    offset = -squares / 2 if metric == "euclidean" else centred @ mean
    return _pack(centred > 0), scale.astype(np.float32), offset.astype(np.float32)


def _pack(bits: NDArray[Any]) -> NDArray[np.uint64]:
    """Bits (rows × dimension) as uint64, words × rows: dimension d is bit d mod 64 of word d div 64."""
    packed = np.packbits(bits, axis=1, bitorder="little")
    whole = np.zeros((len(bits), -(-bits.shape[1] // 64) * 8), dtype=np.uint8)
    whole[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(whole.view("<u8").T).astype(np.uint64, copy=False)
