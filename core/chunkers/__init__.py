"""Chunkers cut a document into spans: `document.text[start:end] == chunk.text`, in order, covering all but white space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.canonical import make_id
from core.encoders import Encoder
from core.errors import CorruptError, UsageError
from core.registry import Registry
from core.types import Chunk, Document

CHUNKERS = Registry(
    "chunker",
    {
        "recursive": "core.chunkers.recursive:RecursiveChunker",
        "none": "core.chunkers.none:NoneChunker",
    },
)
DEFAULT_SIZE = 200
DEFAULT_OVERLAP = 0


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """Sizes in tokens of the index's model. With the tokenizer they are the chunking's identity."""

    name: str = "recursive"
    size: int = DEFAULT_SIZE
    overlap: int = DEFAULT_OVERLAP

    def check(self, limit: int) -> None:
        """Raises UsageError when the sizes do not fit one another or `limit`, the model's maximum of tokens."""
        if self.name not in CHUNKERS:
            raise UsageError(f"there is no chunker {self.name!r}", fix=f"choose one of: {', '.join(CHUNKERS)}")
        if self.name == "none":
            return
        if not 8 <= self.size <= limit:
            raise UsageError(
                f"a chunk size of {self.size} tokens does not fit: the model takes at most {limit}",
                fix=f"choose --size between 8 and {limit}",
            )
        if not 0 <= self.overlap <= self.size // 2:
            raise UsageError(
                f"an overlap of {self.overlap} tokens does not fit chunks of {self.size}",
                fix=f"choose --overlap between 0 and {self.size // 2}",
            )

    @property
    def text(self) -> str:
        if self.name == "none":
            return "one a document"
        return f"{self.name}, {self.size} tokens" + (f", overlap {self.overlap}" if self.overlap else "")

    def to_json(self) -> dict[str, Any]:
        sizes = {} if self.name == "none" else {"size": self.size, "overlap": self.overlap}
        return {"name": self.name, "version": 1, **sizes}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ChunkSettings:
        """Raises CorruptError for settings that are none: they come from an index, which may come from anywhere."""
        parts = {key: part for key, part in value.items() if key != "version"}
        kinds = {"name": str, "size": int, "overlap": int}
        if any(type(part) is not kinds.get(key) for key, part in parts.items()):
            raise CorruptError(
                f"the settings of the chunker cannot be: {parts!r:.200}",
                fix="restore the index from a copy, or build it again in a new place",
            )
        return cls(**parts)

    def id(self, tokenizer: str) -> str:
        """The chunking id. Whole documents are the same by any tokenizer."""
        return make_id("c", {**self.to_json(), **({} if self.name == "none" else {"tokenizer": tokenizer})})


class Chunker(Protocol):
    def __init__(self, settings: ChunkSettings, encoder: Encoder): ...

    def chunk(self, document: Document) -> Iterator[Chunk]:
        """The chunks of `document`, in order; none for a document of white space alone without a title."""
        ...


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
