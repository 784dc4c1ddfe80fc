"""Progress on a terminal: a bar with rate and time left, on stderr. Elsewhere (cron, pipes) only notes are said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cli.render import is_quiet, is_terminal, note
from core.progress import Progress


class NotesOnly(Progress):
    def note(self, message: str) -> None:
        note(message)


class Bars(Progress):
    def __init__(self, bars: Any):
        self._bars = bars
        self._task: Any = None

    def stage(self, name: str, total: int | None = None) -> None:
        if self._task is not None:
            self._bars.update(self._task, visible=False)
        self._task = self._bars.add_task(name, total=total)

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._task, steps)

    def note(self, message: str) -> None:
        note(message)


@contextmanager
def progress() -> Iterator[Progress]:
    """A Progress for the length of a command."""
    if is_quiet() or not is_terminal(sys.stderr):
        yield NotesOnly()
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description:>8}"),
        rich.BarColumn(bar_width=30),
        rich.MofNCompleteColumn(),
        _Rate(),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Bars(bars)


def _Rate() -> Any:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "")

    return Rate()
