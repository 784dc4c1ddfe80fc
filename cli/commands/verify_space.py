"""samespace verify-space"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BaseUrl, Json, OtherModel, Wait
from cli.verify import foreign
from cli.verify.against import Against, verify_against
from cli.verify.evidence import Adopt, Measure, adopt_model, measure_tolerances
from cli.verify.explain import Explain
from cli.verify.model import verify_model


def verify_space(
    index: Annotated[
        Path | None, typer.Argument(metavar="INDEX", help="The index directory.", show_default=False)
    ] = None,
    model: OtherModel = None,
    base_url: BaseUrl = None,
    explain: Explain = False,
    against: Against = None,
    adopt: Adopt = False,
    measure: Measure = False,
    vectors: foreign.Vectors = None,
    texts: foreign.TextsFile = None,
    identify: foreign.Identify = False,
    format: foreign.Format = None,
    collection: foreign.Collection = None,
    column: foreign.Column = None,
    sample: foreign.Sample = None,
    seed: foreign.Seed = None,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Prove that a model makes vectors of the index's space: identity field by field, then the canaries. Exit 0 or 13.

    With --vectors, that a model made the vectors of another tool: a sample of the texts is embedded again and compared.
    Exit 0 or 13; with --identify 0 when one is found, 1 when it is none of them. Nothing is written, no pickle is read.

    Example: samespace verify-space sample.index
    """
    asked = foreign.Asked(vectors, texts, identify, format, collection, column, sample, seed)
    asked.check(index)
    if index is None:
        foreign.answer_foreign(asked, model, json)
    elif against is not None:
        verify_against(index, against, json)
    elif adopt:
        adopt_model(index, model, base_url, 300, 0, wait, json)
    elif measure:
        measure_tolerances(index, wait, json)
    else:
        verify_model(index, model, base_url, explain, json)
