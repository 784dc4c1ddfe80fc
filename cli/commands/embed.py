"""samespace embed"""

from __future__ import annotations

from cli.options import BaseUrl, IndexPath, Json, OtherModel, Quiet, Wait, named_model
from cli.progress import progress
from cli.render import emit_json, fields, note, typed


def embed(
    index: IndexPath,
    model: OtherModel = None,
    base_url: BaseUrl = None,
    wait: Wait = 0.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Embed the staged chunks that have no vector yet. Stopped, it goes on where it was.

    Before a vector is written the model must lie in the index's space: canaries are embedded and compared (exit 13).

    Example: samespace embed sample.index
    """
    from core.pipeline.embed import embed as embed_chunks

    with progress() as bar:
        report = embed_chunks(index, **named_model(model, None, base_url, None), wait=wait, progress=bar)
    if json:
        emit_json(
            "embed",
            {
                "index": str(index),
                "chunks": report.chunks,
                "embedded": report.embedded,
                "reused": report.reused,
                "cached": report.cached,
                "truncated": report.truncated,
                "space": report.space,
                "runtime": report.runtime,
                "padding": report.padding,
            },
        )
    else:
        fields(
            [
                ("embed", f"{report.embedded:,} texts embedded, {report.reused:,} known already"),
                ("space", report.space),
            ]
        )
        if report.truncated:
            note(f"{report.truncated:,} texts were longer than the model takes; it saw their beginnings")
        note(f"next: samespace index {typed(index)}")
