"""samespace diff"""

from __future__ import annotations

import json as _json
from collections.abc import Sequence

from cli.options import GenerationWord, IndexPath, Json, Quiet
from cli.render import emit_json, fields, say, visible

MOST = 50  # ids of a kind that people are shown


def diff(index: IndexPath, old: GenerationWord, new: GenerationWord, quiet: Quiet = False, json: Json = False) -> None:
    """Say what changed from one generation to another: documents, sources, settings, model, views.

    Example: samespace diff sample.index 1 current
    """
    from core.history import diff as compare
    from core.index.kept import number_of

    found = compare(index, number_of(index, old), number_of(index, new))
    changes = found.changes
    kinds = {"added": changes.added, "changed": changes.changed, "removed": changes.removed}
    if json:
        emit_json(
            "diff",
            {
                "index": str(index),
                "from": found.old,
                "to": found.new,
                **{kind: list(ids) for kind, ids in kinds.items()},
                "unchanged": changes.unchanged,
                "differences": {name: list(pair) for name, pair in found.differences.items()},
            },
        )
        return
    counts = ", ".join(f"{len(ids):,} {kind}" for kind, ids in kinds.items())
    rows = [("generations", f"{found.old} → {found.new}"), ("documents", f"{counts}, {changes.unchanged:,} unchanged")]
    for name, (before, after) in found.differences.items():
        rows.append((name, f"{_text(before)} → {_text(after)}"))
    fields(rows)
    for kind, ids in kinds.items():
        _show(kind, ids)


def _show(kind: str, ids: Sequence[str]) -> None:
    for id in ids[:MOST]:
        say(f"{kind:<7}  {visible(id)}")
    if len(ids) > MOST:
        say(f"{kind:<7}  … and {len(ids) - MOST:,} more (--json lists all)")


def _text(value: object) -> str:
    return _json.dumps(value, ensure_ascii=False, sort_keys=True)
