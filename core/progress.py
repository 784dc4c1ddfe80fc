"""Progress as a passive observer. The core tells it what happens; the default does nothing."""

from __future__ import annotations


class Progress:
    """`stage` begins a stage of `total` steps (None: not known), `advance` counts them, `note` is one line for people."""

    def stage(self, name: str, total: int | None = None) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def note(self, message: str) -> None: ...


SILENT = Progress()
