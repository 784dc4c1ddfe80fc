"""What the numbers of a comparison mean: cosines of the same texts, against what chance gives, and the shape of both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.encoders import Encoder
from core.space.canaries import SIDES
from core.space.geometry import cone, cosines
from core.space.record import SpaceRecord

Floats = NDArray[np.float32]
_BINS = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """Of one side's canaries: length of the mean vector (0: they point everywhere, 1: all one way), effective dimension,
    mean cosine and spread of unrelated ones (times √dimension: 1 for directions by chance)."""

    mean_length: float
    effective_dimension: float
    mean_cosine: float
    spread: float

    def to_json(self) -> dict[str, float]:
        return {
            "mean_length": self.mean_length,
            "effective_dimension": self.effective_dimension,
            "mean_cosine": self.mean_cosine,
            "spread": self.spread,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """`histogram`: how many canaries have which cosine to their own vector on record, in bins of a tenth from -1 to 1; None
    where the two sides have other dimensions. `angle`: between the axes of both cones, in degrees."""

    canaries: int
    dimension: int
    mean_cosine: float | None
    negative: float | None
    histogram: tuple[int, ...] | None
    angle: float | None
    index: Shape
    model: Shape

    def to_json(self) -> dict[str, Any]:
        return {
            "canaries": self.canaries,
            "dimension": self.dimension,
            "mean_cosine": self.mean_cosine,
            "negative": self.negative,
            "chance": {"negative": 0.5, "spread": 1 / math.sqrt(self.dimension)},
            "histogram": None if self.histogram is None else list(self.histogram),
            "angle": self.angle,
            "index": self.index.to_json(),
            "model": self.model.to_json(),
        }

    def lines(self) -> list[str]:
        """The explanation in words."""
        chance = 1 / math.sqrt(self.dimension)
        found = []
        if self.mean_cosine is None or self.negative is None:
            found.append("The two sides have other dimensions, so no cosine can be taken between them.")
        else:
            found += [
                f"The same text embedded then and now should have cosine 1. Here the mean is {self.mean_cosine:.4f}, and "
                f"{self.negative:.0%} of the cosines are negative.",
                f"Directions drawn by chance in {self.dimension} dimensions have cosines around 0, half of them negative, "
                f"spread by 1/√{self.dimension} = {chance:.3f}: a mean of that size says nothing is shared.",
            ]
        for name, shape in (("the index's", self.index), ("the model's", self.model)):
            found.append(
                f"Among themselves, {name} canaries have a mean cosine of {shape.mean_cosine:.3f} (spread "
                f"{shape.spread:.2f} of chance's), lie in a cone whose mean vector is {shape.mean_length:.2f} long, and use "
                f"about {shape.effective_dimension:.0f} of {self.dimension} dimensions."
            )
        if self.mean_cosine is not None and self.angle is not None:
            found.append(
                f"The axes of the two cones are {self.angle:.0f}° apart. In a narrow cone any two texts look alike, so a high "
                "cosine between the sides means little until it is above that of unrelated texts."
            )
        return found


def explain(record: SpaceRecord, encoder: Encoder) -> Explanation:
    """The canaries on record against the same as `encoder` embeds them now."""
    then = np.concatenate([record.canaries.vectors(side) for side in SIDES])
    now = np.concatenate([encoder.embed(record.canaries.inputs(encoder.space, side), side) for side in SIDES])
    mean_cosine = negative = histogram = angle = None
    if then.shape == now.shape:
        a, b = _unit(then), _unit(now)
        between = (a * b).sum(axis=1)
        mean_cosine, negative = float(between.mean()), float((between < 0).mean())
        histogram = tuple(np.histogram(between.clip(-1, 1), bins=_BINS, range=(-1, 1))[0].tolist())
        angle = float(np.degrees(np.arccos(np.clip(cone(then).axis @ cone(now).axis, -1, 1))))
    return Explanation(
        len(then), record.space.dimension, mean_cosine, negative, histogram, angle, _shape(then), _shape(now)
    )


def _unit(vectors: Floats) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    result: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30)
    return result


def _shape(vectors: Floats) -> Shape:
    around, between = cone(vectors), cosines(vectors)
    return Shape(around.mean_length, around.effective_dimension, between.mean, between.spread)
