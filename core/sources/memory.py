"""What each file held when it was read last, by its size, times and inode: a file that was not touched is not read again.

Kept in the user's cache, one file an index; losing it costs reading. What it says is believed only where the index knows
the same document under the same digest, or none where nothing was found in the file: a damaged entry makes a file be read,
and never removes what is published.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.cache import cache_folder, keep
from core.types import Outcome

# A file that was written to in the very moment before it was read may be written to again without a change of its times.
_SETTLED = 2_000_000_000  # nanoseconds


@dataclass(frozen=True, slots=True)
class Held:
    """What came of a file: `sha256` of its document, or of its records together; and what was left out, and why."""

    sha256: str = ""
    left_out: tuple[Outcome, ...] = ()


def records_digest(records: Mapping[str, str]) -> str:
    """Of document ids and their sha256, in whatever order they stand in the file."""
    lines = (f"{id}\0{sha256}\n" for id, sha256 in sorted(records.items()))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


class Memory:
    """Of the files that went into the index at `root`. `how` names all that decides what is made of a file's bytes."""

    def __init__(self, root: Path):
        key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
        self._path = cache_folder() / "scans" / f"{key}.json"
        self._known: dict[str, Any] = {}
        self._met: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):
            known = json.loads(self._path.read_bytes())
            self._known = known if isinstance(known, dict) else {}

    def recall(self, path: Path, how: str) -> Held | None:
        """What the file held, if nobody has touched it since and it would be read in the same way. Raises OSError."""
        entry: Any = self._known.get(str(path))
        try:
            if entry["stat"] != _stat(path.stat()) or entry["how"] != how:
                return None
            held = Held(str(entry["sha256"]), tuple(_outcome(*one) for one in entry["left_out"]))
        except (TypeError, KeyError, ValueError):
            return None
        self._met[str(path)] = entry
        return held

    def learn(self, path: Path, how: str, before: os.stat_result, begun: int, held: Held) -> None:
        """`before` is how the file lay there when its reading was `begun` (nanoseconds since 1970); one that had not come to
        rest then is not remembered.
        """
        with contextlib.suppress(OSError):
            if _stat(before) == _stat(path.stat()) and _is_settled(before, begun):
                left_out = [[one.path, one.status, one.reason] for one in held.left_out]
                entry = {"stat": _stat(before), "how": how, "sha256": held.sha256, "left_out": left_out}
                self._met[str(path)] = entry

    def save(self, scanned: Sequence[str]) -> None:
        """Keep what was met; of files outside the `scanned` roots what was known before."""
        roots, folders = set(scanned), tuple(f"{root.rstrip(os.sep)}{os.sep}" for root in scanned)
        others = {p: entry for p, entry in self._known.items() if p not in roots and not p.startswith(folders)}
        keep(self._path, [json.dumps({**others, **self._met}).encode()])


def _outcome(path: str, status: Any, reason: str) -> Outcome:
    """Raises ValueError for what no file is left out as."""
    if status not in ("skipped", "failed"):
        raise ValueError(status)
    return Outcome(str(path), status, str(reason))


def _stat(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]


def _is_settled(stat: os.stat_result, now: int) -> bool:
    """Also false where the clock has gone back since the file was written."""
    return max(stat.st_mtime_ns, stat.st_ctime_ns) + _SETTLED < now
