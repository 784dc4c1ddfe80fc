"""`verify-space --explain`: what the numbers mean, with a small plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.render import say

if TYPE_CHECKING:
    from core.space.explain import Explanation

Explain = Annotated[
    bool, typer.Option("--explain", help="Say what the numbers mean, and plot them; on a mismatch, what was tried.")
]
_WIDTH = 40


def show_explanation(found: Explanation) -> None:
    say()
    if found.histogram is not None:
        say(f"cosine of each of {found.canaries} canaries to its vector on record")
        most = max(*found.histogram, 1)
        for number, count in enumerate(found.histogram):
            if any(found.histogram[: number + 1]):  # from the first bin that holds one
                low = -1 + number / 10
                say(
                    f"{low:5.1f} … {low + 0.1:4.1f}  {'▇' * round(_WIDTH * count / most)}{f' {count}' if count else ''}"
                )
        say()
    for line in found.lines():
        say(line)


def show_tried(tried: list[dict[str, object]]) -> None:
    """The hypotheses of a diagnosis, the nearest first."""
    say()
    say("tried, and how far the canaries lay from where they should (1 - cosine, the worst):")
    for one in sorted(tried, key=lambda one: float(str(one["worst_distance"])))[:12]:
        say(f"  {float(str(one['worst_distance'])):9.2e}  {one['hypothesis']}")
