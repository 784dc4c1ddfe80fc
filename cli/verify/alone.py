"""`verify-space --without-model`: what the vectors tell by themselves. It never ends with 0: that would be read as a proof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli.progress import progress
from cli.render import say, typed
from core.errors import AnswerIsNo, BackendError, InconclusiveError, MissingError, UsageError

WithoutModel = Annotated[
    bool, typer.Option("--without-model", help="Look at the vectors alone: signs of foreign ones, never a proof.")
]


def look_at(index: Path, json: bool, alone: bool) -> NoReturn:
    """Show the findings, and raise what they come to: AnswerIsNo for an error among them, else InconclusiveError."""
    from core.pipeline.alone import look_alone

    if not alone:
        raise UsageError("without a model nothing is compared", fix="leave --model, --sample and --all out")
    with progress() as bar:
        findings = look_alone(index, bar)
    errors = [finding for finding in findings if finding.severity == "error"]
    if not json:
        for finding in findings:
            say(f"{finding.severity:<7}  {finding.message}")
    details = {"index": str(index), "findings": [asdict(finding) for finding in findings]}
    fix = f"put the model back, then: samespace verify-space {typed(index)} --all --repair"
    if errors:
        raise AnswerIsNo(
            f"the vectors are not what one model would make: {errors[0].message}", path=index, fix=fix, details=details
        )
    doubts = sum(finding.severity == "warning" for finding in findings)
    message = (
        f"nothing speaks against the vectors but {doubts} doubts" if doubts else "nothing speaks against the vectors"
    )
    raise InconclusiveError(
        f"{message}, and without the model nothing proves them", path=index, fix=fix, details=details
    )


@contextmanager
def or_without(index: Path) -> Iterator[None]:
    """Where the model is not to be had, the error says what can be done without it."""
    try:
        yield
    except (MissingError, BackendError) as error:
        without = f"without the model: samespace verify-space {typed(index)} --without-model"
        error.fix = f"{error.fix}; {without}" if error.fix else without
        raise
