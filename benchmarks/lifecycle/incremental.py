"""What a night costs: a full build, one with nothing changed, with 1 % changed, with 1 % deleted; what an interruption costs;
memory; opening with and without digests.

    python benchmarks/lifecycle/incremental.py DATA/scale/rfc-passages.jsonl.gz [--chunks 100000] [--model minilm] [--out FILE]

Every command is a process of its own, as a user starts it, with a cache of its own that is empty at first. CPU seconds stand
beside the wall clock, for machines on which something else runs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

SAMESPACE = [sys.executable, "-m", "cli.main"]
TENTH = 10_000


def write_corpus(folder: Path, lines: Iterable[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "corpus.jsonl").open("wb") as file:
        file.writelines(lines)


def change(line: bytes, word: str) -> bytes:
    record = json.loads(line)
    record["text"] += f"\nAmended: {word}.\n"
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def run(*words: str | Path, expected: int = 0) -> dict[str, Any]:
    """One command, to its end: its JSON, wall and CPU seconds, and the peak of its own memory in MB."""
    start, before = time.perf_counter(), os.times()
    process = subprocess.Popen([*SAMESPACE, *map(str, words), "--json"], stdout=subprocess.PIPE)
    peak = [0]

    def look() -> None:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            if found := re.search(r"RssAnon:\s+(\d+)", status):
                peak[0] = max(peak[0], int(found[1]) // 1024)
            time.sleep(0.02)

    threading.Thread(target=look, daemon=True).start()
    out, _ = process.communicate()
    after = os.times()
    if process.returncode != expected:
        raise SystemExit(f"{words} ended with {process.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {**json.loads(out), "seconds": time.perf_counter() - start, "cpu": cpu, "peak_mb": peak[0]}


def figures(runs: list[dict[str, Any]], *names: str) -> dict[str, Any]:
    """Medians of the times, what the last run said of `names`."""
    found = {name: round(statistics.median(run[name] for run in runs), 2) for name in ("seconds", "cpu")}
    return {**found, "runs": len(runs), "peak_mb": runs[-1]["peak_mb"], **{name: runs[-1][name] for name in names}}


# An interruption: how many texts go through the model more than once. The runner counts them as they leave the model.
_COUNTED = """
import sys
from pathlib import Path
from core.encoders.transformer import TransformerEncoder
from core.pipeline.build import build
log, root, source, model = sys.argv[1:]
stream = TransformerEncoder.stream
def counted(self, texts, side):
    for rows, vectors in stream(self, texts, side):
        if len(texts) > 100:
            with open(log, "a") as file:
                file.write(f"{len(rows)}\\n")
        yield rows, vectors
TransformerEncoder.stream = counted
report = build(Path(root), [source], model=model, chunker="none")
"""


def interrupted(folder: Path, source: Path, model: str, rng: random.Random, kills: int) -> dict[str, Any]:
    """Kill -9 again and again in the middle of embedding, each time with a cache that is lost as well."""
    log, root = folder / "counted.log", folder / "interrupted.index"
    command = [sys.executable, "-c", _COUNTED, str(log), str(root), str(source), model]

    def counted() -> int:
        return sum(map(int, log.read_text().split())) if log.exists() else 0

    for number in range(kills + 1):
        environment = {**os.environ, "SAMESPACE_CACHE": str(folder / f"lost-{number}")}
        process = subprocess.Popen(command, env=environment)
        enough = counted() + rng.randint(200, 900)
        while process.poll() is None and (number == kills or counted() < enough):
            time.sleep(0.01)
        if number < kills:
            process.send_signal(signal.SIGKILL)
        if process.wait() not in (0, -signal.SIGKILL):
            raise SystemExit("a build failed")
    texts = len({json.loads(line)["text"] + json.loads(line)["title"] for line in (source / "corpus.jsonl").open()})
    return {"kills": kills, "texts": texts, "embedded": counted(), "repeated": round(counted() / texts - 1, 4)}


# Opening: every file of the index, found by the digests that are remembered, or by none at all.
_OPENED = """
import sys, time
from pathlib import Path
from core.index import reader
if sys.argv[2] == "unverified":
    reader.Index.verified = lambda self, name: self.root / name
start = time.perf_counter()
index = reader.open_index(Path(sys.argv[1]))
for segment in index.segments:
    segment.documents, segment.chunks, segment.lexical, segment.vectors, segment.codes
print(time.perf_counter() - start)
"""


def opening(root: Path) -> dict[str, Any]:
    times: dict[str, list[float]] = {"verified": [], "unverified": []}
    for _ in range(15):
        for how, found in times.items():
            done = subprocess.run(
                [sys.executable, "-c", _OPENED, root, how], capture_output=True, text=True, check=True
            )
            found.append(float(done.stdout))
    medians = {how: statistics.median(found) for how, found in times.items()}
    return {
        **{f"{how}_ms": round(1000 * seconds, 2) for how, seconds in medians.items()},
        "ratio": round(medians["verified"] / medians["unverified"], 3),
        "median_of_ratios": round(
            statistics.median(a / b for a, b in zip(times["verified"], times["unverified"], strict=True)), 3
        ),
    }


def measure(folder: Path, lines: list[bytes], model: str) -> dict[str, Any]:
    rng, root = random.Random(20261125), folder / "whole.index"
    small, whole = folder / "small", folder / "whole"
    write_corpus(small, lines[:TENTH])
    write_corpus(whole, lines)
    options = ("--model", model, "--chunker", "none")
    found: dict[str, Any] = {"chunks": len(lines), "model": model}
    tenth = [run("build", small, "--to", folder / "small.index", *options)]
    found["a tenth"] = figures(tenth, "chunks", "embedded")
    found["interrupted"] = interrupted(folder, small, model, rng, kills=5)
    shutil.rmtree(os.environ["SAMESPACE_CACHE"] + "/embeddings", ignore_errors=True)  # the full build gets no help
    full = [run("build", whole, "--to", root, *options)]
    found["full"] = figures(full, "chunks", "embedded", "reused")
    found["opening"] = opening(root)
    time.sleep(3)  # until the files count as settled
    run("build", "--to", root)
    found["nothing changed"] = figures([run("build", "--to", root) for _ in range(5)], "published")
    hundredth = len(lines) // 100
    changed = []
    for night in range(3):
        for at in rng.sample(range(len(lines)), hundredth):
            lines[at] = change(lines[at], f"night {night}")
        write_corpus(whole, lines)
        changed.append(run("build", "--to", root))
    found["1 % changed"] = figures(changed, "embedded", "counts")
    deleted = []
    for _ in range(3):
        gone = set(rng.sample(range(len(lines)), hundredth))
        lines[:] = [line for at, line in enumerate(lines) if at not in gone]
        write_corpus(whole, lines)
        deleted.append(run("build", "--to", root))
    found["1 % deleted"] = figures(deleted, "embedded", "counts")
    for name in ("nothing changed", "1 % changed", "1 % deleted"):
        found[name]["of the full build"] = {
            kind: round(found[name][kind] / found["full"][kind], 5) for kind in ("seconds", "cpu")
        }
    found["memory, full to a tenth"] = round(full[0]["peak_mb"] / tenth[0]["peak_mb"], 3)
    found["segments"] = run("info", root)["segments"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages", type=Path)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lifecycle-") as scratch:
        os.environ["SAMESPACE_CACHE"] = f"{scratch}/cache"
        with gzip.open(chosen.passages) as file:
            found = measure(Path(scratch), list(islice(file, chosen.chunks)), chosen.model)
    text = json.dumps(found, indent=1)
    sys.stdout.write(text + "\n")
    if chosen.out:
        chosen.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
