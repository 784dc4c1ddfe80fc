"""Which segments are written anew as one: the policy of merging, on numbers alone.

A night adds a small segment. Were they left alone, a year would leave hundreds, each of which a query has to ask; were all
written anew every night, a night would cost what everything costs. So a new segment takes with it all that are not much
larger than what it has gathered: then sizes rise at least by `STEP`, there are never more segments than log(rows) to that
base, and a row is written again about as often. A segment of which much is dead is written anew by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STEP = 2.0  # a segment stays when it has this many times the rows of all that are smaller
MOST_DEAD = 1 / 3  # of a segment's rows


@dataclass(frozen=True, slots=True)
class Size:
    """A segment, or a staged block: its rows (documents), and how many of them are dead."""

    name: str
    rows: int
    dead: int = 0
    staged: bool = False

    @property
    def live(self) -> int:
        return self.rows - self.dead


def merges(sizes: Sequence[Size]) -> list[list[str]]:
    """Groups of names, each to be written as one new segment. Staged blocks are in one group, all together.

    A segment of which nothing lives is in no group: it is left behind.
    """
    gathered = [size for size in sizes if size.staged]
    total = sum(size.live for size in gathered)
    stay: list[Size] = []
    for size in sorted((size for size in sizes if not size.staged and size.live), key=lambda size: size.live):
        if gathered and not stay and size.live < STEP * total:
            gathered.append(size)
            total += size.live
        else:
            stay.append(size)
    groups = [[size.name for size in gathered]] if gathered else []
    return groups + [[size.name] for size in stay if size.dead > MOST_DEAD * size.rows]
