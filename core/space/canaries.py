"""Canaries: fixed texts that travel with a space, and their vectors. Where identity is silent or lies, they tell.

They go both ways a text can go (as query and as passage), in Chinese, English and mixed, with digits and code, and one
longer than the model takes, so that a changed length limit shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.types import Side

if TYPE_CHECKING:
    from core.encoders import Encoder

SHORT = (
    "The quick brown fox jumps over the lazy dog.",
    "今天的天气很好，我们去公园散步吧。",
    "请在 README.md 里写明 API v1.2.3 的 error code。",
)
LONG = (
    "Where does the river bank end and the water begin?",
    "银行的利率上周又下调了，存款的人并不高兴。",
    "def cosine(a, b): return a @ b / (norm(a) * norm(b))  # E-1047, 3.14159",
    "ＦＵＬＬ　ｗｉｄｔｈ，繁體字與简体字，café naïve",
    "7",
)
_SENTENCES = (
    "Cosine similarity compares directions and forgets lengths.",
    "同一个模型的两个版本，向量未必在同一个空间里。",
    "An index is only as good as the memory of how it was made.",
    "换了分词器，最大长度或者池化方式，结果都会悄悄改变。",
)

# 1 - cosine, and relative difference of length. float32 moves by 1e-7 with the batch, bfloat16 by 1e-5; the mildest
# change that alters a ranking moves a canary by more than 1e-3.
TOLERANCE = 2e-4


def canary_texts(max_tokens: int) -> tuple[str, ...]:
    """The texts for a model that takes `max_tokens`: the short ones first, one past the length limit last."""
    sentences = [f"{i}. {_SENTENCES[i % len(_SENTENCES)]}" for i in range(max(2, min(max_tokens, 8192) // 10))]
    return (*SHORT, *LONG, " ".join(sentences))


@dataclass(frozen=True, slots=True)
class Canaries:
    """Texts and their vectors: float32, texts × dimension, one array a side."""

    texts: tuple[str, ...]
    query: NDArray[np.float32]
    passage: NDArray[np.float32]

    def vectors(self, side: Side) -> NDArray[np.float32]:
        return self.query if side == "query" else self.passage


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two sets of canary vectors agree: the worst 1 - cosine and the worst relative difference of length."""

    texts: int
    worst_distance: float
    worst_length: float
    mean_cosine: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return self.worst_distance <= self.tolerance and self.worst_length <= self.tolerance

    @property
    def nearly(self) -> bool:
        """Near enough for a runtime's rounding to be the reason."""
        return max(self.worst_distance, self.worst_length) <= 0.05

    def to_json(self) -> dict[str, Any]:
        return {
            "agrees": self.agrees,
            "texts": self.texts,
            "worst_distance": self.worst_distance,
            "worst_length": self.worst_length,
            "mean_cosine": self.mean_cosine,
            "tolerance": self.tolerance,
        }


def embed_canaries(encoder: Encoder, texts: Sequence[str]) -> Canaries:
    return Canaries(tuple(texts), encoder.embed(texts, "query"), encoder.embed(texts, "passage"))


def compare(
    stored: Mapping[Side, NDArray[np.float32]], now: Mapping[Side, NDArray[np.float32]], tolerance: float
) -> Agreement:
    """Compare vectors of the same texts, side by side. Another shape, or a value that is no number, agrees with nothing."""
    texts, distance, length, cosines = 0, 0.0, 0.0, []
    for side, new in now.items():
        old = stored[side]
        texts += len(new)
        if old.shape != new.shape or not np.isfinite(new).all() or not np.isfinite(old).all():
            return Agreement(texts, 2.0, 1.0, 0.0, tolerance)
        a, b = old.astype(np.float64), new.astype(np.float64)
        lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        cosine = (a * b).sum(axis=1) / np.maximum(lengths_a * lengths_b, 1e-30)
        distance = max(distance, float((1 - cosine).max(initial=0)))
        length = max(length, float((abs(lengths_a - lengths_b) / np.maximum(lengths_a, 1e-30)).max(initial=0)))
        cosines.extend(cosine.tolist())
    return Agreement(texts, distance, length, float(np.mean(cosines)) if cosines else 0.0, tolerance)
