"""samespace history"""

from __future__ import annotations

from dataclasses import asdict

from cli.options import IndexPath, Json, Quiet
from cli.render import complain, emit_json, table

_COLUMNS = ("documents", "added", "changed", "removed", "chunks", "segments", "size", "new")


def history(index: IndexPath, quiet: Quiet = False, json: Json = False) -> None:
    """List the generations that are kept: what each holds, and what it changed against the one before it.

    Example: samespace history sample.index
    """
    from core.history import history as entries_of

    entries = entries_of(index)
    if json:
        emit_json("history", {"index": str(index), "generations": [asdict(entry) for entry in entries]})
        return
    rows = []
    for entry in entries:
        figures = (getattr(entry, column) for column in _COLUMNS)
        state = "damaged" if entry.error else "current" if entry.current else ""
        cells = ("-" if figure is None else f"{figure:,}" for figure in figures)
        rows.append([entry.number, entry.created or "-", *cells, entry.tool or "-", state])
    table(["generation", "created", *_COLUMNS, "tool", ""], rows)
    for entry in entries:
        if entry.error:
            complain(f"generation {entry.number}: {entry.error}")
