"""An encoder made of a transformer: its tokenizer, and the runtimes that can run it, best first.

Which is best depends on the work. A query is answered by the engine that starts at once; documents by the one that works
fastest once it has started. The reference stands behind both: `fall_back` goes on with the next one when a runtime does
not prove itself on the canaries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.encoders import Model, Runtime, Token, Work
from core.encoders.bert import POOLINGS, Bert, Floats, Unsupported
from core.encoders.fast import Fast
from core.encoders.tokenizer import Tokenizer
from core.errors import MissingError
from core.space.identity import Space
from core.text import encodable
from core.types import Side

Maker = Callable[[], Runtime]


class TransformerEncoder(ABC):
    """Subclasses say where the tokenizer, the weights and the reference come from."""

    remote = False

    def __init__(self, model: Model, space: Space, metric: str, work: Work):
        self.model, self.space, self.metric, self._work = model, space, metric, work
        self.passed_over: list[str] = []

    @abstractmethod
    def _open_tokenizer(self) -> Tokenizer: ...

    @abstractmethod
    def _bert(self) -> Bert:
        """Raises Unsupported where the model is not one that our engines run."""

    @abstractmethod
    def _reference(self) -> Runtime:
        """The reference runtime. Raises MissingError where it is not installed, or there is no model for it to load."""

    def parts(self) -> tuple[Bert, Tokenizer]:
        """What an index carries of it. Raises Unsupported where our engines cannot run it."""
        if self.space.pooling not in POOLINGS:
            raise Unsupported(f"its pooling is {self.space.pooling}")
        return self._bert(), self._tokenizer

    # which runtime

    def _fast(self, engine: str, precision: str = "float32") -> Fast:
        return Fast(*self.parts(), self.space, engine, precision)

    @cached_property
    def _makers(self) -> Iterator[Maker]:
        """The runtimes for this encoder's work, best first."""
        queries: list[Maker] = [lambda: self._fast("numpy")]
        documents: list[Maker] = [lambda: self._fast("openvino")]
        if "bf16" in cpu_features():
            documents.insert(0, lambda: self._fast("openvino", "bfloat16"))
        reference: list[Maker] = [self._reference]
        order: dict[Work, list[Maker]] = {
            "queries": [*queries, *reference],
            "documents": [*documents, *reference, *queries],
            "reference": [*reference, *queries],  # without torch, float32 by NumPy stands for it
        }
        return iter(order[self._work])

    @cached_property
    def _runtime(self) -> Runtime:
        """The best runtime there is. Raises MissingError when there is none."""
        for maker in self._makers:
            try:
                return maker()
            except (Unsupported, MissingError, ImportError) as error:  # a library that is there and cannot be loaded
                self.passed_over.append(str(error))
        raise MissingError(
            f"nothing on this machine can run the model {self.model.name!r} ({'; '.join(self.passed_over)})",
            fix="pip install sentence-transformers torch==2.13.0, or search with --mode lexical",
        )

    def fall_back(self) -> bool:
        """Go on with the next best runtime; False when there is none."""
        name = self.runtime_name
        before = self.__dict__.pop("_runtime")
        try:
            _ = self._runtime
        except MissingError:
            self.__dict__["_runtime"] = before
            return False
        self.passed_over.append(f"{name} does not agree with the canaries here")
        return True

    def runtime(self) -> dict[str, str]:
        engine = self._runtime
        return {"engine": engine.name, "precision": engine.precision, "cpu": cpu_features(), **engine.versions()}

    @property
    def runtime_name(self) -> str:
        return f"{self._runtime.name}, {self._runtime.precision}"

    # vectors

    def prompt(self, side: Side) -> str:
        return self.space.query_prompt if side == "query" else self.space.passage_prompt

    def stream(self, texts: Sequence[str], side: Side) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        if texts:
            yield from self._runtime.embed([encodable(text) for text in texts], self.prompt(side))

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.space.dimension), dtype=np.float32)
        for rows, found in self.stream(texts, side):
            vectors[rows] = found
        return vectors

    @property
    def padding(self) -> float:
        """The share of the tokens run by `embed` that were padding; 0 where that is not known."""
        runtime = self._runtime
        if not isinstance(runtime, Fast) or not runtime.tokens:
            return 0.0
        return runtime.padding / (runtime.tokens + runtime.padding)

    def token_vectors(self, texts: Sequence[str], side: Side) -> list[NDArray[np.float32]]:
        if not texts:
            return []
        first, last = self._special
        found: list[Floats] = []
        for tokens in self._runtime.token_vectors([encodable(text) for text in texts], self.prompt(side)):
            inner = tokens[first : len(tokens) - last]
            inner = inner if len(inner) else tokens
            found.append(inner / np.maximum(np.linalg.norm(inner, axis=1, keepdims=True), 1e-12))
        return found

    # tokens

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self._open_tokenizer()

    @cached_property
    def _special(self) -> tuple[int, int]:
        """How many special tokens stand before and after a text."""
        empty, (text,) = self._tokenizer.ids([""])[0], self._tokenizer.ids(["a"])
        first = next((n for n, (a, b) in enumerate(zip(empty, text, strict=False)) if a != b), len(empty))
        return first, len(empty) - first

    def token_starts(self, text: str) -> NDArray[np.int64]:
        return self._tokenizer.starts(encodable(text))

    def tokens(self, text: str, side: Side) -> list[Token]:
        return self._tokenizer.tokens(self.prompt(side) + encodable(text))

    def token_ids(self, texts: Sequence[str], side: Side) -> list[list[int]]:
        return self._tokenizer.ids([self.prompt(side) + encodable(text) for text in texts], self.space.max_tokens)

    def count_tokens(self, text: str, side: Side) -> int:
        return self._tokenizer.count(self.prompt(side) + encodable(text))


def cpu_features() -> str:
    """The processor features that choose other kernels, hence other last digits; empty where the system does not say."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return ""
    return " ".join(name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve") if name in flags)
