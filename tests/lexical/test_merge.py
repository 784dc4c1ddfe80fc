"""Merged postings are those that counting all the texts at once gives, to the bit."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.index.columns import Table, concatenate, write_columns
from core.lexical.merge import merge_postings
from core.lexical.postings import count

TOKENS = st.lists(st.sampled_from(["a", "b", "é", "河", "𐍈", "\ufffd", "zz", "z"]), max_size=6)


class Words:
    """Tokens are what stands between spaces."""

    def tokens(self, text: str) -> list[str]:
        return text.split()


def table(folder: Path, texts: Sequence[str]) -> Table:
    path = folder / f"{len(list(folder.iterdir()))}"
    path.write_bytes(concatenate(write_columns(count(Words(), texts))))  # type: ignore[arg-type]
    return Table(path)


def merged(parts: Sequence[Sequence[str]], places: Sequence[Sequence[int]]) -> tuple[bytes, bytes]:
    """The bytes of the merged table, and those of one that was counted at once; place -1 leaves a text out."""
    rows = [np.array(part, dtype=np.int32) for part in places]
    at = {place: text for part, row in zip(parts, places, strict=True) for text, place in zip(part, row, strict=True)}
    texts = [at[place] for place in sorted(place for place in at if place >= 0)]
    with tempfile.TemporaryDirectory() as scratch:
        tables = [table(Path(scratch), part) for part in parts]
        columns = merge_postings(tables, rows, len(texts), lambda name: tempfile.TemporaryFile())  # noqa: SIM115
        found = concatenate(write_columns(columns))
    return found, concatenate(write_columns(count(Words(), texts)))  # type: ignore[arg-type]


@st.composite
def split(draw: st.DrawFn) -> tuple[list[list[str]], list[list[int]]]:
    """Texts spread over parts, some of them left out, the others in any order."""
    parts = draw(st.lists(st.lists(TOKENS.map(" ".join), max_size=5), min_size=1, max_size=4))
    living = [(p, r) for p, part in enumerate(parts) for r in range(len(part)) if draw(st.integers(0, 3))]
    order = draw(st.permutations(living))
    places = [[-1] * len(part) for part in parts]
    for place, (part, row) in enumerate(order):
        places[part][row] = place
    return parts, places


@given(split())
def test_however_they_were_spread(spread: tuple[list[list[str]], list[list[int]]]) -> None:
    found, wanted = merged(*spread)
    assert found == wanted


@pytest.mark.parametrize("at_once", [1, 7, 1 << 18])
def test_range_by_range(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("core.lexical.merge._AT_ONCE", at_once)
    monkeypatch.setattr("core.lexical.merge._READ", 3)
    rng = np.random.default_rng(1)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 40, size=rng.integers(0, 30))) for _ in range(60)]
    order = rng.permutation(60)
    parts = [texts[:25], texts[25:26], [], texts[26:]]
    places = [order[:25].tolist(), order[25:26].tolist(), [], order[26:].tolist()]
    found, wanted = merged(parts, places)
    assert found == wanted


def test_more_than_can_be_counted_stays_the_most() -> None:
    found, wanted = merged([["a " * 70_000, "a b"], ["b"]], [[2, 0], [1]])
    assert found == wanted
