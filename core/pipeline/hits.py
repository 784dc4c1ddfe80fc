"""From a row of a segment to a hit: the chunk, where it stands in its document, what is known of the document."""

from __future__ import annotations

from bisect import bisect_right

from core.index.reader import SegmentReader
from core.types import Chunk, Document, Hit

_LINES = ("txt", "md")  # formats whose text is the file's own, so that lines can be counted


def make_hit(segment: SegmentReader, row: int, score: float) -> Hit:
    document = segment.document(int(segment.chunk_documents[row]))
    chunk = segment.chunk(row, document)
    return Hit(chunk, score, document.title, place(document, chunk), document.meta)


def place(document: Document, chunk: Chunk) -> str:
    """Where the chunk stands, as one would say it: a page, a line of the file, a record's line, or characters."""
    meta = document.meta
    if pages := meta.get("pages"):
        return f"p. {bisect_right(pages, chunk.start)}"
    if meta.get("format") == "jsonl":
        return f"{meta.get('path')}:{meta.get('line')}"
    if meta.get("format") in _LINES:
        return f"line {document.text.count(chr(10), 0, chunk.start) + 1}"
    return f"characters {chunk.start}-{chunk.end}"
