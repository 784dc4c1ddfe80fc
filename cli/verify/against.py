"""`verify-space A --against B`: two indexes by their records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.render import emit_json, note
from cli.verify.fields import show_agreement, show_fields

Against = Annotated[
    Path | None,
    typer.Option(
        "--against", metavar="INDEX", help="Compare with another index instead of a model.", show_default=False
    ),
]


def verify_against(index: Path, other: Path, json: bool) -> None:
    """Raises SpaceMismatchError, InconclusiveError."""
    from core.errors import SpaceMismatchError
    from core.pipeline.against import compare_indexes

    pair, here, there = compare_indexes(index, other)
    verdict = pair.verdict
    if not json:
        show_fields(here, there.space, there.metric, str(index), str(other), pair.others)
        show_agreement(verdict)
    if not verdict.accepted:
        raise SpaceMismatchError(
            verdict.summary,
            path=other,
            fix=f"build one of them again with the model of the other: {here.model.name} or {there.model.name}",
            details=pair.to_json(),
        )
    if json:
        emit_json(
            "verify-space", {"index": str(index), "against": str(other), "space": here.space.id, **pair.to_json()}
        )
    note(f"accepted: {verdict.summary}")
    for name in pair.others:
        note(f"the {name} differs, which vectors do not mind: their chunks or words are cut in other ways")
