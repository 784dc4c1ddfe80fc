"""Texts beside vectors: JSON lines, or plain lines in a .txt; and which text belongs to which row."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import CorruptError, UsageError
from core.foreign import Foreign, require_file


@dataclass(frozen=True, slots=True)
class Texts:
    """One text a row; `titles` and `ids` are None unless every line has one (a title: any line)."""

    texts: list[str]
    titles: list[str] | None = None
    ids: list[str] | None = None


def read_texts(path: Path) -> Texts:
    """The texts of a file, split at "\\n" alone: in a .txt each line is a text, empty ones too; else each line that is not
    blank is a JSON string or an object with `text` and, where it has them, `_id` or `id` and `title`.

    Raises UsageError when it is no file, CorruptError naming the line that cannot be read.
    """
    require_file(path)
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    plain = path.suffix.lower() == ".txt"
    texts, titles, ids = [], [], []
    for number, line in enumerate(lines, start=1):
        try:
            if plain:
                texts.append(line.removesuffix(b"\r").decode("utf-8"))
            elif line.strip():
                id, title, text = _parse(json.loads(line.decode("utf-8")))
                texts.append(text)
                titles.append(title)
                ids.append(id)
        except (ValueError, RecursionError) as error:  # ValueError: also not UTF-8
            fix = 'a line each: {"_id": "…", "text": "…"} or a JSON string; plain lines in a .txt'
            raise CorruptError(f"line {number} is no text ({error})", path=path, fix=fix) from error
    whole = bool(ids) and None not in ids
    return Texts(texts, titles if any(titles) else None, [str(id) for id in ids] if whole else None)


def _parse(value: Any) -> tuple[str | None, str, str]:
    """The id, title and text of a line. Raises ValueError."""
    if isinstance(value, str):
        return None, "", value
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise ValueError("neither a string nor an object with a text")
    id, title = value.get("_id", value.get("id")), value.get("title") or ""
    if not isinstance(title, str):
        raise ValueError("its title is no string")
    return str(id) if isinstance(id, str | int) else None, title, value["text"]


def pair(foreign: Foreign, texts: Texts, path: Path) -> Foreign:
    """`foreign` with these texts: by id where both sides have the same ones, else line by line in the order of the rows.

    Raises UsageError unless there are as many texts as rows.
    """
    rows = len(foreign.vectors)
    if len(texts.texts) != rows:
        raise UsageError(
            f"{len(texts.texts):,} texts for {rows:,} rows of vectors",
            path=path,
            fix="one text for each row, in the same order or with the same ids",
        )
    order: list[int] = list(range(rows))
    if foreign.ids is not None and texts.ids is not None:
        places = {id: n for n, id in enumerate(texts.ids)}
        if len(places) == rows and set(places) == set(foreign.ids):
            order = [places[id] for id in foreign.ids]
    titles = [texts.titles[n] for n in order] if texts.titles else None
    return replace(foreign, texts=[texts.texts[n] for n in order], titles=titles)
