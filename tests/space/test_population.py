"""What vectors tell without their model: each sign on clouds that have it and clouds that have not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.space.geometry import cone, cosines, hubness, unit
from core.space.population import (
    Census,
    alike_finding,
    canaries_finding,
    census_findings,
    foreign_share,
    shape_findings,
    strangers,
)

Floats = NDArray[np.float32]


def cloud(rows: int, dimension: int = 64, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


def topics(rows: int, dimension: int, seed: int, spread: float = 0.5) -> Floats:
    """Rows around a topic each two of them share: `rows // 2` topics."""
    middle = np.repeat(cloud(rows // 2, dimension, seed), 2, axis=0)
    return unit(middle + spread * cloud(rows, dimension, seed + 1))


def test_directions_by_chance_have_no_cone_and_no_more_spread_than_chance() -> None:
    found = cone(cloud(2000))
    assert found.mean_length < 0.05
    assert found.effective_dimension == pytest.approx(64, rel=0.1)
    pairs = cosines(cloud(2000))
    assert (pairs.mean, pairs.spread, pairs.negative) == pytest.approx((0, 1, 0.5), abs=0.03)
    assert abs(hubness(cloud(1000))) < 1 < hubness(cloud(1000) + 0.5)  # beside an axis, those nearest to it are hubs


def test_a_cone_shows_and_is_measured_along_its_axis() -> None:
    axis = np.eye(64, dtype=np.float32)[0]
    found = cone(0.3 * cloud(500) + 4 * axis)
    assert found.mean_length > 0.8
    assert found.axis[0] > 0.99
    flat = cone(cloud(500) * (np.arange(64) < 3).astype(np.float32))
    assert flat.effective_dimension == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_have_figures_all_the_same(rows: int) -> None:
    assert len(list(shape_findings(cloud(rows)))) == 3
    assert alike_finding(strangers(cloud(rows), unit(cloud(rows)))).severity == "warning"


def test_honest_vectors_of_alike_words_are_no_strangers() -> None:
    found = strangers(topics(400, 64, 1), topics(400, 64, 9))
    assert (found.pairs, found.strangers) == (200, 0)
    finding = alike_finding(found)
    assert finding.severity == "note"
    assert "would not show" in finding.message


@pytest.mark.parametrize(("share", "severity"), [(0.5, "error"), (0.15, "error"), (0.06, "warning"), (0.003, "note")])
def test_two_spaces_are_found_by_the_share_of_strangers(share: float, severity: str) -> None:
    one, chance = topics(2000, 64, 1), np.random.default_rng(3)
    turn = np.linalg.qr(cloud(64, 64, 5))[0]
    foreign = chance.random(len(one)) < share
    mixed = np.where(foreign[:, None], one @ turn, one).astype(np.float32)
    found = strangers(mixed, topics(2000, 64, 9))
    assert alike_finding(found).severity == severity
    if share > 0.1:
        assert foreign_share(found.rate) == pytest.approx(share, abs=0.15)


def test_languages_that_share_no_words_are_not_called_two_spaces() -> None:
    """Two halves far apart, each a topic of its own in words: as Chinese and English are for an English model."""
    far = np.zeros(64, dtype=np.float32)
    far[0] = 3
    vectors = unit(np.concatenate([topics(200, 64, 1) + far, topics(200, 64, 3) - far]))
    assert alike_finding(strangers(vectors, topics(400, 64, 9))).severity == "note"


def test_too_few_pairs_decide_nothing() -> None:
    words = np.eye(64, dtype=np.float32)  # no two chunks share a word
    assert alike_finding(strangers(topics(64, 32, 1), words)).severity == "warning"


def test_rows_outside_the_cone_of_the_canaries() -> None:
    axis = np.eye(64, dtype=np.float32)[0]
    canaries, rows = unit(0.05 * cloud(9) + axis), unit(0.05 * cloud(300, seed=2) + axis)
    inside = canaries_finding(rows, canaries)
    assert inside is not None
    assert inside.severity == "ok"
    rows[7] = unit(cloud(1, seed=4))[0]
    outside = canaries_finding(rows, canaries)
    assert outside is not None
    assert (outside.severity, outside.details["rows"]) == ("error", 1)
    assert canaries_finding(rows, unit(cloud(9))) is None  # canaries that point everywhere tell nothing


def severities(census: Census, normalize: bool = True) -> dict[str, str]:
    return {finding.check: finding.severity for finding in census_findings(census, normalize)}


def test_each_count_has_its_finding() -> None:
    whole = Census(1000, 0, 0, 0, 0.0, 0, 0)
    assert set(severities(whole).values()) == {"ok"}
    assert severities(Census(1000, 1, 0, 0, 0.0, 0, 0))["finite"] == "error"
    assert severities(Census(1000, 0, 1, 0, 0.0, 0, 0))["zero"] == "error"
    off = Census(1000, 0, 0, 3, 0.5, 0, 0)
    assert severities(off)["norms"] == "error"
    assert "norms" not in severities(off, normalize=False)
    assert severities(Census(1000, 0, 0, 0, 0.0, 4, 2))["duplicates"] == "ok"  # two texts that differ in case, say
    assert severities(Census(1000, 0, 0, 0, 0.0, 30, 2))["duplicates"] == "warning"
    assert severities(Census(1000, 0, 0, 0, 0.0, 500, 500))["duplicates"] == "error"
    assert severities(Census(0, 0, 0, 0, 0.0, 0, 0)) == {"rows": "warning"}
