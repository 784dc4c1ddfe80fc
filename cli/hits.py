"""Hits on a terminal and in JSON; the same for search and rerank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cli.render import one_line, say, terminal_width, visible
from core.types import Hit

_SNIPPET = 280
_NAMED = 3  # documents of near-duplicates


def hit_json(rank: int, hit: Hit) -> dict[str, Any]:
    chunk = hit.chunk
    return {
        "rank": rank,
        "document": chunk.document_id,
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "place": hit.place,
        "title": hit.title,
        "score": hit.score,
        "text": chunk.text,
        "meta": {key: value for key, value in hit.meta.items() if key != "pages"},
        "trail": {
            name: {"score": stage.score, "rank": stage.rank, "weight": stage.weight}
            for name, stage in hit.trail.items()
        },
        "alike": [{"document": document, "ordinal": ordinal} for document, ordinal in hit.alike],
        "ordinals": list(hit.ordinals or [chunk.ordinal]),
    }


def show_hits(hits: Sequence[Hit], query: str, *, explain: bool = False, full: bool = False) -> None:
    """Rank, file, place and score of every hit, then its text."""
    for rank, hit in enumerate(hits, start=1):
        say(f"{rank:>2}. {visible(hit.chunk.document_id)}  {visible(hit.place)}  [{hit.score:.4f}]")
        begins_with_title = hit.chunk.text.lstrip("# ").startswith(hit.title)
        if hit.title and hit.title not in hit.chunk.document_id and not begins_with_title:
            say(f"    {one_line(hit.title)}")
        if explain:
            trail = (f"{n} {s.score:.4f} (rank {s.rank}, weight {s.weight:.2f})" for n, s in hit.trail.items())
            say(f"    {' · '.join(trail)}")
        lines = hit.chunk.text.split("\n") if full else _wrap(snippet(hit.chunk.text, query))
        for line in lines:
            say(f"    │ {visible(line)}")
        if hit.alike:
            say(f"    {_alike(hit)}")
        say()


def _alike(hit: Hit) -> str:
    """`+ 3 alike: a.md, b.md`: the documents of what was folded into the hit."""
    names = list(dict.fromkeys(document for document, _ in hit.alike))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"+ {len(hit.alike)} alike: {visible(', '.join(names[:_NAMED]))}{more}"


def snippet(text: str, query: str) -> str:
    """Up to 280 characters of `text` on one line, around the first word of the query that stands in it."""
    flat = " ".join(text.split())
    if len(flat) <= _SNIPPET:
        return flat
    low = flat.casefold()
    words = sorted((word for word in query.casefold().split()[:50] if len(word) > 1), key=len, reverse=True)
    at = next((position for word in words if (position := low.find(word)) >= 0), 0)
    start = max(0, min(at - _SNIPPET // 3, len(flat) - _SNIPPET))
    if start:
        start = flat.find(" ", start, start + 20) + 1 or start
    end = start + _SNIPPET
    return ("…" if start else "") + flat[start:end].strip() + ("…" if end < len(flat) else "")


def _wrap(text: str) -> list[str]:
    """Lines that fit the terminal; a wide character counts two columns, and Chinese may break anywhere."""
    from rich.cells import get_character_cell_size

    width, lines, line, used = terminal_width() - 6, [], "", 0
    for character in text:
        size = get_character_cell_size(character)
        if used + size > width:
            head, space, tail = line.rpartition(" ")
            whole_word = space and len(tail) <= 20 and tail.isascii() and character.isascii()
            lines.append((head if whole_word else line).rstrip())
            line = tail if whole_word else ""
            used = sum(map(get_character_cell_size, line))
        if line or character != " ":
            line, used = line + character, used + size
    return [*lines, line]
