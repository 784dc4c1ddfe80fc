"""Encoders turn texts into vectors. Describing one (its space, its tokenizer) is light; `embed` may load a runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import BackendError
from core.registry import Registry
from core.space.identity import Space
from core.types import Side

ENCODERS = Registry(
    "encoder",
    {
        "sentence-transformers": "core.encoders.sentence_transformers:SentenceTransformersEncoder",
        "hashing": "core.encoders.hashing:HashingEncoder",
        "openai": "core.encoders.openai:OpenAIEncoder",
    },
)
REMOTE = ("openai",)  # those whose models run on a server: texts are sent to it


class Unembedded(BackendError):
    """Raised by `stream` when all else is done: why each of the rows in `failed` got no vector; those in `unsent` were not
    tried. `over`: nor should anything else be."""

    def __init__(
        self, message: str, *, path: str | None, fix: str, failed: Mapping[int, str], unsent: Sequence[int], over: bool
    ):
        super().__init__(message, path=path, fix=fix)
        self.failed, self.unsent, self.over = failed, unsent, over


@dataclass(frozen=True, slots=True)
class Model:
    """Which model it is and where it came from; `why` it was chosen, where that was not the user's word. Recorded, not
    decisive: the space decides."""

    name: str
    provider: str
    location: str = ""
    revision: str | None = None
    languages: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        value = asdict(self)
        return value if self.why else {name: part for name, part in value.items() if name != "why"}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Model:
        return cls(**{**value, "languages": tuple(value.get("languages", ()))})


class Token(NamedTuple):
    """One token of a text: `start` and `end` are characters of it; `special`: the tokenizer put it there and not the text."""

    id: int
    piece: str
    start: int
    end: int
    special: bool = False


# What an encoder is opened for: single texts now, many texts for long, or what the others are compared with.
Work = Literal["queries", "documents", "reference"]


class Runtime(Protocol):
    """What runs a model: the reference (torch), or something faster that has to prove itself."""

    name: str
    precision: str

    def versions(self) -> dict[str, str]: ...

    def embed(self, texts: Sequence[str], prompt: str) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Rows of `texts` and their vectors, float32 rows × dimension, in whatever order they are done."""
        ...

    def token_vectors(self, texts: Sequence[str], prompt: str) -> list[NDArray[np.float32]]:
        """One array a text, tokens × dimension, special tokens among them."""
        ...


class Encoder(Protocol):
    """One model, ready to describe itself and to embed."""

    model: Model
    space: Space
    metric: str

    @property
    def remote(self) -> bool:
        """Whether texts leave the machine: the canaries go with each query then, in one request."""
        ...

    @property
    def passed_over(self) -> Sequence[str]:
        """Why faster runtimes are not used, once one was chosen."""
        ...

    def runtime(self) -> dict[str, str]:
        """Library versions, precision and processor features that vectors may depend on in their last digits."""
        ...

    @property
    def runtime_name(self) -> str:
        """Engine and precision, for people."""
        ...

    def reference(self) -> Encoder:
        """The same model run by its reference: what the record of a space is made with."""
        ...

    def fall_back(self) -> bool:
        """Go on with the next best runtime, where the present one is not believed; False when there is none."""
        ...

    @property
    def padding(self) -> float:
        """The share of padding among the tokens that were run."""
        ...

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """float32, texts × dimension, in the order of `texts`; the side's prompt is put before each text."""
        ...

    def stream(self, texts: Sequence[str], side: Side) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """The same for many texts: rows of `texts` and their vectors, batch by batch, as they are done.

        Raises Unembedded at the end when some rows got none; what was yielded counts.
        """
        ...

    def token_vectors(self, texts: Sequence[str], side: Side) -> list[NDArray[np.float32]]:
        """One array a text, tokens × dimension, of unit length; special tokens and padding left out."""
        ...

    def token_starts(self, text: str) -> NDArray[np.int64]:
        """The offsets in `text` at which its tokens begin, rising; special tokens left out. Loads no runtime."""
        ...

    def tokens(self, text: str, side: Side) -> list[Token]:
        """The tokens of the whole input: prompt (which the offsets count), text and special tokens, not truncated. Raises
        UsageError where the tokenizer is not here."""
        ...

    def token_ids(self, texts: Sequence[str], side: Side) -> list[list[int]]:
        """What the model is given: prompt, text and special tokens, cut to its length. [] where that cannot be said."""
        ...

    def count_tokens(self, text: str, side: Side) -> int:
        """Tokens of the whole input: prompt, text and special tokens, not truncated."""
        ...
