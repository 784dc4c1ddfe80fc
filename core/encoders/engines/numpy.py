"""BERT in NumPy over mapped weights: nothing to load, compile or convert, so the first vector comes at once.

The texts of a group are packed: their tokens go through the matrix products together and without padding, and attend
only to their own text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.encoders.bert import Bert, Floats, Ids

# erf as a rational function, 1e-7 at most from the true value in float32: the coefficients of Eigen and XLA.
_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


class NumpyEngine:
    name = "numpy"
    precision = "float32"
    budget = 2048

    def __init__(self, bert: Bert, precision: str = "float32"):
        self._bert = bert

    def prepare(self, texts: int) -> None:
        pass

    def run(self, groups: Iterable[Sequence[Ids]]) -> Iterator[list[Floats]]:
        for group in groups:
            yield self._run(group)

    def _run(self, group: Sequence[Ids]) -> list[Floats]:
        bert, shape = self._bert, self._bert.shape
        ends = np.cumsum([len(ids) for ids in group])
        places = np.concatenate([np.arange(len(ids)) for ids in group]) + shape.first_position
        x = self._norm(bert.embed_tokens(np.concatenate(group), places), "embeddings")
        for layer in range(shape.layers):
            name = f"encoder.layer.{layer}"
            x = self._norm(self._attend(x, ends, name) + x, f"{name}.attention.output")
            inner = _gelu(self._linear(x, f"{name}.intermediate.dense"))
            x = self._norm(self._linear(inner, f"{name}.output.dense") + x, f"{name}.output")
        return np.split(x, ends[:-1])

    def _linear(self, x: Floats, name: str) -> Floats:
        y: Floats = x @ self._bert.tensors[f"{name}.weight"].T
        y += self._bert.tensors[f"{name}.bias"]
        return y

    def _norm(self, x: Floats, name: str) -> Floats:
        x = x - x.mean(axis=1, keepdims=True)
        variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[1])
        x /= np.sqrt(variance + np.float32(self._bert.shape.eps))
        x *= self._bert.tensors[f"{name}.LayerNorm.weight"]
        x += self._bert.tensors[f"{name}.LayerNorm.bias"]
        return x

    def _attend(self, x: Floats, ends: NDArray[np.int64], name: str) -> Floats:
        heads = self._bert.shape.heads
        size = x.shape[1] // heads
        query, key, value = (
            self._linear(x, f"{name}.attention.self.{part}").reshape(len(x), heads, size).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        query *= np.float32(size**-0.5)
        mixed, start = np.empty((len(x), heads, size), dtype=np.float32), 0
        for end in ends:
            scores = query[:, start:end] @ key[:, start:end].transpose(0, 2, 1)
            scores -= scores.max(axis=2, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=2, keepdims=True)
            mixed[start:end] = (scores @ value[:, start:end]).transpose(1, 0, 2)
            start = end
        return self._linear(mixed.reshape(x.shape), f"{name}.attention.output.dense")


def _gelu(x: Floats) -> Floats:
    """x · Φ(x), by erf, as BERT was trained."""
    z: Floats = np.clip(x * np.float32(0.5**0.5), -4, 4)
    square = z * z
    z *= _polynomial(_NUMERATOR, square)
    z /= _polynomial(_DENOMINATOR, square)
    z += np.float32(1)
    z *= x
    z *= np.float32(0.5)
    return z


def _polynomial(coefficients: Sequence[float], x: Floats) -> Floats:
    total: Floats = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += np.float32(coefficient)
    return total
