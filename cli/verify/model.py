"""`verify-space INDEX`: a model against the record of an index."""

from __future__ import annotations

from pathlib import Path

from cli.options import named_model
from cli.render import emit_json, note
from cli.verify.explain import show_explanation, show_tried
from cli.verify.fields import show_agreement, show_fields
from cli.waiting import waiting


def verify_model(index: Path, model: str | None, base_url: str | None, explain: bool, json: bool) -> None:
    """Raises SpaceMismatchError with the diagnosis."""
    from core.index.reader import reading
    from core.pipeline.spaces import asked_encoder, read_space
    from core.space.explain import explain as explain_figures
    from core.space.verify import explained, judge, mismatch

    opened, record = reading(index, lambda opened: (opened, read_space(opened)))
    with waiting("embedding the canaries"):
        named = named_model(model, None, base_url, None)
        encoder = asked_encoder(opened, record.model, work="queries", **named)
        verdict = judge(record, encoder)
        figures = explain_figures(record, encoder) if explain else None
    if not json:
        show_fields(
            record, encoder.space, encoder.metric, f"index ({record.model.name})", f"model ({encoder.model.name})"
        )
        show_agreement(verdict)
        if figures:
            show_explanation(figures)
    if not verdict.accepted:
        with waiting("looking for what changed"):
            verdict = explained(verdict, record, encoder)
        error = mismatch(verdict, record, str(index))
        if figures:
            error.details["explanation"] = figures.to_json()
            if not json:
                show_tried(error.details["diagnosis"]["tried"])
        raise error
    if json:
        report = {
            "index": str(index),
            "space": record.space.id,
            "identity": record.space.to_json(),
            **verdict.to_json(),
        }
        emit_json("verify-space", {**report, "explanation": figures.to_json()} if figures else report)
    note(f"accepted: {verdict.summary}")
