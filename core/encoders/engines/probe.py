"""Which way to run batches is fastest on this machine: tried once, for a few seconds, and remembered in the user's cache.

Only speed depends on it. A value that was never measured, or is damaged, is no harm: the usual one is taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from core.cache import cache_folder, keep
from core.canonical import digest


class Way(NamedTuple):
    """`streams` batches at a time (each has its share of the processor), of `budget` tokens."""

    streams: int = 1
    budget: int = 4096


def ways() -> list[Way]:
    """What is tried: all cores on one batch, or a batch a core; small and large batches."""
    cores = os.cpu_count() or 1
    return [Way(streams, budget) for streams in sorted({1, cores}) for budget in (1024, 4096)]


def fastest_way(what: Sequence[object], seconds: Callable[[Way], float]) -> Way:
    """The way that takes the least time by `seconds` (a token's, say); remembered for `what` and the machine."""
    key = digest({"what": [str(part) for part in what], "processor": _processor(), "cores": os.cpu_count()})
    path = cache_folder() / "probes" / f"{key[:32]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        streams, budget = json.loads(path.read_bytes())
        if (known := Way(streams, budget)) in ways():
            return known
    tried = {way: seconds(way) for way in ways()}
    best = min(tried, key=lambda way: (tried[way], way))
    keep(path, [json.dumps(best).encode()])
    return best


def clock(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _processor() -> str:
    """The processor's name, as far as the system says it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
