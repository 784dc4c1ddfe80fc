"""`verify-space INDEX`: a model against the record of an index, and against its rows where that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.render import emit_json, note
from cli.verify import rows
from cli.verify.alone import or_without
from cli.verify.explain import show_explanation, show_tried
from cli.verify.fields import show_agreement, show_fields
from cli.waiting import waiting

if TYPE_CHECKING:
    from core.encoders import Work


def verify_model(index: Path, model: Mapping[str, Any], explain: bool, asked: rows.Asked | None, json: bool) -> None:
    """Raises SpaceMismatchError with the diagnosis, or with the foreign rows."""
    from core.index.reader import reading
    from core.pipeline.spaces import asked_encoder, read_space
    from core.space.explain import explain as explain_figures
    from core.space.verify import explained, judge, mismatch

    opened, record = reading(index, lambda opened: (opened, read_space(opened)))
    work: Work = "documents" if asked else "queries"
    with waiting("embedding the canaries"), or_without(index):
        encoder = asked_encoder(opened, record.model, work=work, **model)
        verdict = judge(record, encoder)
        figures = explain_figures(record, encoder) if explain else None
    if not json:
        names = (f"index ({record.model.name})", f"model ({encoder.model.name})")
        show_fields(record, encoder.space, encoder.metric, *names)
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
    found = rows.compare(index, asked, record, encoder, verdict, json) if asked else None
    if json:
        report = {
            "index": str(index),
            "space": record.space.id,
            "identity": record.space.to_json(),
            **verdict.to_json(),
        }
        report |= {"rows": found.to_json()} if found else {}
        report |= {"explanation": figures.to_json()} if figures else {}
        emit_json("verify-space", report)
    note(f"accepted: {verdict.summary}")
