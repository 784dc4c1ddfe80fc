"""`verify-space --adopt` and `--measure`: evidence that is kept with the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.progress import progress
from cli.render import emit_json, note, say, table
from core.errors import UsageError

Adopt = Annotated[
    bool,
    typer.Option(
        "--adopt", help="Accept --model for good, when its vectors are equal: canaries and a sample of chunks."
    ),
]
Measure = Annotated[
    bool,
    typer.Option("--measure", help="Measure what honest runtimes and harmful changes do, and keep the tolerances."),
]


def adopt_model(
    index: Path, model: Mapping[str, Any], sample: int | None, seed: int | None, wait: float, json: bool
) -> None:
    """Raises UsageError, SpaceMismatchError."""
    from core.pipeline.adopt import SAMPLE, adopt

    if model["model"] is None and model["base_url"] is None:
        raise UsageError(
            "there is no model to adopt",
            fix="name it: samespace verify-space INDEX --model NAME --adopt, or where it is served: --base-url URL",
        )
    with progress() as bar:
        done = adopt(index, **model, sample=sample or SAMPLE, seed=seed or 0, wait=wait, progress=bar)
    if json:
        value = {
            "index": str(index),
            "adopted": done.published,
            "generation": done.generation.generation,
            "attestation": {**asdict(done.attestation), "model": done.attestation.model.to_json()},
            "rows": done.sample.to_json(),
            **done.verdict.to_json(),
        }
        emit_json("verify-space", value)
        return
    say(f"canaries  {done.verdict.agreement.texts} agree (worst distance {done.verdict.agreement.worst_distance:.1e})")
    say(f"chunks    {done.sample.summary}")
    if done.published:
        note(f"adopted in generation {done.generation.generation}; samespace rollback takes it back")
    else:
        note("nothing to adopt: it is the index's model already")


def measure_tolerances(index: Path, wait: float, json: bool) -> None:
    """Raises SpaceMismatchError, InconclusiveError."""
    from core.pipeline.measure import HARM, measure

    with progress() as bar:
        done = measure(index, wait=wait, progress=bar)
    runtimes = done.tolerances.runtimes
    if json:
        curve = [{"noise": level, "moved": moved, "overlap": overlap} for level, moved, overlap in done.curve]
        value = {"generation": done.generation.generation, "curve": curve, "variations": done.tolerances.variations}
        emit_json("verify-space", {"index": str(index), **value, "tolerances": [asdict(one) for one in runtimes]})
        return
    rows = [
        (one.runtime, f"{one.noise:.1e}", f"{one.harm:.1e}", f"{one.tolerance:.1e}", f"{one.margin:.1f}", one.nearest)
        for one in runtimes
    ]
    table(("runtime", "noise", "harm", "allowed", "margin", "nearest harm"), rows)
    say()
    say(
        f"noise: the furthest of {done.tolerances.variations:,} honest vectors; harm: the least that a change moved the"
    )
    say(f"canaries which left less than {HARM:.0%} of the ten nearest. Both are 1 - cosine.")
    note(f"kept with generation {done.generation.generation}")
