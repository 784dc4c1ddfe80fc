"""samespace gc"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cli.options import IndexPath, Json, Quiet, Wait
from cli.progress import progress
from cli.render import emit_json, fields, note


def gc(
    index: IndexPath,
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="How many generations stay.", min=1)] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    wait: Wait = 0.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Remove all generations but the newest, and the files that only they needed. Searches beside it go on.

    Example: samespace gc sample.index --keep 3
    """
    from core.index.collect import collect

    with progress() as bar:
        done = collect(index, keep, wait=wait, dry_run=dry_run, progress=bar)
    if json:
        emit_json(
            "gc",
            {
                "index": str(index),
                "dry_run": dry_run,
                "removed": list(done.generations),
                "files": list(done.files),
                "bytes": done.size,
                "kept": list(done.kept),
            },
        )
        return
    which = _names(done.generations) if done.generations else "no generation"
    fields(
        [
            (
                "would remove" if dry_run else "removed",
                f"{which}, {len(done.files):,} other files, {done.size:,} bytes",
            ),
            ("keeps", _names(done.kept)),
        ]
    )
    if dry_run:
        note("nothing was changed (--dry-run)")


def _names(numbers: Sequence[int]) -> str:
    from core.index.kept import in_words

    return f"generation{'s' if len(numbers) > 1 else ''} {in_words(numbers)}"
