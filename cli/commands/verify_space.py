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
    given = {
        "--model": model is not None, "--base-url": base_url is not None, "--explain": explain,
        "--sample": sample is not None, "--seed": seed is not None, "--all": every, "--repair": repair,
        "--without-model": without_model, "--against": against is not None, "--adopt": adopt, "--measure": measure,
        "--vectors": vectors is not None,
    }  # fmt: skip
    _check_together([name for name, is_given in given.items() if is_given])
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
        look_at(index, json, alone=True)
    else:
        named = named_model(model, None, base_url, None)
        verify_model(index, named, explain, rows.asked(sample, seed, every, repair, wait), json)


# What each question may be asked with; without one of them it is asked of a model and the index.
_WAYS = {
    "--vectors": {"--model", "--sample", "--seed"},
    "--against": set(),
    "--adopt": {"--model", "--base-url", "--sample", "--seed"},
    "--measure": set(),
    "--without-model": set(),
}


def _check_together(given: list[str]) -> None:
    """Raises UsageError for options that do not go together: nothing that was asked is left unanswered."""
    for way, others in _WAYS.items():
        if way in given and (strange := [name for name in given if name != way and name not in others]):
            raise UsageError(f"{way} does not go together with {strange[0]}", fix="ask one question at a time")
