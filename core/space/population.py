"""What the vectors of an index tell without its model. A finding with a number each, and none of them a proof.

Two tests look for a second population:

*Alike*: chunks whose words are much alike have vectors that are alike, in any space that is good for anything; rows of two
spaces have nothing in common but chance. So of the pairs of chunks that are nearest by their words, those are counted
whose vectors are no nearer than most pairs drawn by chance. Topics, languages and runs do not matter: what is alike in
words is of one topic and one language. On honest indexes by minilm and multilingual-e5-small of corpora in English, Chinese,
both, and code, 0 to 3 % of the pairs were such strangers (of code 9 % once, 5 of 54), and none of 12 indexes was called mixed or
doubtful; with a share p of foreign rows 2p(1-p) more are (benchmarks/space_mutations/mixed.py). Were foreign rows of a
language or topic of their own, nothing would show: then "not found" is all that is said, which is not "healthy".

*Canaries*: where the space's own canaries lie in a narrow cone, every row has to lie in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.space.bound import upper_bound
from core.space.geometry import centred, cone, cosines, hubness, unit
from core.types import Finding

Floats = NDArray[np.float32]

LENGTH = 1e-3  # how far a vector that is said to be normalised may be from length 1
STRANGE = 0.15  # of pairs alike in words: above it, certainly, two populations
DOUBTFUL = 0.05  # above it, certainly, a matter to be looked into
LEAST_PAIRS = 30  # fewer decide nothing
_ALIKE = (0.4, 0.3)  # cosine of words from which chunks are much alike; the second where there are too few
_CERTAIN = 0.999
_NARROW = 0.5  # cosine of every canary with their mean, from which they lie in a cone that tells
_SAME = 0.1  # of the rows with one vector: a model that says the same to everything
_FIX = "put the model back, then: samespace verify-space INDEX --all --repair"


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over every live row, gathered block by block: `not_finite`, `zero`; `length_off` (of vectors said to be
    normalised); `shared`: rows whose vector another row has, of another text; `most_shared`: the rows of the most common one.
    """

    rows: int
    not_finite: int
    zero: int
    length_off: int
    longest_off: float
    shared: int
    most_shared: int


def census_findings(census: Census, normalize: bool) -> Iterator[Finding]:
    """Norms, NaN, infinite and zero rows, and vectors that stand twice for different texts."""
    if not census.rows:
        yield Finding("rows", "warning", "there are no live chunks: nothing can be said", "build the index first")
        return
    for check, count, what in (
        ("finite", census.not_finite, "hold NaN or infinite values"),
        ("zero", census.zero, "are zero: they have no direction"),
    ):
        message = f"{count:,} of {census.rows:,} vectors {what}"
        yield Finding(check, "error" if count else "ok", message, _FIX if count else "", {"rows": count})
    if normalize:
        message = f"{census.length_off:,} of {census.rows:,} vectors are not of length 1, as the space says they are"
        message += f" (by up to {census.longest_off:.2g})" if census.length_off else ""
        severity, details = "error" if census.length_off else "ok", {"rows": census.length_off}
        yield Finding("norms", severity, message, _FIX if census.length_off else "", details)  # type: ignore[arg-type]
    share = census.shared / census.rows
    same = census.most_shared > max(10, _SAME * census.rows)
    severity = "error" if same else "warning" if share > 0.01 and census.shared > 2 else "ok"
    message = f"{census.shared:,} of {census.rows:,} vectors stand for more than one text, the most common for {census.most_shared:,}"
    fix = "" if severity == "ok" else "a model that does not know the language does so; else, " + _FIX
    details = {"rows": census.shared, "most": census.most_shared}
    yield Finding("duplicates", severity, message, fix, details)  # type: ignore[arg-type]


def shape_findings(vectors: Floats) -> Iterator[Finding]:
    """Cone, cosines and hubs of a sample (rows × dimension): figures to compare with another day's, notes all of them."""
    found, pairs = cone(vectors), cosines(vectors)
    yield Finding(
        "cone",
        "note",
        f"cone: mean vector {found.mean_length:.3f} long, {found.effective_dimension:.0f} effective dimensions of {vectors.shape[1]}",
        details={"mean_length": found.mean_length, "effective_dimension": found.effective_dimension},
    )
    yield Finding(
        "cosines",
        "note",
        f"cosines of pairs: mean {pairs.mean:.3f}, {pairs.negative:.1%} negative, spread {pairs.spread:.2f} times that of chance",
        details={"mean": pairs.mean, "negative": pairs.negative, "spread": pairs.spread},
    )
    skew = hubness(vectors)
    yield Finding(
        "hubness", "note", f"hubs: skewness {skew:.2f} of how often a row is a neighbour", details={"skewness": skew}
    )


