"""Writing the files a user asked for: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from core.index import fs


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Replace `path` by these lines. Raises OSError; then it is what it was before."""
    fs.write(path, (f"{line}\n".encode() for line in lines))
