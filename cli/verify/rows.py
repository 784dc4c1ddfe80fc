"""Options and results of `verify-space --sample` and `--all`: how much of an index is in its space."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.progress import progress
from cli.render import note, one_line, say, table
from core.errors import UsageError

if TYPE_CHECKING:
    from core.encoders import Encoder
    from core.pipeline.verify_rows import RowsReport
    from core.space.record import SpaceRecord
    from core.space.verify import Verdict

SHOWN = 20  # foreign chunks; --json has them all

Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        help="Embed N chunks again, drawn from every segment and run, and bound the share of foreign ones; with --vectors "
        "and --adopt so many rows.",
        min=1,
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Draw the same sample as before.", min=0, max=(1 << 63) - 1, show_default=False),
]
Every = Annotated[bool, typer.Option("--all", help="Embed every chunk again; interrupted, the next run goes on.")]
Repair = Annotated[
    bool, typer.Option("--repair", help="Embed the foreign chunks that were found anew, into a new generation.")
]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows are to be compared (`sample` None: all of them), and what is to be done about foreign ones."""

    sample: int | None
    seed: int
    repair: bool
    wait: float


def asked(sample: int | None, seed: int | None, every: bool, repair: bool, wait: float) -> Asked | None:
    """None when no rows are to be compared. Raises UsageError for options that do not go together."""
    if sample is None and not every:
        if repair or seed is not None:
            raise UsageError("nothing is to be compared", fix="add --sample N, or --all: every chunk")
        return None
    if sample is not None and every:
        raise UsageError("--sample and --all exclude each other", fix="leave one of them out")
    if every and seed is not None:
        raise UsageError("--all draws nothing, so there is no seed", fix="leave --seed out")
    return Asked(sample, secrets.randbelow(1 << 32) if seed is None else seed, repair, wait)


def compare(
    index: Path, asked: Asked, record: SpaceRecord, encoder: Encoder, verdict: Verdict, quiet: bool
) -> RowsReport:
    """Compare and, unless `quiet` (--json), show the result. Raises what core.pipeline.verify_rows does, and the doubt."""
    from core.pipeline.verify_rows import verify_rows

    with progress() as bar:
        report = verify_rows(
            index,
            record,
            encoder,
            verdict,
            sample=asked.sample,
            seed=asked.seed,
            repair=asked.repair,
            wait=asked.wait,
            progress=bar,
        )
    if not quiet:
        _show(report)
    if (doubt := report.doubt(index)) is not None:
        raise doubt
    return report


def _show(report: RowsReport) -> None:
    found = report.comparison
    say()
    say(found.summary)
    if found.foreign:
        say()
        rows = [
            (
                one_line(row.document),
                row.ordinal,
                row.segment,
                row.run or "?",
                f"{row.cosine:.4f}",
                _why(row.other_text),
            )
            for row in found.foreign[:SHOWN]
        ]
        table(("foreign document", "chunk", "segment", "run", "cosine", ""), rows)
        if len(found.foreign) > SHOWN:
            say(f"and {len(found.foreign) - SHOWN:,} chunks more; --json names them all")
    if report.mended is not None:
        say()
        say(f"mended {report.mended.rows:,} chunks; published generation {report.mended.generation}")
    if found.seed is not None:
        note(f"--seed {found.seed} draws the same sample from the same index again")


def _why(other_text: bool) -> str:
    return "marked as of another text" if other_text else ""
