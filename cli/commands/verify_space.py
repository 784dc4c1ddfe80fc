"""samespace verify-space"""

from __future__ import annotations

from cli.options import BaseUrl, IndexPath, Json, OtherModel, named_model
from cli.render import emit_json, note, say, table
from cli.waiting import waiting


def verify_space(index: IndexPath, model: OtherModel = None, base_url: BaseUrl = None, json: Json = False) -> None:
    """Prove that a model makes vectors of the index's space: identity field by field, then the canaries. Exit 0 or 13.

    Example: samespace verify-space sample.index
    """
    from core.index.reader import reading
    from core.pipeline.spaces import asked_encoder, read_space
    from core.space.verify import judge, mismatch

    opened, record = reading(index, lambda opened: (opened, read_space(opened)))
    with waiting("embedding the canaries"):
        named = named_model(model, None, base_url, None)
        encoder = asked_encoder(opened, record.model, work="queries", **named)
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
