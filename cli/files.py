"""Writing the files a user asked for: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from core.index import fs


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Replace `path` by these lines, or write to it where it is a device or a pipe; a link is followed.

    Raises OSError; then a file is what it was before.
    """
    data = [f"{line}\n".encode() for line in lines]
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            stream.writelines(data)
        return
    target = Path(os.path.realpath(path))
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        fs.write(aside, data)
        fs.rename(aside, target)
    except BaseException:
        fs.discard(aside)
        raise
