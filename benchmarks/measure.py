"""What every benchmark shares: processes timed in turns, medians of five, and the versions they were measured with."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

REPEATS = 5
SAMESPACE = [sys.executable, "-m", "cli.main"]


def in_turns(tried: Mapping[str, Callable[[], float]], repeats: int = REPEATS) -> dict[str, dict[str, float]]:
    """Each of `tried` once a round, `repeats` rounds, so that a noisy minute hits all alike: median, least and most of
    what they return (seconds, say).
    """
    found: dict[str, list[float]] = {name: [] for name in tried}
    for _ in range(repeats):
        for name, run in tried.items():
            found[name].append(run())
    return {
        name: {"median": statistics.median(values), "least": min(values), "most": max(values)}
        for name, values in found.items()
    }


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """As a user has it: compiled modules are kept, whatever the machine that measures thinks of that."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}, **env}


def process(command: Sequence[object], **env: str) -> Callable[[], float]:
    """Runs the command as a process of its own and returns its seconds; what it prints is thrown away."""

    def run() -> float:
        start = time.perf_counter()
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, env=environment(env), check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"{words} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
        return seconds

    return run


def printed(command: Sequence[object], **env: str) -> Any:
    """The JSON that a process prints on its last line."""
    done = subprocess.run([str(word) for word in command], capture_output=True, env=environment(env), check=True)
    return json.loads(done.stdout.decode().strip().splitlines()[-1])


def versions(*packages: str) -> dict[str, str]:
    """Of the packages and the machine."""
    cpu = platform.processor() or platform.machine()
    path = Path("/proc/cpuinfo")
    if path.exists():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        flags = " ".join(lines)
        kinds = [kind for kind in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if kind in flags]
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu = f"{names[0] if names else cpu}, {os.cpu_count()} cores, {kinds[0] if kinds else ''}"
    return {"cpu": cpu, "python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def report(name: str, value: Mapping[str, Any]) -> None:
    """One line of JSON on stdout, and the same kept in benchmarks/results/NAME.json."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(value, ensure_ascii=False))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]
