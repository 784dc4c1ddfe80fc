"""The fast runtime: tokens by the `tokenizers` library, a BERT by one of our engines, pooling in float32."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from core.encoders.bert import Bert, Floats, Ids, batches, pool
from core.encoders.engines import ENGINES, Engine
from core.encoders.tokenizer import Tokenizer
from core.errors import BackendError, CorruptError
from core.space.identity import Space

_WINDOW = 1024  # texts that are cut into tokens and sorted by length together


class Fast:
    """Runs a model that `core.encoders.bert` can describe. `tokens` and `padding` count what went through `embed`."""

    def __init__(self, bert: Bert, tokenizer: Tokenizer, space: Space, engine: str, precision: str):
        """Raises MissingError when the engine's package is not installed."""
        self._tokenizer, self._space = tokenizer, space
        self._engine: Engine = ENGINES.load(engine)(bert, precision)
        self.name, self.precision = self._engine.name, self._engine.precision
        self.tokens = self.padding = 0

    def versions(self) -> dict[str, str]:
        from importlib.metadata import version

        return {name: version(name) for name in (self._engine.name, "tokenizers")}

    def embed(self, texts: Sequence[str], prompt: str) -> Iterator[tuple[list[int], Floats]]:
        """Rows of `texts` and their vectors, float32 rows × dimension, batch by batch: the longest of each window first.

        While a batch is computed, the next texts are cut into tokens.
        """
        self._engine.prepare(len(texts))
        under_way: deque[list[int]] = deque()
        for hidden in self._run(self._groups(texts, prompt, under_way)):
            yield under_way.popleft(), self._pooled(hidden)

    def embed_ids(self, ids: Sequence[Ids]) -> Floats:
        """float32, texts × dimension, of texts that are tokens already: special tokens among them, no longer than it takes."""
        order = batches([len(one) for one in ids], self._engine.budget)
        vectors = np.zeros((len(ids), self._space.dimension), dtype=np.float32)
        for group, hidden in zip(order, self._run(iter([[ids[n] for n in group] for group in order])), strict=True):
            vectors[group] = self._pooled(hidden)
        return vectors

    def _pooled(self, hidden: list[Floats]) -> Floats:
        vectors = np.stack([pool(tokens, self._space.pooling) for tokens in hidden])
        if self._space.normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        return vectors

    def _groups(self, texts: Sequence[str], prompt: str, under_way: deque[list[int]]) -> Iterator[list[Ids]]:
        for start in range(0, len(texts), _WINDOW):
            window = [prompt + text for text in texts[start : start + _WINDOW]]
            ids = self._tokenizer.ids(window, self._space.max_tokens)
            for group in batches([len(one) for one in ids], self._engine.budget):
                under_way.append([start + n for n in group])
                self.tokens += sum(len(ids[n]) for n in group)
                self.padding += sum(len(ids[group[0]]) - len(ids[n]) for n in group)
                yield [np.array(ids[n] or [0], dtype=np.int32) for n in group]

    def _run(self, groups: Iterator[list[Ids]]) -> Iterator[list[Floats]]:
        try:
            yield from self._engine.run(groups)
        except RuntimeError as error:
            raise BackendError(
                f"{self.name} cannot run this model here ({str(error).strip()[:200]})",
                fix="run the same command again; what was finished is kept",
            ) from error
        except IndexError as error:
            raise CorruptError(
                f"the model's tokenizer does not fit its weights ({error})", fix="fetch the model again"
            ) from error

    def token_vectors(self, texts: Sequence[str], prompt: str) -> list[Floats]:
        """One array a text, tokens × hidden, special tokens among them."""
        ids = self._tokenizer.ids([prompt + text for text in texts], self._space.max_tokens)
        order = batches([len(one) for one in ids], self._engine.budget)
        groups = ([np.array(ids[n] or [0], dtype=np.int32) for n in group] for group in order)
        found = dict(zip(chain(*order), chain.from_iterable(self._run(iter(groups))), strict=True))
        return [found[n] for n in range(len(texts))]
