"""What is left of a collection after kills, damages, a full disk and two writers at once, and what a reader sees meanwhile.

    python survival.py [--share 0.1] [--store chromadb|lancedb|files] [--seed 0] --out FILE.json

Each trial works on a scratch copy of a folder that was created and updated once. Every operation on it is a fork of a
process that has imported the library and opened nothing, since native code may take its process along; after the fault
a fresh one reads everything. The classes:

ok          the state before or after the update (damages: the state before)
between     exactly the state between two of the library's calls that make up one update, or one that only scores words
            differently, from an index that has not caught up (lancedb): no transaction over the whole update
refused     damages: an error and no answer
unreadable  an error, though nothing but the writer was disturbed
wrong       other documents or answers than any of these states has, and no error
lost        the same, and documents are missing that each acceptable state has
unreported  the disk was full, the writer saw no error, and the new state is not there
crash       the reading process died by a signal
hung        it did not end in 30 seconds

A writer that reports an error in a race has given way: then the other's state alone is as good as both together.
"""

import argparse
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stores import QUERIES, STORES, WORD_QUERIES, State, Store

FORK = get_context("fork")
TRIALS = {"kills": 1000, "damages": 1000, "disk full": 200, "races": 200, "reader checks": 600}
CLASSES = ["ok", "between", "refused", "unreadable", "wrong", "lost", "unreported", "crash", "hung"]
DAMAGES = ["bit", "block", "truncated", "extended", "emptied", "swapped", "directory"]
HEALTHY, TIMED, UPDATES, PATIENCE = 20, 10, 6, 30.0
MEMORY, ROOM, ALL = 16 << 30, 64 << 20, 99
Update = tuple[int, int]  # its number, and how many of its calls are made
Outcome = tuple[str, Any]  # done: a value; error: the exception's name; crash: the signal; hung: None


class Child:
    """A forked process at work on something; it says when it begins, then sends what `work` yields."""

    def __init__(self, work: Callable[[], Iterable[Any]]):
        self.pipe, end = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self.run, args=(end, work), daemon=True)
        self.process.start()
        end.close()
        self.next()

    @staticmethod
    def run(pipe: Any, work: Callable[[], Iterable[Any]]) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))  # a damaged length may ask for anything
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        pipe.send(("begin", None))
        try:
            for value in work():
                pipe.send(("done", value))
        except BaseException as error:  # a panic of Rust is no Exception
            pipe.send(("error", type(error).__name__))
        os._exit(0)

    def next(self) -> Outcome:
        try:
            return self.pipe.recv() if self.pipe.poll(PATIENCE) else ("hung", None)
        except (EOFError, OSError):
            self.process.join()
            return "crash", signal.Signals(-self.process.exitcode).name if self.process.exitcode else None

    def kill(self) -> None:
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.pipe.close()

    def last(self) -> Outcome:
        """The one thing that was to come; then the process is ended."""
        outcome = self.next()
        if outcome[0] in ("done", "error"):
            self.process.join(PATIENCE)
        self.kill()
        return outcome


def same(one: State, other: State, words: float = 1e-3) -> bool:
    """Whether documents are equal, and so are the answers: ids in their order, scores to a thousandth (to words: as said)."""
    if one["documents"] != other["documents"]:
        return False
    pairs = zip([1e-3] * len(QUERIES) + [words] * len(WORD_QUERIES), one["answers"], other["answers"], strict=True)
    return all(
        len(mine) == len(others)
        and all(a[0] == b[0] and abs(a[1] - b[1]) <= most for a, b in zip(mine, others, strict=True))
        for most, mine, others in pairs
    )


def classify(outcome: Outcome, wanted: list[State], between: list[State], lag: float, error: str = "unreadable") -> str:
    kind, value = outcome
    if kind != "done":
        return error if kind == "error" else kind
    if any(same(value, state) for state in wanted):
        return "ok"
    if any(same(value, state, lag) for state in between):
        return "between"
    certain = set.intersection(*(set(state["documents"]) for state in wanted))
    return "lost" if certain - set(value["documents"]) else "wrong"


