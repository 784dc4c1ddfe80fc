"""python benchmarks/space_mutations/guard.py DATA [--out FILE]: what the canaries cost a query, cold and warm.

Cold: a whole process from its start to its hits, with the guard and with the guard left out, in turns; medians of 21. Warm:
the canaries that ride with a query, embedded by the engine that answers queries; a process asks them once, not per query.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.measure import in_turns, process
from core.config import open_encoder
from core.pipeline.build import build
from core.space.canaries import SHORT

CORPUS = {"minilm": "scifact", "multilingual-e5-small-q4": "xquad-zh"}
_SEARCH = """
import sys
if sys.argv[2] == "without":
    import core.space.verify as verify
    verify.guard = lambda *words, **options: None
from cli.main import main
sys.argv = ["samespace", "search", sys.argv[1], sys.argv[3], "--mode", "dense"]
main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for model, name in CORPUS.items():
        folder = options.data / "retrieval" / name
        query = json.loads((folder / "queries.jsonl").read_text().splitlines()[0])["text"]
        with tempfile.TemporaryDirectory() as scratch:
            notes, index = Path(scratch) / "notes", Path(scratch) / "my.index"
            notes.mkdir()
            for number, line in enumerate((folder / "corpus.jsonl").read_text().splitlines()[:200]):
                (notes / f"{number}.txt").write_text(json.loads(line)["text"][:500])
            build(index, [str(notes)], model=model)
            runs = {how: process([sys.executable, "-c", _SEARCH, index, how, query]) for how in ("with", "without")}
            cold = in_turns(runs, 21)
        encoder = open_encoder(model)
        encoder.embed([query], "query")
        times = []
        for _ in range(50):
            start = time.perf_counter()
            encoder.embed(list(SHORT), "query")
            times.append(1000 * (time.perf_counter() - start))
        results[model] = {
            "cold": cold,
            "share of a cold query": round(cold["with"]["median"] / cold["without"]["median"] - 1, 4),
            "canaries, warm, ms": round(statistics.median(times), 2),
        }
        print(model, json.dumps(results[model]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
