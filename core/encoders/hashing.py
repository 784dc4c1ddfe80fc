"""A model without a model: words and character pairs hashed to dimensions. Deterministic, instant, offline.

It knows no meaning, so it is for tests, demonstrations of the machinery and as a judge; `hashing-2` is another space of
the same dimension (another seed). The hashing trick: Weinberger et al. 2009, https://arxiv.org/abs/0902.2206
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder, Model, Token, Work
from core.errors import UsageError
from core.space.identity import Space
from core.types import Side

_TOKEN = re.compile(r"[㐀-鿿豈-﫿]|\w+|[^\w\s]")
DIMENSION = 128
MAX_TOKENS = 256
BATCH = 64


class HashingEncoder:
    """Space: unit vectors of 128 dimensions, at most 256 tokens."""

    metric = "cosine"
    remote = False

    runtime_name = "hashing, float32"
    padding = 0.0
    passed_over: Sequence[str] = ()

    def __init__(self, model: Model, work: Work = "queries"):
        match = re.fullmatch(r"hashing(?:-(\d+))?", model.location or model.name)
        if not match:
            raise UsageError(
                f"{model.name!r} is no hashing model", fix="use `hashing`, or `hashing-2` for another seed"
            )
        self.seed = match[1] or "1"
        self.model = model
        self.space = Space(
            weights=hashlib.sha256(f"hashing/1/{self.seed}".encode()).hexdigest(),
            tokenizer=hashlib.sha256(_TOKEN.pattern.encode()).hexdigest(),
            pooling="sum",
            normalize=True,
            max_tokens=MAX_TOKENS,
            dimension=DIMENSION,
        )

    def runtime(self) -> dict[str, str]:
        return {"engine": "hashing", "precision": "float32"}

    def reference(self) -> Encoder:
        return self

    def fall_back(self) -> bool:
        return False

    def stream(self, texts: Sequence[str], side: Side) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            yield list(range(start, start + len(part))), self.embed(part, side)

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, tokens in zip(vectors, self.token_vectors(texts, side), strict=True):
            total = tokens.sum(axis=0)
            row[:] = total / max(float(np.linalg.norm(total)), 1e-12)
        return vectors

    def token_vectors(self, texts: Sequence[str], side: Side) -> list[NDArray[np.float32]]:
        return [self._tokens(text) for text in texts]

    def _tokens(self, text: str) -> NDArray[np.float32]:
        words = [match[0].casefold() for match in _TOKEN.finditer(text)][:MAX_TOKENS] or [""]
        return np.stack([_vector(self.seed, word) for word in words])

    def token_starts(self, text: str) -> NDArray[np.int64]:
        return np.array([match.start() for match in _TOKEN.finditer(text)], dtype=np.int64)

    def tokens(self, text: str, side: Side) -> list[Token]:
        found = ((match[0].casefold(), match) for match in _TOKEN.finditer(text))
        return [Token(_id(word), word, match.start(), match.end()) for word, match in found]

    def token_ids(self, texts: Sequence[str], side: Side) -> list[list[int]]:
        return [[token.id for token in self.tokens(text, side)[:MAX_TOKENS]] for text in texts]

    def count_tokens(self, text: str, side: Side) -> int:
        return len(self.token_starts(text))


def _id(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4).digest()) >> 1


@lru_cache(maxsize=1 << 16)
def _vector(seed: str, word: str) -> NDArray[np.float32]:
    """Unit length; the word itself and its character pairs, each on 4 dimensions with a sign."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    for gram in (word, *(word[i : i + 2] for i in range(len(word) - 1))):
        for byte in hashlib.blake2b(gram.encode("utf-8", "replace"), key=seed.encode(), digest_size=4).digest():
            vector[byte % DIMENSION] += 1.0 if byte < DIMENSION else -1.0
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
