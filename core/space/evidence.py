"""What was learnt of a space after its index was made: measured tolerances, and that another model gives equal vectors.

Each piece is a file of its own, written once and named by a new generation; nothing on the record changes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from core.canonical import canonical
from core.encoders import Model
from core.errors import CorruptError
from core.space.canaries import LEAST
from core.space.identity import MOST_TOLERANCE

KINDS = ("tolerances", "attestations")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Of one runtime ("openvino, bfloat16"): `noise` is the furthest that honest variation moved a canary, `harm` the least
    that a change which costs a twentieth of the top ten (`nearest`) moved one, `tolerance` lies between; all 1 - cosine.
    """

    runtime: str
    noise: float
    harm: float
    nearest: str
    tolerance: float

    @property
    def margin(self) -> float:
        """How many times the nearest harm lies beyond what is allowed."""
        return self.harm / self.tolerance


@dataclass(frozen=True, slots=True)
class Tolerances:
    created: str
    tool: str
    variations: int
    runtimes: tuple[Tolerance, ...]

    def to_bytes(self) -> bytes:
        return canonical({"kind": "tolerances", **asdict(self)}) + b"\n"


@dataclass(frozen=True, slots=True)
class Attestation:
    """That the vectors of `model`, whose space has the id `space`, are equal to the index's: by so many canaries and
    sampled chunks, none further off than `worst_distance`.
    """

    created: str
    tool: str
    model: Model
    space: str
    runtime: str
    canaries: int
    sampled: int
    worst_distance: float
    tolerance: float

    def to_bytes(self) -> bytes:
        return canonical({"kind": "attestations", **asdict(self), "model": self.model.to_json()}) + b"\n"


def evidence_name(space: str, kind: str, generation: int) -> str:
    return f"spaces/{space}/{kind}/{generation:06d}"


def find_evidence(space: str, kind: str, files: Iterable[str]) -> list[str]:
    """The names of the evidence of one kind among `files`, the oldest first."""
    return sorted(name for name in files if name.startswith(f"spaces/{space}/{kind}/"))


def read_tolerances(data: bytes, path: str) -> Tolerances:
    """Raises CorruptError."""

    def read(value: Mapping[str, Any]) -> Tolerances:
        runtimes = tuple(Tolerance(**runtime) for runtime in value["runtimes"])
        for one in runtimes:
            numbers = (one.noise, one.harm, one.tolerance)
            if not all(isinstance(text, str) for text in (one.runtime, one.nearest)):
                raise TypeError("a tolerance is not of its type")
            if not all(isinstance(number, float | int) and math.isfinite(number) for number in numbers):
                raise TypeError("a tolerance is no number")
            if not 0 <= one.noise < one.tolerance < one.harm or one.tolerance > MOST_TOLERANCE:
                raise ValueError("a tolerance cannot be")
        if not runtimes:
            raise ValueError("nothing was measured")
        return Tolerances(str(value["created"]), str(value["tool"]), int(value["variations"]), runtimes)

    return _read(data, path, "tolerances", read)


def read_attestation(data: bytes, path: str) -> Attestation:
    """Raises CorruptError."""

    def read(value: Mapping[str, Any]) -> Attestation:
        model = value["model"]
        texts = (model["name"], model["provider"], model.get("location", ""), value["space"], value["runtime"])
        if not all(isinstance(text, str) for text in (*texts, *model.get("languages", ()))):
            raise TypeError("a field is not of its type")
        if not isinstance(model.get("languages", []), list) or not isinstance(model.get("why", ""), str):
            raise TypeError("a field is not of its type")
        if not isinstance(model.get("options", {}), dict) or not isinstance(model.get("revision"), str | None):
            raise TypeError("a field is not of its type")
        counts, figures = (value["canaries"], value["sampled"]), (value["worst_distance"], value["tolerance"])
        if not all(type(count) is int and count >= LEAST for count in counts[:1]) or type(counts[1]) is not int:
            raise ValueError("its canaries are too few")
        if counts[1] < 0 or not all(isinstance(one, float | int) and math.isfinite(one) for one in figures):
            raise ValueError("its figures cannot be")
        if not figures[0] <= figures[1] <= MOST_TOLERANCE:
            raise ValueError("it attests to vectors that are not equal")
        return Attestation(
            str(value["created"]),
            str(value["tool"]),
            Model.from_json(model),
            value["space"],
            value["runtime"],
            int(value["canaries"]),
            int(value["sampled"]),
            float(value["worst_distance"]),
            float(value["tolerance"]),
        )

    return _read(data, path, "attestations", read)


def _read(data: bytes, path: str, kind: str, read: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        value = json.loads(data)
        if value.pop("kind") != kind:
            raise ValueError("it is of another kind")
        return read(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CorruptError(
            f"the evidence of the space is damaged ({error})", path=path, fix="restore it from a copy, or roll back"
        ) from error
