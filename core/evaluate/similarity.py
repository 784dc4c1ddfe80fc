"""Sentence similarity: how well a model's cosines agree with people's scores of pairs, by Spearman and Pearson."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.canonical import digest
from core.encoders import Encoder
from core.errors import InconclusiveError, UsageError

_FIX = "a line each, by tabs: TEXT, TEXT, SCORE"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts and how alike people find them: a finite number, higher is more alike."""

    one: str
    other: str
    score: float


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of a file, `text<TAB>text<TAB>score` a line; a first line whose third column is `score` is a header.

    Raises UsageError naming the line that is none, and where fewer than two pairs or equal scores leave nothing to correlate.
    """
    if not path.is_file():
        raise UsageError("there is no such file of pairs", path=path, fix=_FIX)
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").split("\n"), start=1):
        parts = line.rstrip("\r").split("\t")
        if not line.strip() or (number == 1 and [part.strip().lower() for part in parts[2:]] == ["score"]):
            continue
        try:
            one, other, text = parts
            pair = Pair(one, other, float(text))
            if not one.strip() or not other.strip() or not math.isfinite(pair.score):
                raise ValueError("an empty text, or the score is no number")
        except ValueError as error:
            raise UsageError(f"line {number} is no pair ({error})", path=path, fix=_FIX) from error
        pairs.append(pair)
    if len({pair.score for pair in pairs}) < 2:
        what = "all pairs have the same score" if len(pairs) > 1 else f"this file holds {len(pairs)} pairs"
        raise UsageError(f"{what}: nothing can be correlated", path=path, fix=_FIX)
    return pairs


def pairs_digest(pairs: Sequence[Pair]) -> str:
    return digest([[pair.one, pair.other, pair.score] for pair in pairs])


def correlate(encoder: Encoder, pairs: Sequence[Pair]) -> dict[str, float]:
    """Spearman and Pearson of the cosines and the scores. Both texts are embedded as queries, as models want it for
    texts of one kind.

    Raises InconclusiveError when the model gives all pairs the same cosine, and what `embed` does.
    """
    rows = {
        text: row for row, text in enumerate(dict.fromkeys(text for pair in pairs for text in (pair.one, pair.other)))
    }
    vectors = encoder.embed(list(rows), "query").astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    one, other = ([rows[text] for text in texts] for texts in zip(*((p.one, p.other) for p in pairs), strict=True))
    cosines = np.round(np.einsum("nd,nd->n", vectors[one], vectors[other]), 9)  # so that equal texts tie
    if np.ptp(cosines) == 0:
        raise InconclusiveError(
            "the model gives all pairs the same similarity: nothing can be correlated",
            fix="give pairs that differ, some of them alike and others not",
        )
    scores = np.array([pair.score for pair in pairs])
    return {"Spearman": spearman(cosines, scores), "Pearson": pearson(cosines, scores)}


def pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """In [-1, 1]; of two arrays of one length, neither of them constant."""
    x, y = _centred(x), _centred(y)
    return float(np.clip(x @ y, -1.0, 1.0))


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson of the ranks; equal values share the mean of their ranks."""
    return pearson(average_ranks(x), average_ranks(y))


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64, from 1; equal values get the mean of the ranks that they take together."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0 and length 1. Scaled first, so that squares of large numbers stay finite."""
    scaled = values / np.abs(values).max()
    scaled = scaled - scaled.mean()
    centred: NDArray[np.float64] = scaled / np.linalg.norm(scaled)
    return centred
