"""samespace index"""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Ann, IndexPath, Json, Quiet, Wait
from cli.progress import progress
from cli.render import emit_json, fields, note, typed


def index(
    index: IndexPath,
    ann: Ann = None,
    self_contained: Annotated[
        bool | None,
        typer.Option(
            "--self-contained/--no-self-contained",
            help="Put the encoder into the index, so that it answers where neither the model nor torch is.",
            show_default=False,
        ),
    ] = None,
    wait: Wait = 0.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Publish what is staged as a new generation: all of it at once, or nothing.

    Example: samespace index sample.index
    """
    from core.pipeline.index import index as publish_index

    with progress() as bar:
        report = publish_index(index, ann=ann, self_contained=self_contained, wait=wait, progress=bar)
    if json:
        emit_json(
            "index",
            {
                "index": str(index),
                "published": report.published,
                "generation": report.generation,
                "documents": report.documents,
                "chunks": report.chunks,
                "recall": dict(report.recall),
                "encoder": report.encoder,
                "notes": list(report.notes),
            },
        )
        return
    word = "published" if report.published else "nothing changed:"
    fields(
        [("index", f"{word} generation {report.generation}, {report.documents:,} documents, {report.chunks:,} chunks")]
    )
    for segment, recall in report.recall.items():
        fields([("hnsw", f"segment {segment}: recall@10 {recall:.3f} against exact search")])
    for line in report.notes:
        note(line)
    if report.encoder:
        fields([("encoder", f"self-contained: {report.encoder:,} bytes of the model are in the index")])
    if report.published:
        note(f"next: samespace search {typed(index)} 'what you look for'")
