"""Encoders turn texts into vectors. Describing one (its space, its tokenizer) is light; `embed` may load a runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.registry import Registry
from core.space.identity import Space
from core.types import Side

ENCODERS = Registry(
    "encoder",
    {
        "sentence-transformers": "core.encoders.sentence_transformers:SentenceTransformersEncoder",
        "hashing": "core.encoders.hashing:HashingEncoder",
    },
)


@dataclass(frozen=True, slots=True)
class Model:
    """Which model it is and where it came from. Recorded, not decisive: the space decides."""

    name: str
    provider: str
    location: str = ""
    revision: str | None = None
    languages: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Model:
        return cls(**{**value, "languages": tuple(value.get("languages", ()))})


class Encoder(Protocol):
    """One model, ready to describe itself and to embed."""

    model: Model
    space: Space
    metric: str

    def runtime(self) -> dict[str, str]:
        """Library versions, precision and processor features that vectors may depend on in their last digits."""
        ...

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """float32, texts × dimension, in the order of `texts`; the side's prompt is put before each text."""
        ...

    def token_vectors(self, texts: Sequence[str], side: Side) -> list[NDArray[np.float32]]:
        """One array a text, tokens × dimension, of unit length; special tokens and padding left out."""
        ...

    def token_starts(self, text: str) -> NDArray[np.int64]:
        """The offsets in `text` at which its tokens begin, rising; special tokens left out. Loads no runtime."""
        ...

    def count_tokens(self, text: str, side: Side) -> int:
        """Tokens of the whole input: prompt, text and special tokens, not truncated."""
        ...
