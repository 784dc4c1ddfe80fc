"""samespace similar"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, unknown_language
from cli.render import emit_json, note, number, one_line, say, table
from cli.waiting import waiting
from core.errors import UsageError


def similar(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="The texts to compare.", show_default=False)],
    index: Annotated[Path | None, typer.Option(metavar="INDEX", help="Use this index's model.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model, where no index is named; else auto.")
    ] = None,
    query: Annotated[bool, typer.Option("--query", help="Embed them as queries; else as passages.")] = False,
    vectors: Annotated[bool, typer.Option("--vectors", help="Print the vectors too.")] = False,
    json: Json = False,
) -> None:
    """Compare texts: cosine, dot product and Euclidean distance of their vectors.

    Example: samespace similar "the bank of the river" "the bank that lends money" "otters dig"
    """
    from core.config import AUTO, choose_model, open_encoder
    from core.index.reader import reading
    from core.pipeline.spaces import index_encoder, read_space
    from core.similar import similar as compare_texts
    from core.space.verify import guard, prove

    if index is not None and model is not None:
        raise UsageError("an index has its own model", fix="leave --model or --index out")
    with waiting("loading the model"):
        if index is not None:
            opened, record = reading(index, lambda opened: (opened, read_space(opened)))
            encoder = index_encoder(opened, record.model, "queries")
            guard(record, encoder, path=str(index), short=True)
        else:
            encoder = open_encoder(choose_model(texts) if model in (None, AUTO) else model)
            prove(encoder)
        result = compare_texts(encoder, texts, "query" if query else "passage")
    if json:
        emit_json(
            "similar",
            {
                "model": encoder.model.name,
                "space": encoder.space.id,
                "texts": texts,
                "cosine": result.cosine.tolist(),
                "dot": result.dot.tolist(),
                "euclidean": result.euclidean.tolist(),
                "vectors": result.vectors.tolist(),
            },
        )
        return
    for row, text in enumerate(texts, start=1):
        say(f"{row}. {one_line(text)[:100]}")
    for name, matrix in (("cosine", result.cosine), ("dot", result.dot), ("euclidean", result.euclidean)):
        say()
        columns = [str(column) for column in range(1, len(texts) + 1)]
        table(
            (name, *columns),
            [(columns[row], *(number(float(value)) for value in line)) for row, line in enumerate(matrix)],
        )
    if warning := unknown_language(texts, encoder.model.name, encoder.model.languages):
        note(warning)
    if vectors:
        for row, vector in enumerate(result.vectors, start=1):
            say(f"\n{row}: " + " ".join(f"{value:.6f}" for value in vector))
