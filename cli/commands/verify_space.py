"""samespace verify-space"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BaseUrl, Json, OtherModel, Wait, named_model
from cli.verify import evidence, foreign, rows
from cli.verify.against import Against, verify_against
from cli.verify.alone import WithoutModel, look_at
from cli.verify.explain import Explain
from cli.verify.model import verify_model
from core.errors import UsageError


def verify_space(
    index: Annotated[
        Path | None, typer.Argument(metavar="INDEX", help="The index directory.", show_default=False)
    ] = None,
    model: OtherModel = None,
    base_url: BaseUrl = None,
    explain: Explain = False,
    sample: rows.Sample = None,
    seed: rows.Seed = None,
    every: rows.Every = False,
    repair: rows.Repair = False,
    without_model: WithoutModel = False,
    against: Against = None,
    adopt: evidence.Adopt = False,
    measure: evidence.Measure = False,
    vectors: foreign.Vectors = None,
    texts: foreign.TextsFile = None,
    identify: foreign.Identify = False,
    format: foreign.Format = None,
    collection: foreign.Collection = None,
    column: foreign.Column = None,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Prove that a model makes vectors of the index's space: identity field by field, then the canaries. Exit 0 or 13.

    --sample and --all look at the index's own vectors, too: foreign ones are named (exit 13), and --repair mends them.
    --without-model says what the vectors alone tell, which is never a proof (exit 1 or 17).

    With --vectors, that a model made the vectors of another tool: a sample of the texts is embedded again and compared.
    Exit 0 or 13; with --identify 0 when one is found, 1 when it is none of them. Nothing is written, no pickle is read.

    Example: samespace verify-space sample.index
    """
    ways = {
        "--vectors": vectors is not None,
        "--against": against is not None,
        "--adopt": adopt,
        "--measure": measure,
        "--without-model": without_model,
        "--all": every,
    }
    if len(asked := [name for name, is_asked in ways.items() if is_asked]) > 1:
        raise UsageError(f"{' and '.join(asked)} are different questions", fix="ask one at a time")
    others = foreign.Asked(vectors, texts, identify, format, collection, column, sample, seed)
    others.check(index)
    if index is None:
        foreign.answer_foreign(others, model, json)
    elif against is not None:
        verify_against(index, against, json)
    elif measure:
        evidence.measure_tolerances(index, wait, json)
    elif adopt:
        evidence.adopt_model(index, named_model(model, None, base_url, None), sample, seed, wait, json)
    elif without_model:
        look_at(index, json, alone=sample is None and model is None)
    else:
        named = named_model(model, None, base_url, None)
        verify_model(index, named, explain, rows.asked(sample, seed, every, repair, wait), json)
