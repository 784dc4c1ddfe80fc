"""What an index keeps of its space: space.json and the canaries' vectors beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.canonical import canonical
from core.encoders import Encoder, Model
from core.errors import BackendError, CorruptError
from core.index.columns import Column, Table
from core.space.canaries import TOLERANCE, Canaries, canary_texts, embed_canaries
from core.space.identity import Space, check_record


@dataclass(frozen=True, slots=True)
class SpaceRecord:
    """Decisive: `space`. Beside it: metric, storage. Evidence: canaries. For people: model, runtime."""

    space: Space
    metric: str
    model: Model
    runtime: Mapping[str, str]
    tolerance: float
    canaries: Canaries

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.space.id,
            "identity": self.space.to_json(),
            "metric": self.metric,
            "storage": {"dtype": "float32", "dimension": self.space.dimension},
            "model": self.model.to_json(),
            "runtime": dict(self.runtime),
            "tolerance": self.tolerance,
            "canaries": list(self.canaries.texts),
        }

    def to_bytes(self) -> bytes:
        return canonical(self.to_json()) + b"\n"

    def columns(self) -> dict[str, Column]:
        return {"query": self.canaries.query, "passage": self.canaries.passage}


def record_space(encoder: Encoder) -> SpaceRecord:
    """The record of a new index's space: the encoder embeds every canary, both ways.

    Raises BackendError for vectors that are no numbers or not of the space's dimension: no model would agree with them.
    """
    canaries = embed_canaries(encoder, canary_texts(encoder.space.max_tokens))
    wanted = (len(canaries.texts), encoder.space.dimension)
    for vectors in (canaries.query, canaries.passage):
        if vectors.shape != wanted or not np.isfinite(vectors).all():
            raise BackendError(
                f"the model {encoder.model.name!r} gave vectors that are no numbers or not of {wanted[1]} dimensions",
                fix="check the model's files, or choose another model; nothing was recorded",
            )
    return SpaceRecord(encoder.space, encoder.metric, encoder.model, encoder.runtime(), TOLERANCE, canaries)


def read_record(data: bytes, table: Table, path: str) -> SpaceRecord:
    """Raises CorruptError when the parts are damaged, do not fit one another, or the id is not that of the identity."""
    try:
        value = json.loads(data)
        space = Space.from_json(value["identity"])
        texts = tuple(value["canaries"])
        query, passage = table.array("query", "<f4", 2), table.array("passage", "<f4", 2)
        check_record(value)
        if value["id"] != space.id or not query.shape == passage.shape == (len(texts), space.dimension):
            raise ValueError("its parts do not fit one another")
        return SpaceRecord(
            space,
            value["metric"],
            Model.from_json(value["model"]),
            value["runtime"],
            float(value["tolerance"]),
            Canaries(texts, query, passage),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptError(
            f"the record of the space is damaged ({error})", path=path, fix="restore it from a copy"
        ) from error