def damage(folder: Path, draw: random.Random) -> None:
    """Damage one random file of the folder in one random way."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path, other = draw.sample(files, 2)
    data, how = bytearray(path.read_bytes()), draw.choice(DAMAGES)
    place = draw.randrange(len(data))
    if how == "bit":
        data[place] ^= 1 << draw.randrange(8)
    elif how == "block":
        start = place // 4096 * 4096
        data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    elif how == "truncated":
        del data[place:]
    elif how == "extended":
        data += draw.randbytes(draw.randint(1, 4096))
    elif how == "emptied":
        data.clear()
    elif how == "swapped":
        data, old = bytearray(other.read_bytes()), data
        other.write_bytes(old)
    path.write_bytes(data)
    if how == "directory":
        path.unlink()
        path.mkdir()


class Trials:
    """The trials of one store; `reports` counts the errors that were seen, by who saw them."""

    def __init__(self, store: Store, seed: int, scratch: Path):
        self.store, self.scratch = store, scratch
        self.draw = random.Random(f"{seed}")
        self.reports: Counter[str] = Counter()
        self.prepared, self.number = scratch / "prepared", 0
        store.load()

    def report(self, who: str, outcome: Outcome) -> Outcome:
        if outcome[0] != "done":
            self.reports[f"{who}: {outcome[1] or outcome[0]}"] += 1
        return outcome

    @contextmanager
    def copy(self, full: int | None = None) -> Iterator[Path]:
        """A copy of the prepared folder; with `full`, on a disk of its own with so many bytes left."""
        self.number += 1
        top = self.scratch / f"trial{self.number}"
        top.mkdir()
        try:
            if full is not None:
                mount(top, ROOM)
            shutil.copytree(self.prepared, top / "store")
            if full is not None:
                disk = os.statvfs(top)
                mount(top, (disk.f_blocks - disk.f_bfree) * disk.f_frsize + full, "remount")
            yield top / "store"
        finally:
            if full is not None:
                subprocess.run(["umount", top], check=True)
            shutil.rmtree(top)

    def updating(self, folder: Path, *updates: Update, limit: int | None = None, at: float = 0) -> Child:
        """A child that applies the updates at the given time and says how many calls it made; no file may exceed the limit."""

        def work() -> Iterator[int]:
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            time.sleep(max(0, at - time.monotonic()))
            yield sum(1 for n, calls in updates for _ in zip(range(calls), self.store.update(folder, n), strict=False))

        return Child(work)

    def read(self, folder: Path) -> Outcome:
        return self.report("reader", Child(lambda: [self.store.read(folder)]).last())

    def state(self, *updates: Update) -> State:
        """What is read after the updates, each by a process of its own."""
        with self.copy() as folder:
            for update in updates:
                self.done(self.updating(folder, update))
            return self.done(Child(lambda: [self.store.read(folder)]))

    def done(self, child: Child) -> Any:
        kind, value = child.last()
        assert kind == "done", f"a healthy run failed: {value}"
        return value

    def prepare(self) -> int:
        """Make the folder that trials copy; says how many of the healthy runs gave the same state as the first."""
        states = []
        for _ in range(HEALTHY):
            shutil.rmtree(self.prepared, ignore_errors=True)
            self.done(Child(lambda: [self.store.create(self.prepared)]))
            self.calls = self.done(self.updating(self.prepared, (0, ALL)))
            states.append(self.state((1, ALL)))
        # the states of one update, of two in a race, and of several in a row
        some, row = range(self.calls + 1), range(1, UPDATES + 1)
        self.one = [self.state((1, calls)) for calls in some]
        self.two = {(a, b): self.state((1, a), (2, b)) for a in some for b in some}
        self.row = [self.state(*((m, ALL) for m in range(1, n)), (n, calls)) for n in row for calls in some]
        self.seconds = sorted(self.time() for _ in range(TIMED))[TIMED // 2]
        return sum(same(state, states[0]) for state in states)

    def time(self) -> float:
        with self.copy() as folder:
            child, start = self.updating(folder, (1, ALL)), time.perf_counter()
            child.next()
            seconds = time.perf_counter() - start
            child.kill()
            return seconds

    def kills(self, count: int) -> Iterator[str]:
        for _ in range(count):
            with self.copy() as folder:
                child = self.updating(folder, (1, ALL))
                time.sleep(self.draw.uniform(0, self.seconds))
                child.kill()
                yield classify(self.read(folder), [self.one[0], self.one[-1]], self.one, self.store.lag)

    def damages(self, count: int) -> Iterator[str]:
        for _ in range(count):
            with self.copy() as folder:
                damage(folder, self.draw)
                yield classify(self.read(folder), self.one[:1], [], 0, "refused")

    def disk_full(self, count: int) -> Iterator[str]:
        """Half with a limit of a file's size, half on a small disk of its own where one may be mounted."""
        with self.copy() as folder:
            before = sizes(folder)
            self.updating(folder, (1, ALL)).last()
            after = sizes(folder)
        most, mounts = max(after), may_mount(self.scratch)
        for number in range(count):
            part, small = number / (count - 1), mounts and number % 2
            full = int(part * (most + max(0, sum(after) - sum(before)))) if small else None
            with self.copy(full) as folder:
                limit = None if small else int(part * most)
                writer = self.report("writer", self.updating(folder, (1, ALL), limit=limit).last())
                if small:
                    mount(folder.parent, ROOM, "remount")  # reading is tried when there is room again
                read = self.read(folder)
                new = read[0] == "done" and same(read[1], self.one[-1])
                unreported = writer[0] == "done" and not new
                yield (
                    "unreported"
                    if unreported
                    else classify(read, [self.one[0], self.one[-1]], self.one, self.store.lag)
                )

    def races(self, count: int) -> Iterator[str]:
        full = self.calls
        for _ in range(count):
            with self.copy() as folder:
                start = time.monotonic() + 0.05  # both have been forked by then
                starts = [(1, start), (2, start + self.draw.uniform(0, self.seconds))]
                writers = [self.updating(folder, (n, ALL), at=at) for n, at in starts]
                done = [self.report("writer", writer.last())[0] == "done" for writer in writers]
                # a writer that said it was done has to be there whole, whatever became of the other one
                wanted, seen = (
                    [self.two[a, b] for a in (made, [full])[done[0]] for b in (made, [full])[done[1]]]
                    for made in ([0, full], range(full + 1))
                )
                yield classify(self.read(folder), wanted, seen, self.store.lag)

    def reader_checks(self, count: int) -> Iterator[str]:
        ends = self.row[:: self.calls + 1] + self.row[-1:]
        while count > 0:
            with self.copy() as folder:

                def reading(folder: Path = folder) -> Iterator[Outcome]:
                    while True:
                        try:
                            yield "done", self.store.read(folder)
                        except BaseException as error:
                            yield "error", type(error).__name__

                reader = Child(reading)
                reader.next()
                writer = self.updating(folder, *((n, ALL) for n in range(1, UPDATES + 1)))
                while count > 0 and not writer.pipe.poll():
                    kind, value = reader.next()
                    outcome = value if kind == "done" else (kind, value)
                    yield classify(self.report("reader", outcome), ends, self.row, self.store.lag)
                    count -= 1
                    if kind != "done":
                        break
                reader.kill()
                if writer.pipe.poll():
                    self.report("writer", writer.next())
                writer.kill()


