"""Did this model make these vectors? Sampled texts are embedded again and compared by direction.

Nothing is known of how the texts went in, so every way is tried on a few rows first: behind the prompt of a passage, of a
query or none, and where they have titles, with and without. The best way is then held against the whole sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import SpaceMismatchError
from core.foreign import Foreign

SAMPLE, SEED = 64, 20260131
# 1 - cosine. Looser than for an index of ours: both sides may have run the model in 16 bits (3e-5 a side), and stores keep
# float16 (1e-7). The mildest change of a model that alters a ranking moves a text by more than 1e-3.
TOLERANCE = 5e-4
_PROBE = 8  # rows on which the ways are tried
_SEARCHED = 16  # rows that differ and whose vector is looked for elsewhere
_BLOCK = 1 << 14

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Way:
    """How texts may have been embedded. `prompt` is put before each by `embed`; `joint` stands between title and text, and
    None leaves the titles out.
    """

    prompt: str
    embed: Callable[[Sequence[str]], Floats]
    joint: str | None = None

    def inputs(self, foreign: Foreign, rows: Sequence[int]) -> list[str]:
        texts = foreign.texts or []
        if self.joint is None or foreign.titles is None:
            return [texts[row] for row in rows]
        return [f"{foreign.titles[row]}{self.joint}{texts[row]}" if foreign.titles[row] else texts[row] for row in rows]

    def __str__(self) -> str:
        return f"{f'the prompt {self.prompt!r}' if self.prompt else 'no prompt'}{', titles before the texts' if self.joint else ''}"


@dataclass(frozen=True, slots=True)
class ForeignVerdict:
    """What `sampled` of `rows` rows said, embedded in the way that fits best.

    `agreeing`: how many lie within `tolerance`; `others_at_most`: with 95 % confidence no larger share of all rows differs.
    `lengths`: least and most of the stored vectors, then of the model's. `differing`: rows that do not agree, the first
    few; `elsewhere`: of those that were looked for, how many have their vector in another row.
    """

    model: str
    runtime: str
    rows: int
    dimension: int
    sampled: int
    agreeing: int
    others_at_most: float
    mean_cosine: float
    negative: float
    worst_distance: float
    prompt: str
    titles: bool
    lengths: tuple[float, float, float, float]
    differing: tuple[int, ...]
    elsewhere: int
    tolerance: float = TOLERANCE

    @property
    def accepted(self) -> bool:
        return self.agreeing == self.sampled

    @property
    def nearly(self) -> bool:
        """Near enough for a runtime's rounding to be the reason."""
        return not self.accepted and self.mean_cosine >= 0.95

    @property
    def summary(self) -> str:
        rows = f"{self.agreeing:,} of {self.sampled:,} sampled rows"
        cosine = f"mean cosine {self.mean_cosine:.3f}"
        if self.accepted:
            allowed = f"worst distance {self.worst_distance:.1e}, allowed {self.tolerance:g}"
            return f"{self.model} made these vectors: {rows} agree ({allowed}); {self._share()}"
        if self.elsewhere:
            return f"{self.model} made these vectors, but the texts belong to other rows: {rows} agree, {cosine}"
        if self.agreeing:
            return f"a mixture: {rows} are {self.model}'s, the others are not ({cosine}); {self._share()}"
        if self.nearly:
            why = "quantised weights, another revision, length limit or text form?"
            return f"near {self.model}, but not its vectors: no sampled row agrees, {cosine} ({why})"
        negative = f"{100 * self.negative:.0f} % of the cosines negative"
        return f"{self.model} did not make these vectors of these texts: no sampled row agrees, {cosine}, {negative}"

    def _share(self) -> str:
        whole = self.sampled == self.rows
        return f"at most {100 * self.others_at_most:.1f} % of all {self.rows:,} rows are others" + (
            "" if whole else ", with 95 % confidence"
        )

    def to_json(self) -> dict[str, Any]:
        least, most, models_least, models_most = self.lengths
        return {
            "accepted": self.accepted,
            "summary": self.summary,
            "model": self.model,
            "runtime": self.runtime,
            "rows": self.rows,
            "dimension": self.dimension,
            "sampled": self.sampled,
            "agreeing": self.agreeing,
            "others_at_most": self.others_at_most,
            "mean_cosine": self.mean_cosine,
            "negative": self.negative,
            "worst_distance": self.worst_distance,
            "tolerance": self.tolerance,
            "prompt": self.prompt,
            "titles": self.titles,
            "lengths": {"vectors": [least, most], "model": [models_least, models_most]},
            "differing": list(self.differing),
            "elsewhere": self.elsewhere,
        }


