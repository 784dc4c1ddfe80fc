"""samespace verify-space"""

from __future__ import annotations

from cli.options import IndexPath, Json, OtherModel, Wait
from cli.render import emit_json, note
from cli.verify.against import Against, verify_against
from cli.verify.evidence import Adopt, Measure, adopt_model, measure_tolerances
from cli.verify.explain import Explain, show_explanation, show_tried
from cli.verify.fields import show_agreement, show_fields
from cli.waiting import waiting


def verify_space(
    index: IndexPath,
    model: OtherModel = None,
    against: Against = None,
    explain: Explain = False,
    adopt: Adopt = False,
    measure: Measure = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Prove that a model makes vectors of the index's space: identity field by field, then the canaries. Exit 0 or 13.

    Example: samespace verify-space sample.index
    """
    from core.config import open_encoder
    from core.index.reader import reading
    from core.pipeline.spaces import index_encoder, read_space
    from core.space.explain import explain as explain_figures
    from core.space.verify import explained, judge, mismatch

    if against is not None:
        verify_against(index, against, json)
        return
    if adopt:
        adopt_model(index, model, 300, 0, wait, json)
        return
    if measure:
        measure_tolerances(index, wait, json)
        return
    opened, record = reading(index, lambda opened: (opened, read_space(opened)))
    with waiting("embedding the canaries"):
        encoder = open_encoder(model) if model else index_encoder(opened, record.model, "queries")
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
