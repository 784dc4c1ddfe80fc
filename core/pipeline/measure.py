"""How far do honest vectors move, and how near is harm? Tolerances measured on an index's own canaries and rows.

Honest variation: every runtime of this machine, a text alone, among others, and in another order. Harm: noise on the
weights, and settings changed, where that costs a twentieth of the ten nearest. The tolerance lies between, at the geometric
mean: as far from a false alarm as from a miss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder
from core.encoders.altered import Altered, alter
from core.errors import BackendError, InconclusiveError
from core.index.generation import Generation
from core.index.reader import Index, open_index
from core.index.writer import now
from core.pipeline.evidence import publish_evidence
from core.pipeline.spaces import index_encoder, read_space
from core.progress import SILENT, Progress
from core.space.canaries import SHORT, SIDES, Canaries, compare
from core.space.diagnose import POOLINGS
from core.space.evidence import Tolerance, Tolerances
from core.space.identity import MOST_TOLERANCE
from core.space.record import SpaceRecord
from core.space.verify import guard
from core.types import Side
from core.vectors import score
from core.version import VERSION

Floats = NDArray[np.float32]
HARM = 0.95  # overlap of the top ten below which a change is harmful
MARGIN = 2.0  # times that noise and harm must each lie from the tolerance
_QUERIES, _ROWS = 100, 4096
_STEPS = 7  # halvings of the range of noise, in which its level at HARM is looked for
_SEED = 20260131


@dataclass(frozen=True, slots=True)
class Measured:
    """`generation` names the evidence; `curve`: noise on the weights (in standard deviations of each tensor), how far the
    short canaries moved, and the overlap of the top ten, by rising noise.
    """

    generation: Generation
    tolerances: Tolerances
    curve: tuple[tuple[float, float, float], ...]


def measure(root: Path, *, wait: float = 0.0, progress: Progress = SILENT) -> Measured:
    """Measure the tolerances of every runtime that this machine has for the model of the index, and publish them.

    Raises SpaceMismatchError (it is not the index's model), InconclusiveError (noise and harm lie too near, or harm cannot
    be tried on this model), and what publishing raises.
    """
    index = open_index(root)
    record = read_space(index)
    record = replace(record, tolerances={})
    encoder = index_encoder(index, record.model, "queries")
    guard(record, encoder, path=str(root))
    progress.stage("measure", _STEPS + 3)
    harms, curve = _harms(index, record, encoder, progress)
    found: list[Tolerance] = []
    variations = 0
    for work in ("queries", "documents", "reference"):
        for name, noise, count in _noise(record, index_encoder(index, record.model, work)):
            variations += count
            if name not in (one.runtime for one in found):
                found.append(_between(name, noise, *harms))
        progress.advance()
    tolerances = Tolerances(now(), VERSION, variations, tuple(found))
    generation = publish_evidence(
        root, index.generation, "tolerances", tolerances.to_bytes(), wait=wait, progress=progress
    )
    return Measured(generation, tolerances, curve)


def _between(runtime: str, noise: float, harm: float, nearest: str) -> Tolerance:
    """Raises InconclusiveError where the two lie too near to tell them apart."""
    floor = max(noise, 1e-9)  # float32 itself
    tolerance = min(math.sqrt(floor * harm), MOST_TOLERANCE)
    if (
        harm < floor * MARGIN**2 or tolerance < floor * MARGIN
    ):  # the latter where even what no index may exceed is too little
        raise InconclusiveError(
            f"{runtime} moves canaries by {noise:.1e} by itself, and {nearest} by {harm:.1e}: no tolerance tells them apart",
            fix="use a runtime of higher precision; what was allowed before stays as it was",
        )
    return Tolerance(runtime, noise, harm, nearest, tolerance)


def _noise(record: SpaceRecord, encoder: Encoder) -> Iterator[tuple[str, float, int]]:
    """Of every runtime from the best for this work on: its name, the furthest that it moved a canary, and of how many
    vectors."""
    while True:
        worst, count = 0.0, 0
        try:
            for side in SIDES:
                texts = record.canaries.inputs(encoder.space, side)
                stored = record.canaries.vectors(side)
                for found in (
                    encoder.embed(texts, side),
                    encoder.embed(texts[::-1], side)[::-1],
                    np.concatenate([encoder.embed([text], side) for text in texts]),
                    encoder.embed([*texts, *texts], side)[len(texts) :],
                ):
                    agreement = compare({side: stored}, {side: found}, 1.0)
                    worst, count = max(worst, agreement.worst_distance, agreement.worst_length), count + len(texts)
            yield encoder.runtime_name, worst, count
        except BackendError:  # an engine that starts here and cannot run
            pass
        if not encoder.fall_back():
            return


def _harms(
    index: Index, record: SpaceRecord, encoder: Encoder, progress: Progress
) -> tuple[tuple[float, str], tuple[tuple[float, float, float], ...]]:
    """The least that a harmful change moves the canaries that would be asked, and which change that is."""
    plain = alter(encoder, record.space)
    if not isinstance(plain, Altered):
        raise InconclusiveError(
            f"how near harm is cannot be tried on {encoder.model.name!r}: its weights cannot be changed here",
            fix=f"the tolerance on record ({record.tolerance:g}) holds",
        )
    trial = _Trial(index, record, plain)
    found = [(distance, name) for name, distance, overlap in trial.settings(encoder) if overlap < HARM]
    progress.advance()
    low, high, curve = 1e-3, 0.5, []
    for _ in range(_STEPS):
        level = math.sqrt(low * high)
        distance, overlap = trial.noise(encoder, level)
        curve.append((level, distance, overlap))
        low, high = (level, high) if overlap >= HARM else (low, level)
        progress.advance()
    harmful = [
        (distance, f"noise of {level:.3f} on the weights") for level, distance, overlap in curve if overlap < HARM
    ]
    found += [min(harmful)] if harmful else []
    if not found:
        raise InconclusiveError(
            "no change that was tried costs a twentieth of the top ten in this index: it is too small to tell",
            path=index.root,
            fix="measure again when it holds more documents",
        )
    return min(found), tuple(sorted(curve))


class _Trial:
    """The ten nearest of some of the index's own chunks, asked as queries, by a model and by the same one changed."""

    def __init__(self, index: Index, record: SpaceRecord, plain: Altered):
        self._record = record
        rng = np.random.default_rng(_SEED)
        rows = [(segment, row) for segment in index.segments for row in _live(segment.live, segment.segment.chunks)]
        if not rows:
            raise InconclusiveError(
                "this index holds no chunks by which harm could be told",
                path=index.root,
                fix="measure when it holds some",
            )
        chosen = [rows[n] for n in sorted(rng.choice(len(rows), size=min(_ROWS, len(rows)), replace=False).tolist())]
        self._vectors = np.stack([segment.vectors.array("vectors", "<f4", 2)[row] for segment, row in chosen])
        asked = rng.choice(len(chosen), size=min(_QUERIES, len(chosen)), replace=False).tolist()
        self._queries = []
        for segment, row in (chosen[n] for n in asked):
            document = segment.document(int(segment.chunk_documents[row]))
            self._queries.append(" ".join(segment.chunk(row, document).text.split()[:12])[:200])
        self._before = self._nearest(plain)

    def _nearest(self, model: Altered) -> list[set[int]]:
        norms = np.linalg.norm(self._vectors, axis=1).astype(np.float32)
        vectors = model.embed(self._queries, "query")
        scores = [score(self._vectors, norms, vector, self._record.metric) for vector in vectors]
        return [set(np.argsort(-one, kind="stable")[:10].tolist()) for one in scores]

    def _tried(
        self, model: Altered, sides: tuple[Side, ...] = ("query",), count: int = len(SHORT)
    ) -> tuple[float, float]:
        """How far the canaries that a query would ask moved, and the overlap of the top ten that is left."""
        canaries: Canaries = self._record.canaries
        moved = compare(
            {side: canaries.vectors(side)[:count] for side in sides},
            {side: model.embed(canaries.inputs(model.space, side)[:count], side) for side in sides},
            1.0,
        )
        shares = [len(a & b) / max(1, len(a)) for a, b in zip(self._before, self._nearest(model), strict=True)]
        return max(moved.worst_distance, moved.worst_length), float(np.mean(shares))

    def settings(self, encoder: Encoder) -> Iterator[tuple[str, float, float]]:
        space = self._record.space
        changed = {
            f"{pooling} pooling": replace(space, pooling=pooling) for pooling in POOLINGS if pooling != space.pooling
        }
        changed["another query prompt"] = replace(space, query_prompt="" if space.query_prompt else "query: ")
        for name, other in changed.items():
            model = alter(encoder, other)
            if isinstance(model, Altered):
                yield name, *self._tried(model)

    def noise(self, encoder: Encoder, level: float) -> tuple[float, float]:
        model = alter(encoder, self._record.space, weights=lambda name, tensor: _noisy(tensor, level))
        assert isinstance(model, Altered)
        return self._tried(model)


def _noisy(tensor: Floats, level: float) -> Floats:
    noise = np.random.default_rng(_SEED).standard_normal(tensor.shape, dtype=np.float32)
    return tensor + noise * np.float32(level * tensor.std())


def _live(mask: NDArray[np.bool_] | None, chunks: int) -> list[int]:
    return list(range(chunks)) if mask is None else np.flatnonzero(mask).tolist()