def verify_vectors(
    foreign: Foreign, ways: Sequence[Way], model: str, runtime: str, *, sample: int = SAMPLE, seed: int = SEED
) -> ForeignVerdict:
    """Embed a seeded sample of rows again, by the best of `ways`. `foreign` has texts and the model's dimension."""
    count = len(foreign.vectors)
    rows = np.random.default_rng(seed).permutation(count)[: min(sample, count)]
    way, now = _best_way(foreign, ways, rows[:_PROBE].tolist())
    if rest := rows[_PROBE:].tolist():
        now = np.concatenate([now, way.embed(way.inputs(foreign, rest))])
    stored = np.asarray(foreign.vectors[rows])
    cosines = _cosines(stored, now)
    differ = 1 - cosines > TOLERANCE
    wrong, far = rows[differ], now[differ]
    lengths, models = (np.linalg.norm(part.astype(np.float64), axis=1) for part in (stored, now))
    return ForeignVerdict(
        model,
        runtime,
        count,
        foreign.vectors.shape[1],
        len(rows),
        len(rows) - len(wrong),
        round(most_others(len(wrong), len(rows), count), 6),
        float(cosines.mean()),
        float((cosines < 0).mean()),
        float(max(0.0, (1 - cosines).max())),
        way.prompt,
        way.joint is not None,
        (float(lengths.min()), float(lengths.max()), float(models.min()), float(models.max())),
        tuple(sorted(wrong.tolist())[:20]),
        _elsewhere(foreign.vectors, wrong[:_SEARCHED], far[:_SEARCHED]),
    )


def check_dimension(foreign: Foreign, model: str, dimension: int) -> None:
    """Raises SpaceMismatchError unless the vectors are as long as the model's."""
    if foreign.vectors.shape[1] != dimension:
        raise SpaceMismatchError(
            f"{model} did not make these vectors: they have {foreign.vectors.shape[1]:,} dimensions, its have {dimension:,}",
            path=foreign.path,
            fix="--identify asks every model of this machine",
            details={"dimension": {"vectors": foreign.vectors.shape[1], "model": dimension}},
        )


def _best_way(foreign: Foreign, ways: Sequence[Way], rows: list[int]) -> tuple[Way, Floats]:
    """The way that comes nearest to these rows, and their vectors by it."""
    stored = np.asarray(foreign.vectors[rows])
    tried = [(way, way.embed(way.inputs(foreign, rows))) for way in ways]
    return max(tried, key=lambda pair: float(_cosines(stored, pair[1]).mean()))


def _cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Row by row; 0 where one has no direction."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    found: NDArray[np.float64] = (x * y).sum(axis=1) / np.maximum(lengths, 1e-300)
    return found


def _unit(vectors: Floats) -> Floats:
    """At length 1, also where the squares of a float32 would be too large."""
    wide = np.asarray(vectors, dtype=np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300), dtype=np.float32)


def _elsewhere(vectors: Floats, rows: NDArray[np.int64], now: Floats) -> int:
    """How many of `now`, the model's vectors of the texts of `rows`, are the vector of another row."""
    if not len(rows):
        return 0
    wanted = _unit(now)
    found = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(vectors), _BLOCK):
        near = _unit(np.asarray(vectors[start : start + _BLOCK])) @ wanted.T >= 1 - TOLERANCE
        found |= near.any(axis=0)
    return int(found.sum())


def most_others(others: int, sampled: int, rows: int) -> float:
    """The upper 95 % bound (one-sided, Clopper and Pearson 1934) of the share of rows that differ when `others` of `sampled`
    random ones did; the share itself when every row was sampled.
    """
    if sampled >= rows or others >= sampled:
        return others / sampled
    low, high = others / sampled, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _at_most(others, sampled, middle) > 0.05:
            low = middle
        else:
            high = middle
    return high


def _at_most(k: int, n: int, p: float) -> float:
    """The chance of at most `k` of `n`, each with the chance `p`, 0 < p < 1."""

    def chance(i: int) -> float:
        choices = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        return math.exp(choices + i * math.log(p) + (n - i) * math.log1p(-p))

    return math.fsum(chance(i) for i in range(k + 1))
