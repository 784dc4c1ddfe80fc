"""Options and results of `eval --at-least` and `--not-below`: what has to be reached, and exit 1 where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.render import complain, note, number, visible
from core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from core.evaluate.gates import Baseline, Gate, GateResult

AtLeast = Annotated[
    list[str] | None,
    typer.Option(
        "--at-least",
        metavar="METRIC=VALUE",
        help="Exit 1 where the metric is lower, e.g. nDCG@10=0.60; may be given several times.",
        show_default=False,
    ),
]
NotBelow = Annotated[
    Path | None,
    typer.Option(
        "--not-below",
        metavar="FILE",
        help="Exit 1 where a metric is lower than in this baseline: what `eval --json` printed on the same collection.",
    ),
]
Tolerance = Annotated[
    float, typer.Option("--tolerance", help="How much lower than the baseline is still enough.", min=0.0, max=1.0)
]


@dataclass(frozen=True, slots=True)
class Gates:
    """What was asked for, read before anything is measured."""

    at_least: tuple[Gate, ...]
    baseline: Baseline | None
    path: Path | None
    tolerance: float

    @property
    def metrics(self) -> list[str]:
        """The names that have to be measured for it."""
        return [*(gate.metric for gate in self.at_least), *(self.baseline.metrics if self.baseline else ())]

    def check(self, metrics: Mapping[str, float], collection: Mapping[str, Any]) -> list[GateResult]:
        """Raises UsageError for a baseline of another collection, and for a metric that was not measured."""
        from core.evaluate.gates import baseline_gates, check_gates

        gates = list(self.at_least)
        if self.baseline is not None and self.path is not None:
            gates += baseline_gates(self.baseline, self.path, collection, self.tolerance)
        return check_gates(gates, metrics)


def asked_gates(at_least: list[str] | None, not_below: Path | None, tolerance: float) -> Gates:
    """Raises UsageError for what is no gate and no baseline."""
    from core.evaluate.gates import parse_gate, read_baseline

    if tolerance and not_below is None:
        raise UsageError("--tolerance belongs to a baseline", fix="add --not-below FILE")
    baseline = None if not_below is None else read_baseline(not_below)
    return Gates(tuple(map(parse_gate, at_least or ())), baseline, not_below, tolerance)


def gates_json(results: list[GateResult]) -> list[dict[str, Any]]:
    return [
        {
            "metric": result.gate.metric,
            "wanted": result.gate.wanted,
            "got": result.got,
            "passed": result.passed,
            "source": result.gate.source,
        }
        for result in results
    ]


def say_gates(gates: Gates, results: list[GateResult], space: str | None) -> None:
    """On stderr what failed, and of what the baseline is. Raises Exit 1 where something did."""
    failed = [result for result in results if not result.passed]
    for result in failed:
        gate, digits = result.gate, 4 if abs(result.got - result.gate.wanted) >= 1e-4 else 9
        complain(
            f"{visible(gate.metric)} is {result.got:.{digits}f}, wanted at least {gate.wanted:.{digits}f} "
            f"({visible(gate.source)})"
        )
    known = gates.baseline
    if known is not None and (failed or known.space != space):
        where = f"{known.index}, generation {known.generation}, space {known.space}" if known.index else "a run file"
        note(f"the baseline is of {visible(where)}{'' if known.space == space else '; this is another space'}")
    if results and not failed:
        note(f"{len(results)} of {len(results)} gates passed")
    if failed:
        raise typer.Exit(int(ExitCode.NO))


def differences_line(mean: float, low: float, high: float, p: float) -> tuple[str, str, str]:
    """A difference, its interval and its p as the cells of a table."""
    return f"{mean:+.4f}", f"{low:+.4f} … {high:+.4f}", number(p)
