"""What an index keeps of its space: space.json and the canaries' vectors beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cache import cache_folder, keep
from core.canonical import canonical, digest
from core.encoders import Encoder, Model
from core.errors import BackendError, CorruptError, MissingError
from core.index.columns import Column, Table, concatenate, write_columns
from core.space.canaries import LEAST, SIDES, TOLERANCE, Canaries, canary_texts, embed_canaries
from core.space.identity import Space, check_record
from core.types import Side


@dataclass(frozen=True, slots=True)
class SpaceRecord:
    """Decisive: `space`. Beside it: metric, storage. Evidence: canaries, and what was learnt later: measured `tolerances` by
    runtime, and the ids of `equal_spaces`, whose vectors were found to be equal. For people: model, runtime.
    """

    space: Space
    metric: str
    model: Model
    runtime: Mapping[str, str]
    tolerance: float
    canaries: Canaries
    tolerances: Mapping[str, float] = field(default_factory=dict)
    equal_spaces: frozenset[str] = frozenset()

    def tolerance_of(self, runtime: str) -> float:
        """What is allowed for vectors of this runtime ("openvino, bfloat16"): as measured, else as recorded."""
        return self.tolerances.get(runtime, self.tolerance)

    @property
    def row_tolerance(self) -> float:
        """What is allowed between vectors of the same text that any two of the runtimes made, at different times."""
        return max(self.tolerances.values(), default=self.tolerance)

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
            "contexts": list(self.canaries.contexts),
        }

    def to_bytes(self) -> bytes:
        return canonical(self.to_json()) + b"\n"

    def columns(self) -> dict[str, Column]:
        return canary_columns(self.canaries)


def canary_columns(canaries: Canaries) -> dict[str, Column]:
    columns: dict[str, Column] = {"query": canaries.query, "passage": canaries.passage}
    for side, tokens in canaries.tokens.items():
        columns[f"{side}_tokens"] = np.concatenate(tokens)
        columns[f"{side}_token_ends"] = np.cumsum([len(one) for one in tokens], dtype=np.int64)
    return columns


def read_canaries(table: Table, texts: tuple[str, ...], contexts: tuple[str, ...]) -> Canaries:
    """Raises CorruptError or ValueError when the columns do not fit one another."""
    tokens: dict[Side, tuple[NDArray[np.int32], ...]] = {}
    for side in SIDES:
        if f"{side}_tokens" in table:
            ids, ends = table.array(f"{side}_tokens", "<i4"), table.array(f"{side}_token_ends", "<i8")
            starts = np.concatenate([[0], ends[:-1]])
            if len(ends) != len(texts) or not (starts >= 0).all() or (ends < starts).any() or ends[-1:] != len(ids):
                raise ValueError("the canaries' tokens do not fit their texts")
            tokens[side] = tuple(ids[start:end] for start, end in zip(starts, ends, strict=True))
    return Canaries(texts, table.array("query", "<f4", 2), table.array("passage", "<f4", 2), contexts, tokens)


def record_space(encoder: Encoder) -> SpaceRecord:
    """The record of a new index's space: the reference embeds every canary, both ways, and `encoder` has to agree later.

    The reference takes seconds to start, so what it said is kept in the user's cache, by space and versions. Where it is
    not installed, float32 by NumPy stands for it, and the record says so. Raises BackendError for vectors that are no
    numbers or not of the space's dimension: no model would agree with them. What a server said is not kept.
    """
    texts = canary_texts(encoder)
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


def _canaries_file(reference: Encoder, texts: Mapping[str, str], runtime: Mapping[str, str]) -> Path:
    key = digest({"version": 2, "space": reference.space.id, "texts": list(texts.items()), "runtime": dict(runtime)})
    return cache_folder() / "canaries" / f"{reference.space.id}-{key[:16]}"


def _kept(canaries: Canaries) -> bytes:
    """Their vectors and tokens, with a digest of them: a damaged file of the cache must not speak for the reference."""
    columns = canary_columns(canaries)
    sha256 = hashlib.sha256(b"".join(np.asarray(column).tobytes() for column in columns.values())).hexdigest()
    return concatenate(write_columns(columns, {"sha256": sha256}))


def _known_canaries(reference: Encoder, texts: Mapping[str, str], runtime: Mapping[str, str]) -> Canaries | None:
    """What the reference said earlier on this machine."""
    path = _canaries_file(reference, texts, runtime)
    try:
        known = read_canaries(Table(path), tuple(texts), tuple(texts.values()))
        return known if path.read_bytes() == _kept(known) else None
    except (OSError, ValueError, CorruptError):
        return None


def read_record(data: bytes, table: Table, path: str) -> SpaceRecord:
    """Raises CorruptError when the parts are damaged, do not fit one another, or the id is not that of the identity."""
    try:
        value = json.loads(data)
        space = Space.from_json(value["identity"])
        texts = tuple(value["canaries"])
        check_record(value)
        canaries = read_canaries(table, texts, tuple(value.get("contexts", ())))
        fits = canaries.query.shape == canaries.passage.shape == (len(texts), space.dimension)
        kept = [canaries.query, canaries.passage]
        if len(texts) < LEAST or len(texts) != len(set(texts)):
            raise ValueError("its canaries are too few, or stand twice")
        if not all(np.isfinite(part).all() and (abs(part) < 1e6).all() for part in kept):
            raise ValueError("its canaries are no vectors")
        if value["id"] != space.id or not fits or len(canaries.contexts) not in (0, len(texts)):
            raise ValueError("its parts do not fit one another")
        return SpaceRecord(
            space,
            value["metric"],
            Model.from_json(value["model"]),
            value["runtime"],
            float(value["tolerance"]),
            canaries,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CorruptError(
            f"the record of the space is damaged ({error})", path=path, fix="restore it from a copy"
        ) from error
