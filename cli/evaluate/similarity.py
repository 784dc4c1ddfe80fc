"""`eval --sts`: a model against people's scores of pairs of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.evaluate.gates import Gates, gates_json, say_gates
from cli.render import emit_json, fields, note, number
from cli.waiting import waiting

Sts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Measure the model by pairs instead: TEXT, TEXT, SCORE a line, by tabs."),
]


def evaluate_similarity(index: Path | None, model: str | None, path: Path, gates: Gates, json: bool) -> None:
    """Of an index's own model, or of the one that is named. Raises what opening it does, UsageError and InconclusiveError."""
    from core.config import AUTO, choose_model, open_encoder
    from core.evaluate.similarity import correlate, pairs_digest, read_pairs
    from core.index.reader import reading
    from core.pipeline.spaces import asked_encoder, read_space
    from core.space.verify import guard, prove

    pairs = read_pairs(path)
    generation = None
    with waiting("loading the model"):
        if index is not None:
            opened, record = reading(index, lambda opened: (opened, read_space(opened)))
            generation = opened.generation.generation
            encoder = asked_encoder(opened, record.model, model, None, "documents")
            guard(record, encoder, path=str(index), short=True, sides=("query",))
        else:
            texts = [text for pair in pairs for text in (pair.one, pair.other)]
            encoder = open_encoder(choose_model(texts) if model in (None, AUTO) else model, "documents")
            prove(encoder)
        metrics = correlate(encoder, pairs)
    space = encoder.space.id if index is None else opened.view.space
    collection = {"pairs": pairs_digest(pairs)}
    results = gates.check(metrics, collection)
    if json:
        value = {
            "index": None if index is None else str(index),
            "generation": generation,
            "space": space,
            "model": encoder.model.name,
            "pairs": len(pairs),
            "metrics": metrics,
            "collection": collection,
        }
        emit_json("eval", {**value, **({"gates": gates_json(results)} if results else {})})
    else:
        fields([("model", encoder.model.name), ("pairs", len(pairs)), *((n, number(v)) for n, v in metrics.items())])
        if len(pairs) < 30:
            note("few pairs: these numbers say little")
    say_gates(gates, results, space)
