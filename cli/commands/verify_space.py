"""samespace verify-space"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import IndexPath, Json, OtherModel, Wait
from cli.render import emit_json, note, say, table
from cli.verify import rows
from cli.verify.alone import WithoutModel, look_at, or_without
from cli.waiting import waiting

if TYPE_CHECKING:
    from core.encoders import Work


def verify_space(
    index: IndexPath,
    model: OtherModel = None,
    sample: rows.Sample = None,
    seed: rows.Seed = None,
    every: rows.Every = False,
    repair: rows.Repair = False,
    without_model: WithoutModel = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Prove that a model makes vectors of the index's space: identity field by field, then the canaries. Exit 0 or 13.

    --sample and --all look at the index's own vectors, too: foreign ones are named (exit 13), and --repair mends them.
    --without-model says what the vectors alone tell, which is never a proof (exit 1 or 17).

    Example: samespace verify-space sample.index
    """
    from core.config import open_encoder
    from core.index.reader import reading
    from core.pipeline.spaces import index_encoder, read_space
    from core.space.verify import judge, mismatch

    asked = rows.asked(sample, seed, every, repair, wait)
    if without_model:
        look_at(index, json, alone=not asked and model is None)
    opened, record = reading(index, lambda opened: (opened, read_space(opened)))
    work: Work = "documents" if asked else "queries"
    with waiting("embedding the canaries"), or_without(index):
        encoder = open_encoder(model, work) if model else index_encoder(opened, record.model, work)
        verdict = judge(record, encoder)
    if not json:
        theirs = encoder.space.to_json()
        fields = [
            (name, "=" if mine == theirs[name] else "≠", _short(mine), _short(theirs[name]))
            for name, mine in record.space.to_json().items()
        ]
        fields.append(("metric", "=" if record.metric == encoder.metric else "≠", record.metric, encoder.metric))
        table(("field", "", f"index ({record.model.name})", f"model ({encoder.model.name})"), fields)
        say()
        agreement = verdict.agreement
        if "dimension" in verdict.differences:
            say(f"canaries: {agreement.texts} vectors, not to be compared: their lengths differ")
        else:
            figures = f"mean cosine {agreement.mean_cosine:.6f}, worst distance {agreement.worst_distance:.2e}"
            say(f"canaries: {agreement.texts} vectors, {figures} (allowed {agreement.tolerance:g})")
    if not verdict.accepted:
        raise mismatch(verdict, record, str(index))
    found = rows.compare(index, asked, record, encoder, verdict, json) if asked else None
    if json:
        report = {
            "index": str(index),
            "space": record.space.id,
            "identity": record.space.to_json(),
            **verdict.to_json(),
        }
        emit_json("verify-space", {**report, "rows": found.to_json()} if found else report)
    note(f"accepted: {verdict.summary}")


def _short(value: object) -> str:
    text = (
        repr(value) if isinstance(value, str) and (not value or value != value.strip() or "\n" in value) else str(value)
    )
    return text if len(text) <= 40 else f"{text[:16]}…"
