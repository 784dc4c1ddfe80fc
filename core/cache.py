"""Where things lie that can be made again: `SAMESPACE_CACHE`, else the user's cache folder of this system."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder; it may not exist or not be writable, and everything must work without it."""
    if chosen := os.environ.get("SAMESPACE_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("samespace", appauthor=False))
