"""Was something done to finished vectors? Arithmetic alone: lengths, dimensions, components, a rotation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.space.canaries import SIDES, compare
from core.types import Side

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Transformation:
    """`holds`: today's vectors, transformed so, are those on record; `worst_distance` is what is left (1 - cosine)."""

    name: str
    cause: str
    holds: bool
    worst_distance: float
    summary: str
    fix: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def transformations(
    stored: Mapping[Side, Floats], now: Mapping[Side, Floats], tolerance: float
) -> Iterator[Transformation]:
    """Each that can be tried on these vectors (float32, canaries × dimension), the simplest first."""
    then, today = (np.concatenate([vectors[side] for side in SIDES]) for vectors in (stored, now))
    if not (np.isfinite(then).all() and np.isfinite(today).all()):
        bad = int((~np.isfinite(today)).any(axis=1).sum())
        yield Transformation(
            "numbers", "numbers", True, 2.0, f"{bad} of the vectors hold values that are no numbers (NaN or infinity)",
            "run the model again; if it stays so, fetch it again or use another runtime", {"rows": bad},
        )  # fmt: skip
        return
    yield from _dimension(then, today, tolerance)
    if then.shape == today.shape:
        yield _lengths(then, today, tolerance)
        yield _components(then, today, tolerance)
        yield _rotation(then, today, tolerance)


def _distance(a: Floats, b: Floats) -> float:
    return compare({"query": a}, {"query": b}, 1.0).worst_distance


def _lengths(then: Floats, today: Floats, tolerance: float) -> Transformation:
    """The same directions; only the lengths are others."""
    distance = _distance(then, today)
    before, after = (np.linalg.norm(vectors, axis=1) for vectors in (then, today))
    unit_then, unit_now = (bool((abs(lengths - 1) < 1e-3).all()) for lengths in (before, after))
    if unit_then == unit_now:
        what = f"the vectors' lengths are others (by a factor of {float(np.median(after / np.maximum(before, 1e-30))):.3g})"
    else:
        what = "the normalisation was lost" if unit_then else "the normalisation was added"
    return Transformation(
        "lengths", "normalize", distance <= tolerance, distance, f"{what}; the directions are equal",
        "let the model's last module say again whether vectors are normalised (Normalize in modules.json), or build another index",
        {"length_then": float(before.mean()), "length_now": float(after.mean())},
    )  # fmt: skip


def _dimension(then: Floats, today: Floats, tolerance: float) -> Iterator[Transformation]:
    """Only the first components are left: the rest was cut off or is zero. Of normalised vectors the lengths were mended."""
    filled = [int(np.flatnonzero(abs(vectors).max(axis=0) > 0)[-1:].sum()) + 1 for vectors in (then, today)]
    kept = min(filled)
    if kept == max(then.shape[1], today.shape[1]) or kept < 2:
        return
    distance = _distance(then[:, :kept], today[:, :kept])
    shorter, longer = ("the model's", filled[0]) if filled[1] < filled[0] else ("the index's", filled[1])
    padded = max(then.shape[1], today.shape[1]) > kept and then.shape == today.shape
    how = "the others are zero" if padded else "the others were cut off"
    yield Transformation(
        f"the first {kept} of {longer} dimensions", "dimension", distance <= 10 * tolerance, distance,
        f"{shorter} vectors hold only the first {kept} of {longer} dimensions; {how} (a Matryoshka cut or another declaration)",
        f"let the model give all {then.shape[1]} dimensions as the index's record says, or build another index",
        {"kept": kept, "of": longer},
    )  # fmt: skip


def _components(then: Floats, today: Floats, tolerance: float) -> Transformation:
    """Each column today is a column of then, moved or with its sign flipped. Columns that say nothing may lie anywhere."""
    (before, alive), (after, _) = _columns(then), _columns(today)
    likeness = before[:, alive].T @ after
    best = abs(likeness).argmax(axis=1)
    signs = np.sign(likeness[np.arange(len(best)), best]).astype(np.float32)
    is_permutation = len(best) > 1 and len(set(best.tolist())) == len(best)
    distance = _distance(then[:, alive], today[:, best] * signs) if is_permutation else 2.0
    moved, flipped = int((best != alive).sum()), int((signs < 0).sum())
    what = " and ".join(
        part
        for part in (f"{moved} components changed places" * bool(moved), f"{flipped} changed sign" * bool(flipped))
        if part
    )
    return Transformation(
        "components", "components", distance <= tolerance and bool(what), distance, what,
        "whatever writes or serves the vectors orders their components otherwise now: put that back, or build another index",
        {"moved": moved, "flipped": flipped},
    )  # fmt: skip


def _columns(vectors: Floats) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The columns at length 1, and which of them are not as good as zero."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=0)
    return wide / np.maximum(lengths, 1e-300), np.flatnonzero(lengths > 1e-6 * lengths.max(initial=0))


def _rotation(then: Floats, today: Floats, tolerance: float) -> Transformation:
    """All pairs of canaries lie as far from one another as they did, which only a rotation or mirroring leaves so.

    Nothing is fitted, so there is nothing to hold out: with fewer canaries than dimensions a Procrustes fit (Schönemann
    1966) would find a rotation for any vectors.
    """
    grams = [vectors.astype(np.float64) @ vectors.T.astype(np.float64) for vectors in (then, today)]
    difference = float(abs(grams[0] - grams[1]).max() / max(1e-30, float(np.diag(grams[0]).max())))
    return Transformation(
        "rotation", "rotation", difference <= 4 * tolerance, difference,
        f"the whole space was rotated: every two canaries lie to one another as they did (cosines equal to {difference:.1e}), "
        "and none lies where it lay",
        "undo the rotation (a whitening, a quantiser's or another adapter's), or build another index",
        {"pairs": len(then) * (len(then) - 1) // 2, "residual": difference},
    )  # fmt: skip
