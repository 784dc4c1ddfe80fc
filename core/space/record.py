"""What an index keeps of its space: space.json and the canaries' vectors beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.cache import cache_folder, keep
from core.canonical import canonical, digest
from core.encoders import Encoder, Model
from core.errors import BackendError, CorruptError, MissingError
from core.index.columns import Column, Table, concatenate, write_columns
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
    """The record of a new index's space: the reference embeds every canary, both ways, and `encoder` has to agree later.

    The reference takes seconds to start, so what it said is kept in the user's cache, by space and versions. Where it is
    not installed, float32 by NumPy stands for it, and the record says so. Raises BackendError for vectors that are no
    numbers or not of the space's dimension: no model would agree with them. What a server said is not kept.
    """
    texts = canary_texts(encoder.space.max_tokens)
    reference = encoder.reference()
    runtime = reference.runtime()
    # A server may have another model under the name since: what it said earlier says nothing.
    known = None if encoder.remote else _known_canaries(reference, texts, runtime)
    try:
        canaries = known or embed_canaries(reference, texts)
    except MissingError:  # it is installed and cannot be imported
        if not reference.fall_back():
            raise
        runtime = reference.runtime()
        canaries = embed_canaries(reference, texts)
    wanted = (len(canaries.texts), encoder.space.dimension)
    for vectors in (canaries.query, canaries.passage):
        if vectors.shape != wanted or not np.isfinite(vectors).all():
            raise BackendError(
                f"the model {encoder.model.name!r} gave vectors that are no numbers or not of {wanted[1]} dimensions",
                fix="check the model's files, or choose another model; nothing was recorded",
            )
    if known is None and not encoder.remote:
        keep(_canaries_file(reference, texts, runtime), [_kept(canaries)])
    return SpaceRecord(encoder.space, encoder.metric, encoder.model, runtime, TOLERANCE, canaries)


def _canaries_file(reference: Encoder, texts: Sequence[str], runtime: Mapping[str, str]) -> Path:
    key = digest({"space": reference.space.id, "texts": list(texts), "runtime": dict(runtime)})
    return cache_folder() / "canaries" / f"{reference.space.id}-{key[:16]}"


def _kept(canaries: Canaries) -> bytes:
    """Their vectors, with a digest of them: a damaged file of the cache must not speak for the reference."""
    columns: dict[str, Column] = {"query": canaries.query, "passage": canaries.passage}
    sha256 = hashlib.sha256(canaries.query.tobytes() + canaries.passage.tobytes()).hexdigest()
    return concatenate(write_columns(columns, {"sha256": sha256}))


def _known_canaries(reference: Encoder, texts: tuple[str, ...], runtime: Mapping[str, str]) -> Canaries | None:
    """What the reference said earlier on this machine."""
    path = _canaries_file(reference, texts, runtime)
    try:
        table = Table(path)
        known = Canaries(texts, table.array("query", "<f4", 2), table.array("passage", "<f4", 2))
        return known if path.read_bytes() == _kept(known) else None
    except (OSError, CorruptError):
        return None


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
