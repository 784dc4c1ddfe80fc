"""Where things lie that can be made again: `SAMESPACE_CACHE`, else the user's cache folder of this system."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path


def cache_folder() -> Path:
    """The folder; it may not exist or not be writable, and everything must work without it."""
    if chosen := os.environ.get("SAMESPACE_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("samespace", appauthor=False))


def keep(path: Path, parts: Iterable[bytes | memoryview]) -> bool:
    """Write a file of the cache, whole or not at all; False where it cannot be written (full, read-only, no home).

    Two processes that write the same name at once each leave a whole file; the later one stays.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("xb") as file:
            for part in parts:
                file.write(part)
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        return False
    return True
