"""Files whose digest was already checked, remembered in the user's cache by size, time and inode. Losing it costs time only."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from core.cache import cache_folder, keep
from core.index.fs import Digest


class Verified:
    def __init__(self, root: Path):
        self._root = root.resolve()
        key = hashlib.sha256(os.fsencode(self._root)).hexdigest()[:32]
        self._path = cache_folder() / "verified" / f"{key}.json"
        self._known: dict[str, list[object]] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):
            known = json.loads(self._path.read_bytes())
            self._known = known if isinstance(known, dict) else {}

    def _entry(self, name: str, digest: Digest) -> list[object]:
        stat = (self._root / name).stat()
        return [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev, digest.sha256]

    def knows(self, name: str, digest: Digest) -> bool:
        return self._known.get(name) == self._entry(name, digest)

    def add(self, name: str, digest: Digest) -> None:
        with contextlib.suppress(OSError):
            self._known = {other: entry for other, entry in self._known.items() if (self._root / other).exists()}
            self._known[name] = self._entry(name, digest)
            keep(self._path, [json.dumps(self._known).encode()])

    def forget(self, name: str) -> None:
        """What was found damaged is vouched for no more."""
        if self._known.pop(name, None) is not None:
            keep(self._path, [json.dumps(self._known).encode()])
