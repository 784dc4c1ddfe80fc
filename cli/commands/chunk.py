"""samespace chunk"""

from __future__ import annotations

from cli.options import Chunker, IndexPath, Json, Overlap, Quiet, Size, Wait
from cli.progress import progress
from cli.render import emit_json, fields, note, typed


def chunk(
    index: IndexPath,
    chunker: Chunker = None,
    size: Size = None,
    overlap: Overlap = None,
    wait: Wait = 0.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Cut the staged documents into chunks; sizes in tokens of the index's model.

    Example: samespace chunk sample.index --size 200
    """
    from core.pipeline.chunk import chunk as chunk_documents

    with progress() as bar:
        report = chunk_documents(index, chunker=chunker, size=size, overlap=overlap, wait=wait, progress=bar)
    if json:
        emit_json(
            "chunk",
            {
                "index": str(index),
                "documents": report.documents,
                "chunks": report.chunks,
                "chunking": report.chunking,
                "settings": report.settings.to_json(),
            },
        )
    else:
        fields([("chunk", f"{report.chunks:,} chunks of {report.documents:,} documents ({report.settings.text})")])
        note(f"next: samespace embed {typed(index)}")
