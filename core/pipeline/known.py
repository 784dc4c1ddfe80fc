"""Vectors that are there already, by the hash of the text they were made from: nothing is embedded twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.index.staging import Batch

HASH = 16


def hash_texts(texts: Sequence[str]) -> NDArray[np.uint8]:
    """The first 16 bytes of each text's sha256: uint8, texts × 16."""
    joined = b"".join(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:HASH] for text in texts)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), HASH)


class KnownVectors:
    """Batches of hashes and mapped vectors, of which nothing is read but what is asked for; an earlier batch counts first."""

    def __init__(self, batches: Iterable[Batch], dimension: int):
        self._dimension = dimension
        self._batches = [_Sorted(batch) for batch in batches]

    def add(self, batch: Batch) -> None:
        self._batches.append(_Sorted(batch))

    def has(self, hashes: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of the hashes (rows × 16) are known."""
        known = np.zeros(len(hashes), dtype=np.bool_)
        for batch in self._batches:
            known |= batch.rows(hashes) >= 0
        return known

    def fill(
        self, hashes: NDArray[np.uint8], vectors: NDArray[np.float32], runs: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Put what is known into `vectors` (float32, rows × dimension), and into `runs` (rows) who embedded it. Returns
        which rows that was.
        """
        known = np.zeros(len(hashes), dtype=np.bool_)
        for batch in self._batches:
            rows = batch.rows(hashes)
            found = (rows >= 0) & ~known
            vectors[found] = batch.vectors[rows[found]]
            runs[found] = batch.runs[rows[found]]
            known |= found
        return known


class _Sorted:
    def __init__(self, batch: Batch):
        self._texts, self.vectors, self.runs = batch.texts, batch.vectors, batch.runs
        keys = _keys(batch.texts)
        order = np.argsort(keys, kind="stable")
        self._order = order if batch.live is None else order[batch.live[order]]
        self._keys = keys[self._order]

    def rows(self, hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The row of each hash, -1 where it is not here."""
        if not len(self._keys):
            return np.full(len(hashes), -1, dtype=np.int64)
        places = np.searchsorted(self._keys, _keys(hashes)).clip(max=len(self._keys) - 1)
        rows: NDArray[np.int64] = self._order[places]
        return np.where((self._texts[rows] == hashes).all(axis=1), rows, -1)


def _keys(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first half of each hash as a number: it finds the row, and the whole decides."""
    return np.ascontiguousarray(hashes[:, :8]).view("<u8").reshape(-1)
