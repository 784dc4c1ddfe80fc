"""samespace stats"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from cli.options import IndexPath, Json, Quiet
from cli.render import emit_json, fields, say, table

if TYPE_CHECKING:
    from core.stats import Spread


def stats(index: IndexPath, quiet: Quiet = False, json: Json = False) -> None:
    """Count what an index holds: documents, chunks, terms, tokens, and bytes by kind. Loads no model.

    Example: samespace stats sample.index
    """
    from core.language import in_words
    from core.stats import stats as count

    found = count(index)
    if json:
        emit_json("stats", {"index": str(index), **asdict(found)})
        return
    chunk_tokens, characters = _spread(found.chunk_tokens), _spread(found.chunk_characters)
    age = f", {_age(found.age)} ago" if found.age is not None else ""
    fields(
        [
            ("generation", f"{found.generation} of {found.created}{age}"),
            ("documents", f"{found.documents:,}; of those stored, {100 * found.dead:.1f} % are dead"),
            ("chunks", f"{found.chunks:,}"),
            ("  in tokens", chunk_tokens),
            ("  in characters", characters),
            ("words", f"{found.tokens:,} tokens of {found.terms:,} terms"),
            ("vectors", f"{found.dimension} dimensions"),
            *([("languages", in_words(found.languages))] if found.languages else []),
            *((f"source {name}", f"{documents:,} documents") for name, documents in found.sources.items()),
            ("bytes", f"{sum(found.bytes.values()):,}"),
            *((f"  {kind}", f"{size:,}") for kind, size in found.bytes.items() if size),
        ]
    )
    say()
    rows = [
        (s.name, f"{s.live_documents:,} of {s.documents:,}", f"{s.live_chunks:,} of {s.chunks:,}", f"{s.size:,}")
        for s in found.segments
    ]
    table(["segment", "live documents", "live chunks", "bytes"], rows)


def _spread(spread: Spread) -> str:
    return f"mean {spread.mean:,.1f}, median {spread.median:,.0f}, longest {spread.max:,}"


def _age(seconds: int) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}"
    return f"{seconds} s"
