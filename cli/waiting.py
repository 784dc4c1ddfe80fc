"""A spinner on a terminal while something takes seconds; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cli.render import is_terminal


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show `what` on stderr for the length of the block; an empty `what` shows nothing."""
    if not what or not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