def mount(place: Path, size: int, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"]), "tmpfs", str(place)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def may_mount(scratch: Path) -> bool:
    try:
        mount(place := Path(tempfile.mkdtemp(dir=scratch)), ROOM)
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", place], check=True)
    return True


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def survive(name: str, seed: int, share: float) -> dict[str, Any]:
    """All trials of one store."""
    warnings.filterwarnings("ignore", "lancedb fork support is experimental")
    with tempfile.TemporaryDirectory() as scratch:
        trials = Trials(STORES[name], seed, Path(scratch))
        healthy = trials.prepare()
        print(f"{name}: {healthy} of {HEALTHY} healthy runs gave the same state", flush=True)
        result: dict[str, Any] = {
            "versions": {package: version(package) for package in STORES[name].packages},
            "healthy": {"runs": HEALTHY, "same": healthy},
            "calls_of_an_update": trials.calls,
            "seconds_of_an_update": round(trials.seconds, 4),
        }
        for kind, count in TRIALS.items():
            start, trials.reports = time.perf_counter(), Counter()
            found = Counter(getattr(trials, kind.replace(" ", "_"))(max(2, math.ceil(count * share))))
            seconds = round(time.perf_counter() - start, 1)
            counts = {one: found[one] for one in CLASSES}
            print(f"{name:9} {kind:14}" + "".join(f"{counts[one]:11}" for one in CLASSES), flush=True)
            result[kind] = {"trials": found.total(), **counts, "errors": dict(trials.reports), "seconds": seconds}
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of trials")
    parser.add_argument("--store", choices=STORES, help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    print(f"{'':24}" + "".join(f"{one:>11}" for one in CLASSES), flush=True)
    result: dict[str, Any] = {
        "seed": chosen.seed,
        "share": chosen.share,
        "python": sys.version.split()[0],
        "stores": {},
    }
    for name in [chosen.store] if chosen.store else STORES:
        with ProcessPoolExecutor(1, mp_context=FORK) as pool:  # each library is imported where no other one is
            result["stores"][name] = pool.submit(survive, name, chosen.seed, chosen.share).result()
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
