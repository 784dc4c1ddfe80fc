"""Gates: what a metric must reach, by a number or by an earlier evaluation (a baseline: what `eval --json` printed)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError

_ROUNDING = 1e-9
_FIX = "samespace eval INDEX FOLDER --json > baseline.json"


@dataclass(frozen=True, slots=True)
class Gate:
    """`metric` must be at least `wanted`; `source` says who wants it: `--at-least`, or the file of a baseline."""

    metric: str
    wanted: float
    source: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate, what the metric is, and whether that is enough."""

    gate: Gate
    got: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was measured before: of which index, generation and space (None: of a run file), and on which collection."""

    metrics: Mapping[str, float]
    index: str | None
    generation: int | None
    space: str | None
    collection: Mapping[str, Any]


def parse_gate(text: str) -> Gate:
    """`nDCG@10=0.60`. Raises UsageError; whether there is such a metric, the evaluation says."""
    name, _, number = text.rpartition("=")
    try:
        wanted = float(number)
        if not name.strip() or not math.isfinite(wanted):
            raise ValueError("no name, or no number")
    except ValueError as error:
        raise UsageError(f"--at-least {text!r} is no gate", fix="e.g. --at-least 'nDCG@10=0.60'") from error
    return Gate(name.strip(), wanted, "--at-least")


def read_baseline(path: Path) -> Baseline:
    """Raises UsageError for a file that is not there, or is not what `eval --json` prints."""
    if not path.is_file():
        raise UsageError("there is no such baseline", path=path, fix=_FIX)
    try:
        value = json.loads(path.read_bytes())
        if value["schema"] != "samespace/eval/1":
            raise ValueError("another schema")
        metrics = {str(name): float(number) for name, number in value["metrics"].items()}
        if not metrics or not all(map(math.isfinite, metrics.values())):
            raise ValueError("no metrics, or one is no number")
        return Baseline(
            metrics, value.get("index"), value.get("generation"), value.get("space"), dict(value["collection"])
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError("this is no baseline: not the output of `eval --json`", path=path, fix=_FIX) from error


def baseline_gates(baseline: Baseline, path: Path, collection: Mapping[str, Any], tolerance: float) -> list[Gate]:
    """One a metric of the baseline, lowered by `tolerance`. Raises UsageError when it was measured on another collection.

    A digest that one of the two lacks (a run file is measured without the queries' texts) is not compared.
    """
    if not set(baseline.collection) & set(collection):
        raise UsageError("the baseline is of another kind of collection", path=path, fix=_FIX)
    for part, found in collection.items():
        if baseline.collection.get(part, found) != found:
            raise UsageError(
                f"the baseline was measured on other {part} than these: the two cannot be compared",
                path=path,
                fix=f"give the same collection, or make a new baseline: {_FIX}",
            )
    return [Gate(name, wanted - tolerance, str(path)) for name, wanted in baseline.metrics.items()]


def check_gates(gates: Iterable[Gate], metrics: Mapping[str, float]) -> list[GateResult]:
    """Whether `metrics` reach what the gates want. Raises UsageError for a gate of a metric that was not measured."""
    results = []
    for gate in gates:
        if gate.metric not in metrics:
            raise UsageError(
                f"{gate.metric} is not measured here", fix=f"there are: {', '.join(metrics)}; gates name one of them"
            )
        got = metrics[gate.metric]
        results.append(GateResult(gate, got, got >= gate.wanted - _ROUNDING))
    return results
