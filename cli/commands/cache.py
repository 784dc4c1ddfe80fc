"""samespace cache"""

from __future__ import annotations

import re
from typing import Annotated

import typer

from cli.options import Json
from cli.render import emit_json, fields, table
from core.errors import UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@app.callback()
def cache() -> None:
    """What this machine keeps beside the indexes, to be faster: show it, make it smaller.

    Example: samespace cache stats
    """


@app.command()
def stats(json: Json = False) -> None:
    """What the cache holds, by kind. All of it can be made again.

    Example: samespace cache stats
    """
    from core.caches import stats as cache_stats

    found = cache_stats()
    if json:
        kinds = [{"name": k.name, "what": k.what, "files": k.files, "size": k.size} for k in found.kinds]
        emit_json(
            "cache",
            {"folder": str(found.folder), "size": found.size, "embeddings_limit": found.limit, "kinds": kinds},
        )
        return
    fields([("cache", found.folder), ("size", f"{found.size:,} bytes")])
    if found.kinds:
        table(
            ("kind", "files", "bytes", "what"), [(k.name, f"{k.files:,}", f"{k.size:,}", k.what) for k in found.kinds]
        )


@app.command()
def prune(
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="SIZE", help="Embeddings to keep at most: bytes, or 500M, 2G.")
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", metavar="DAYS", help="What was not used for so long goes.", min=0, max=36_500),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of it goes, models made from packages too.")] = False,
    json: Json = False,
) -> None:
    """Make the cache smaller. Embeddings that were not used for longest go first.

    Example: samespace cache prune --max-size 1G
    """
    from core.caches import prune as prune_cache
    from core.caches import stats as cache_stats

    freed = prune_cache(size=None if max_size is None else _bytes(max_size), days=older_than, everything=everything)
    left = cache_stats().size
    if json:
        emit_json("cache", {"freed": freed, "size": left})
    else:
        fields([("freed", f"{freed:,} bytes"), ("left", f"{left:,} bytes")])


def _bytes(text: str) -> int:
    """Raises UsageError for what is no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is no size", fix="give bytes, or a number with K, M, G or T: --max-size 500M")
    size = float(match[1]) * _UNITS[match[2]]
    if size >= 1 << 63:
        raise UsageError("no disk has so many bytes", fix="give bytes, or a number with K, M, G or T: --max-size 500M")
    return int(size)
