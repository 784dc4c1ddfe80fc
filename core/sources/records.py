"""BEIR's corpus files: one JSON object a line, with `_id`, `title` and `text`. Files may be larger than memory."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from core.sources import Empty, Unreadable
from core.sources.text import clean
from core.types import Document, Json

VERSION = "1"
_OURS = ("format", "path", "line")


def lines(stream: BinaryIO, limit: int) -> Iterator[bytes | None]:
    """The lines, split at "\\n" alone (texts hold U+2028 and U+0085); None stands for one longer than `limit`."""
    while line := stream.readline(limit + 1):
        if len(line) <= limit or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(limit)
        yield None


def parse(line: bytes, number: int, path: str, source: str) -> Document:
    """The document in a line, the `number`th of `path`. Raises Unreadable for a bad line, Empty for an empty record."""
    record = _object(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
    name, title, text = _id(record), _string(record, "title", optional=True), _string(record, "text")
    if not (title.strip() or text.strip()):
        raise Empty
    others = {key: _cleaned(value) for key, value in record.items() if key not in ("_id", "title", "text")}
    meta = {clean(key): value for key, value in others.items() if _is_scalar(value) and key not in _OURS}
    meta |= {"format": "jsonl", "path": path}
    digest = _digest({"_id": name, "title": title, "text": text, "meta": meta})
    return Document(name, title, text, source, digest, meta | {"line": number})


def _object(line: bytes) -> Json:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeError as error:
        raise Unreadable("not UTF-8") from error
    except (ValueError, RecursionError) as error:  # ValueError: also a number of more digits than Python converts
        raise Unreadable(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise Unreadable("not a JSON object")
    return record


def _id(record: Json) -> str:
    name = record.get("_id")
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    if not isinstance(name, str) or not name:
        raise Unreadable("no _id" if name in (None, "") else "the _id is neither a string nor a whole number")
    if name != clean(name):
        raise Unreadable("the _id holds a line end, a NUL or half a character")
    return name


def _string(record: Json, key: str, optional: bool = False) -> str:
    value = record.get(key)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"no {key}" if value is None else f"the {key} is not a string")
    return clean(value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value))


def _cleaned(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value


def _digest(content: Json) -> str:
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"jsonl/{VERSION}\0{canonical}".encode()).hexdigest()
