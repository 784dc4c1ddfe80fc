"""samespace verify-space"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.foreign_vectors import (
    Asked,
    Collection,
    Column,
    Format,
    Identify,
    Sample,
    Seed,
    TextsFile,
    Vectors,
    answer_foreign,
)
from cli.options import Json, OtherModel
from cli.render import emit_json, note, say, table
from cli.waiting import waiting


def verify_space(
    index: Annotated[
        Path | None, typer.Argument(metavar="INDEX", help="The index directory.", show_default=False)
    ] = None,
    model: OtherModel = None,
    vectors: Vectors = None,
    texts: TextsFile = None,
    identify: Identify = False,
    format: Format = None,
    collection: Collection = None,
    column: Column = None,
    sample: Sample = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Prove that a model makes vectors of the index's space: identity field by field, then the canaries. Exit 0 or 13.

    With --vectors, that a model made the vectors of another tool: a sample of the texts is embedded again and compared.
    Exit 0 or 13; with --identify 0 when one is found, 1 when it is none of them. Nothing is written, no pickle is read.

    Example: samespace verify-space sample.index
    """
    asked = Asked(vectors, texts, identify, format, collection, column, sample, seed)
    asked.check(index)
    if index is None:
        answer_foreign(asked, model, json)
    else:
        _verify_index(index, model, json)


def _verify_index(index: Path, model: str | None, json: bool) -> None:
    from core.config import open_encoder
    from core.index.reader import reading
    from core.pipeline.spaces import index_encoder, read_space
    from core.space.verify import judge, mismatch

    opened, record = reading(index, lambda opened: (opened, read_space(opened)))
    with waiting("embedding the canaries"):
        encoder = open_encoder(model) if model else index_encoder(opened, record.model, "queries")
        verdict = judge(record, encoder)
    if json and verdict.accepted:
        emit_json(
            "verify-space",
            {"index": str(index), "space": record.space.id, "identity": record.space.to_json(), **verdict.to_json()},
        )
    elif not json:
        theirs = encoder.space.to_json()
        rows = [
            (name, "=" if mine == theirs[name] else "≠", _short(mine), _short(theirs[name]))
            for name, mine in record.space.to_json().items()
        ]
        rows.append(("metric", "=" if record.metric == encoder.metric else "≠", record.metric, encoder.metric))
        table(("field", "", f"index ({record.model.name})", f"model ({encoder.model.name})"), rows)
        say()
        agreement = verdict.agreement
        if "dimension" in verdict.differences:
            say(f"canaries: {agreement.texts} vectors, not to be compared: their lengths differ")
        else:
            figures = f"mean cosine {agreement.mean_cosine:.6f}, worst distance {agreement.worst_distance:.2e}"
            say(f"canaries: {agreement.texts} vectors, {figures} (allowed {agreement.tolerance:g})")
    if not verdict.accepted:
        raise mismatch(verdict, record, str(index))
    note(f"accepted: {verdict.summary}")


def _short(value: object) -> str:
    text = (
        repr(value) if isinstance(value, str) and (not value or value != value.strip() or "\n" in value) else str(value)
    )
    return text if len(text) <= 40 else f"{text[:16]}…"