@dataclass(frozen=True, slots=True)
class Strangers:
    """`pairs` of chunks whose words are at least so much `alike` (their cosine), and those of them that are `strangers`."""

    pairs: int
    strangers: int
    alike: float

    @property
    def rate(self) -> float:
        return self.strangers / self.pairs if self.pairs else 0.0

    @property
    def at_least(self) -> float:
        """The rate that is certain: refuted with 99.9 % below it."""
        return 1 - upper_bound(self.pairs, self.pairs - self.strangers, _CERTAIN) if self.pairs else 0.0

    @property
    def at_most(self) -> float:
        return upper_bound(self.pairs, self.strangers, _CERTAIN) if self.pairs else 1.0


def strangers(vectors: Floats, words: Floats) -> Strangers:
    """Compare each row with the one nearest to it by words.

    `vectors` and `words` are float32 of the same rows: rows × dimension, rows × whatever, the words at length 1 (0: none).
    """
    count = len(vectors)
    if count < 2:
        return Strangers(0, 0, _ALIKE[0])
    near = words @ words.T
    np.fill_diagonal(near, -1)
    nearest = near.argmax(axis=1)
    likeness = near[np.arange(count), nearest]
    ones = centred(vectors)
    chance = np.random.default_rng(20260131)
    a, b = chance.integers(0, count, 20_000), chance.integers(0, count, 20_000)
    common = float(np.quantile(np.einsum("ij,ij->i", ones[a[a != b]], ones[b[a != b]]), 0.75))
    pairs = np.unique(np.sort(np.stack([np.arange(count), nearest], axis=1), axis=1), axis=0, return_index=True)[1]
    together = np.einsum("ij,ij->i", ones, ones[nearest])[pairs]
    for alike in _ALIKE:
        chosen = likeness[pairs] >= alike
        if chosen.sum() >= LEAST_PAIRS:
            break
    return Strangers(int(chosen.sum()), int((together[chosen] < common).sum()), alike)


def alike_finding(found: Strangers) -> Finding:
    """Two populations, a doubt, or nothing found: with what would not have been found either."""
    details = {"pairs": found.pairs, "strangers": found.strangers, "rate": found.rate, "at_most": found.at_most}
    message = f"{found.strangers:,} of {found.pairs:,} pairs of chunks with much the same words have vectors as far apart as chance"
    if found.pairs < LEAST_PAIRS:
        return Finding("populations", "warning", f"{message}: too few pairs to decide", _FIX, details)
    if found.at_least > STRANGE:
        share = foreign_share(found.rate)
        return Finding(
            "populations", "error", f"two populations: {message} (as {share:.0%} foreign rows would)", _FIX, details
        )
    if found.at_least > DOUBTFUL:
        return Finding("populations", "warning", f"perhaps two populations: {message}", _FIX, details)
    hidden = foreign_share(found.at_most)
    message += (
        f"; no second population was found, one below {max(hidden, 0.01):.0%} or with words of its own would not show"
    )
    return Finding("populations", "note", message, details=details)


def foreign_share(rate: float) -> float:
    """The share p of foreign rows, spread at random, by which 2p(1-p) of all pairs are strangers."""
    return float((1 - np.sqrt(max(0.0, 1 - 2 * rate))) / 2)


def canaries_finding(vectors: Floats, canaries: Floats) -> Finding | None:
    """Whether the rows (rows × dimension) lie in the cone of the canaries (texts × dimension). None where that is too wide
    to tell: less than half of every canary points the way of their mean.
    """
    found = cone(canaries)
    axis = found.axis.astype(np.float32)
    narrowest = float((unit(canaries) @ axis).min(initial=1.0))
    if narrowest < _NARROW or not len(vectors):
        return None
    outside = int((unit(vectors) @ axis < narrowest / 2).sum())
    message = f"{outside:,} of {len(vectors):,} vectors lie outside the cone of the canaries"
    severity, details = "error" if outside else "ok", {"rows": outside, "narrowest": narrowest}
    return Finding("canary cone", severity, message, _FIX if outside else "", details)  # type: ignore[arg-type]
