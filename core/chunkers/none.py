"""No cutting: one chunk a document. What the model cannot take of it is truncated when it is embedded."""

from __future__ import annotations

from collections.abc import Iterator

from core.chunkers import ChunkSettings, trim
from core.encoders import Encoder
from core.types import Chunk, Document


class NoneChunker:
    def __init__(self, settings: ChunkSettings, encoder: Encoder):
        pass

    def chunk(self, document: Document) -> Iterator[Chunk]:
        start, end = trim(document.text, 0, len(document.text))
        if end > start or document.title:
            yield Chunk(document.id, 0, start, end, document.text[start:end], document.title)
