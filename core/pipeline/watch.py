"""Waiting for the sources of an index to change."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.index.reader import open_index

if TYPE_CHECKING:
    from watchfiles import Change

QUIET = 1600  # milliseconds without a change after which the changes so far count as one
LONGEST = 60_000  # milliseconds after which they do even if it never is quiet
LOOK = 1000  # milliseconds between two looks at sources that are files

Look = tuple[int, int] | None  # time and size of a file


def changes(root: Path) -> Iterator[None]:
    """At once, for what may have changed before anybody watched, and then every time something changed in the sources of the
    index at `root`. Ends by Ctrl-C only, which raises KeyboardInterrupt.

    Folders are watched by the system, files looked at every second, so that they may be replaced. What lies in the index
    itself does not count, nor do hidden files.
    """
    roots = [Path(source.root) for source in open_index(root).generation.sources]
    before: list[Look] | None = None
    while True:
        folders = [path for path in roots if path.is_dir()]
        identity = _identities(roots)
        for found in _watched(folders, root.resolve()):
            now = _looks([path for path in roots if not path.is_dir()])
            if found or now != before:
                before = now
                yield
            if _identities(roots) != identity:
                before = None  # a folder came, went or was replaced: whoever watched it is deaf now
                break


def _watched(folders: Sequence[Path], index: Path) -> Iterator[bool]:
    """About every second, and sooner when something changed in the folders: whether it did."""
    from watchfiles import watch

    def counts(change: Change, path: str) -> bool:
        changed = Path(path)
        mine = [folder for folder in folders if changed.is_relative_to(folder)]
        hidden = all(any(part.startswith(".") for part in changed.relative_to(folder).parts) for folder in mine)
        return not hidden and not changed.is_relative_to(index)

    while not folders:
        time.sleep(LOOK / 1000)
        yield False
    try:
        yield from (
            bool(found)
            for found in watch(
                *folders,
                watch_filter=counts,
                step=QUIET,
                debounce=LONGEST,
                rust_timeout=LOOK,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            )
        )
    except FileNotFoundError:  # a folder went before it was watched
        time.sleep(LOOK / 1000)


def _identities(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Which folders lie under these names now."""
    return [(stat.st_dev, stat.st_ino) if (stat := _stat(path)) and path.is_dir() else None for path in paths]


def _looks(files: Sequence[Path]) -> list[Look]:
    return [(stat.st_mtime_ns, stat.st_size) if (stat := _stat(path)) else None for path in files]


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
