"""Is it the same space? Identity is compared field by field, then behaviour on the canaries; behaviour is the evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder
from core.errors import BackendError, SpaceMismatchError, shell
from core.space.canaries import SHORT, Agreement, compare
from core.space.identity import Space
from core.space.record import SpaceRecord, record_space
from core.types import Finding, Side

if TYPE_CHECKING:  # found only where something differs
    from core.space.diagnose import Diagnosis

PATIENCE = 20.0  # seconds that somebody who only wanted an answer waits for the reason why there is none
_WHAT = {
    "weights": "weights (another model, or another revision of it)",
    "tokenizer": "tokenizer",
    "pooling": "pooling",
    "normalize": "normalisation",
    "max_tokens": "maximum length",
    "dimension": "dimension",
    "query_prompt": "query prompt",
    "passage_prompt": "passage prompt",
    "template": "text template",
    "overflow": "what happens to long texts",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The two comparisons. Where they disagree, behaviour decides, and `summary` says so."""

    model: str
    differences: Mapping[str, tuple[Any, Any]]
    agreement: Agreement
    runtime: str = ""
    diagnosis: Diagnosis | None = None
    now: Mapping[Side, NDArray[np.float32]] = field(default_factory=dict, repr=False)  # the canaries as just embedded

    @property
    def accepted(self) -> bool:
        return self.agreement.agrees and "metric" not in self.differences

    @property
    def summary(self) -> str:
        a = self.agreement
        fields = ", ".join(_WHAT.get(name, name) for name in self.differences)
        if self.accepted and not self.differences:
            return (
                f"the same space: identity equal, {a.texts} canaries agree (worst distance {a.worst_distance:.1e}; "
                f"{self.runtime})"
            )
        if self.agreement.agrees and not self.accepted:
            return f"the canaries agree, but the index compares vectors by another metric: {fields} differ"
        if self.accepted:
            return (
                f"accepted by behaviour: {a.texts} canaries agree (worst distance {a.worst_distance:.1e}), "
                f"although the identity differs in {fields}"
            )
        if "dimension" in self.differences:
            return f"another space: {fields} differ; vectors of another length cannot be compared"
        evidence = f"canaries: mean cosine {a.mean_cosine:.3f}, worst distance {a.worst_distance:.2g} (allowed {a.tolerance:g})"
        if a.worst_length > a.tolerance:
            evidence += f", lengths differ by up to {a.worst_length:.2g} (allowed as much)"
        if not self.differences:
            return f"the identity is equal but the behaviour is not: the model answers differently from when it was recorded; {evidence}"
        return f"another space: {fields} differ; {evidence}"

    def findings(self) -> list[Finding]:
        """One for every field that differs, one for the canaries."""
        found = [
            Finding(
                check=name,
                severity="note" if self.accepted else "error",
                message=f"{_WHAT.get(name, name)} differs",
                details={"index": mine, "model": theirs},
            )
            for name, (mine, theirs) in self.differences.items()
        ]
        word = "agree" if self.accepted else "do not agree"
        message = f"{self.agreement.texts} canary vectors {word}"
        severity = "ok" if self.accepted else "error"
        return [*found, Finding("canaries", severity, message, details=self.agreement.to_json())]  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "summary": self.summary,
            "model": self.model,
            "runtime": self.runtime,
            "differences": {name: {"index": a, "model": b} for name, (a, b) in self.differences.items()},
            "canaries": self.agreement.to_json(),
            "diagnosis": self.diagnosis.to_json() if self.diagnosis else None,
        }


def verify_space(
    record: SpaceRecord, encoder: Encoder, *, short: bool = False, sides: tuple[Side, ...] = ("query", "passage")
) -> Verdict:
    """Compare `encoder` with the space on record. `short` asks only the few short canaries that ride with a query."""
    differences = _differences(record, encoder)
    is_known = not differences or (encoder.space.id in record.equal_spaces and "metric" not in differences)
    count = len(SHORT) if short and is_known else len(record.canaries.texts)
    texts = {side: record.canaries.inputs(encoder.space, side)[:count] for side in sides}
    return _verdict(record, encoder, differences, {side: encoder.embed(texts[side], side) for side in sides})


def _differences(record: SpaceRecord, encoder: Encoder) -> dict[str, tuple[Any, Any]]:
    differences = record.space.differences(encoder.space)
    if ranks_otherwise(record.metric, record.space, encoder.metric, encoder.space):
        differences["metric"] = (record.metric, encoder.metric)
    return differences


def ranks_otherwise(mine: str, here: Space, theirs: str, there: Space) -> bool:
    """Whether two metrics may rank the vectors of two spaces in other ways: those of unit length rank alike by all."""
    return mine != theirs and not (here.normalize and there.normalize)


