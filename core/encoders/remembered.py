"""Digests of a model's files, remembered in the user's cache by size, times and inode: hashing 500 MB takes half a second.

A file that was changed, replaced or touched is hashed again. Losing what is remembered costs time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.cache import cache_folder, keep


def remembered(what: str, files: Sequence[Path], compute: Callable[[], str]) -> str:
    """`compute()`, or what it gave for these files as they lie there now. `what` names the kind and version of digest."""
    try:
        stats = [path.stat() for path in files]
    except OSError:
        return compute()
    now = [[s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev] for s in stats]
    key = hashlib.sha256(b"\0".join([what.encode(), *(os.fsencode(path.absolute()) for path in files)])).hexdigest()
    path = cache_folder() / "digests" / f"{key[:32]}.json"
    with contextlib.suppress(OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        known = json.loads(path.read_bytes())
        if known["files"] == now and known["check"] == _check(now, known["digest"]):
            return str(known["digest"])
    digest = compute()
    keep(path, [json.dumps({"files": now, "digest": digest, "check": _check(now, digest)}).encode()])
    return digest


def _check(files: Any, digest: str) -> str:
    """Of an entry: a flipped digit must not become a model's identity."""
    return hashlib.sha256(f"{files}\0{digest}".encode()).hexdigest()
