"""An index under fire: kills, damages, full disks, races and readers, by the trials of `tests/faults`, each seeded.

    python benchmarks/lifecycle/survival.py [--share 1.0] [--processes 2] [--out FILE]

After every trial a reader must see the state before or the one after, `check` must find nothing wrong, and the next build must
mend what is left. A trial that does not end so is listed with its kind and seed: `kinds.run(kind, seed, …)` repeats it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "faults"), str(ROOT / "tests" / "index")]

from kinds import GROUPS, Outcome, run  # noqa: E402
from lab import COLUMNS, make_scenes, workplace  # noqa: E402

TRIALS = {  # of each group
    "kills": 1000,
    "damages": 1000,
    "full disk": 200,
    "writer races": 200,
    "reader checks": 600,
    "power cuts": 300,
    "refusals": 300,
    "places": 100,
}


def tasks(share: float) -> Iterator[tuple[str, int]]:
    """Kind and seed of every trial; the kinds of a group take turns."""
    for group, number in TRIALS.items():
        kinds = list(GROUPS[group])
        yield from ((kinds[n % len(kinds)], n) for n in range(round(number * share)))


def work(mine: list[tuple[str, int]], found: Any) -> None:
    import os

    with workplace() as place:
        os.environ["SAMESPACE_CACHE"] = str(place / "cache")
        scenes = make_scenes(place / "scenes")
        for kind, seed in mine:
            os.environ["SAMESPACE_CACHE"] = str(place / "cache")
            found.put(run(kind, seed, scenes, place / "trials"))
    found.put(None)


def outcomes(share: float, processes: int) -> Iterator[Outcome]:
    context, everything = multiprocessing.get_context("spawn"), list(tasks(share))
    found = context.Queue()
    workers = [
        context.Process(target=work, args=(everything[n::processes], found), daemon=False) for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    at_work = processes
    while at_work:
        outcome = found.get()
        if outcome is None:
            at_work -= 1
        else:
            yield outcome
    for worker in workers:
        worker.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    group_of = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
    start, counts, words, faults = time.perf_counter(), Counter(), Counter(), []
    for outcome in outcomes(chosen.share, chosen.processes):
        group = group_of[outcome.kind]
        counts[group, outcome.column or "survived"] += 1
        if outcome.column:
            faults.append(str(outcome))
        else:
            words[outcome.kind, outcome.word] += 1
    table = {
        group: {"trials": sum(counts[group, column] for column in ("survived", *COLUMNS)), **{
            column: counts[group, column] for column in COLUMNS
        }}
        for group in TRIALS
    }  # fmt: skip
    found = {
        "share": chosen.share,
        "seconds": round(time.perf_counter() - start),
        "groups": table,
        "words": {f"{kind}: {word}": number for (kind, word), number in sorted(words.items())},
        "faults": sorted(faults),
    }
    print(f"{'':15}{'trials':>8}" + "".join(f"{column:>16}" for column in COLUMNS))
    for group, row in table.items():
        print(f"{group:15}" + f"{row['trials']:>8}" + "".join(f"{row[column]:>16}" for column in COLUMNS))
    for fault in found["faults"]:
        print(fault)
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