def _verdict(
    record: SpaceRecord,
    encoder: Encoder,
    differences: Mapping[str, tuple[Any, Any]],
    now: Mapping[Side, NDArray[np.float32]],
) -> Verdict:
    """By the first canaries, as many as `now` has vectors of."""
    stored = {side: record.canaries.vectors(side)[: len(vectors)] for side, vectors in now.items()}
    agreement = compare(stored, now, record.tolerance_of(encoder.runtime_name))
    return Verdict(encoder.model.name, differences, agreement, encoder.runtime_name, now=now)


def judge(
    record: SpaceRecord, encoder: Encoder, *, short: bool = False, sides: tuple[Side, ...] = ("query", "passage")
) -> Verdict:
    """The verdict of the best runtime that agrees, else of the last one that was asked: a runtime that does not prove
    itself is not used, and only what the reference says too is held against the model.

    Another model, which is far away, is not asked again by the slower runtimes.
    """
    while True:
        try:
            verdict = verify_space(record, encoder, short=short, sides=sides)
        except BackendError:  # an engine that starts here and cannot run
            if not encoder.fall_back():
                raise
            continue
        hopeless = verdict.differences and not verdict.agreement.nearly
        if verdict.agreement.agrees or hopeless or not encoder.fall_back():
            return verdict


def prove(encoder: Encoder) -> tuple[SpaceRecord, Verdict]:
    """The record of a model that no index has recorded, and the verdict of the runtime that will be used for it.

    Raises SpaceMismatchError when no runtime of this machine agrees with the reference, and what record_space does.
    """
    record = record_space(encoder)
    verdict = judge(record, encoder)
    if not verdict.accepted:
        raise SpaceMismatchError(
            f"the server gives other vectors for {encoder.model.name!r} than a moment before: {verdict.summary}"
            if encoder.remote
            else f"no runtime of this machine gives the vectors that the reference gave for {encoder.model.name!r}: "
            f"{verdict.summary}",
            fix="an index needs a server that gives one text one vector: choose another, or another model"
            if encoder.remote
            else "install sentence-transformers and torch; if they are, remove the cache folder `canaries` and try again",
            details=verdict.to_json(),
        )
    return record, verdict


def guard(
    record: SpaceRecord,
    encoder: Encoder,
    *,
    path: str,
    short: bool = False,
    sides: tuple[Side, ...] = ("query", "passage"),
) -> Verdict:
    """The verdict when it is accepted. Raises SpaceMismatchError with what differs, the diagnosis, and what to do."""
    verdict = judge(record, encoder, short=short, sides=sides)
    if not verdict.accepted:
        raise mismatch(explained(verdict, record, encoder, PATIENCE), record, path)
    return verdict


def guard_query(
    record: SpaceRecord, encoder: Encoder, query: str, *, path: str, known: bool = False
) -> tuple[Verdict, NDArray[np.float32]]:
    """The verdict when it is accepted, and the query's vector (float32, dimension): the canaries and the query in one call,
    so that a model behind a server can answer for both or for none. All canaries ride along where the identity differs,
    until it was accepted once (`known`). Raises SpaceMismatchError.
    """
    differences = _differences(record, encoder)
    texts = record.canaries.texts if differences and not known else record.canaries.texts[: len(SHORT)]
    vectors = encoder.embed([*texts, query], "query")
    verdict = _verdict(record, encoder, differences, {"query": vectors[:-1]})
    if not verdict.accepted:
        raise mismatch(explained(verdict, record, encoder, PATIENCE), record, path)
    return verdict, vectors[-1]


def explained(verdict: Verdict, record: SpaceRecord, encoder: Encoder, seconds: float = math.inf) -> Verdict:
    """A verdict that is not accepted, with the diagnosis, for which no more than about so many `seconds` are taken."""
    from core.space.diagnose import diagnose

    return replace(verdict, diagnosis=diagnose(record, encoder, seconds))


def mismatch(verdict: Verdict, record: SpaceRecord, path: str) -> SpaceMismatchError:
    same = verdict.model == record.model.name
    message, fixes = verdict.summary, []
    if (found := verdict.diagnosis) is not None:
        message += f". Diagnosis: {found.summary}"
        fixes.append(found.fix)
    if same:
        fixes.append(
            f"the index's model changed under its name: put back the {record.model.name} it was built with, or build "
            "another index beside this one with today's model"
        )
    else:
        fixes.append(
            f"leave --model out (the index's own is {record.model.name}), or build another index with this model: "
            f"samespace build FOLDER --to NEW.index --model {shell(verdict.model)}"
        )
    return SpaceMismatchError(message, path=path, fix="; ".join(fixes), details=verdict.to_json())
