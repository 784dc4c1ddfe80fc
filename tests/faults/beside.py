"""Readers beside a writer that publishes one generation after another and collects the old ones: every answer is exactly
one generation's, a later reading never shows an earlier one, and no reader raises."""

from __future__ import annotations

import os
import random
import select
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from children import MOMENTS, Child, ended, value_of
from handmade import FIRST, SECOND, Seen, built, put, see, seen
from lab import ANN, THIRD, Fault, Scene, checked, collect, must

from core.index.reader import Index, reading

FOURTH = {"cat.md": "# The cat again\n\nA cat sat by the river bank.\n", "sub/python.md": None}
CHANGES = (FIRST, SECOND, THIRD, FOURTH)


@dataclass(frozen=True)
class Chain:
    """A source that changes, and what a reader sees of each of its states."""

    states: tuple[Seen, ...]

    def number_of(self, found: Seen) -> int:
        for number, state in enumerate(self.states):
            if found.alike(state):
                return number
        raise Fault("wrong answers", f"no generation ever answered so: {sorted(found.documents)}")


def chain(scene: Scene, folder: Path) -> Chain:
    """Every state is built afresh in another place, once."""
    if "chain" not in scene.kept:
        source, states = folder.with_name(f"{folder.name}.chain") / "notes", []
        with scene.settings():
            for number, changes in enumerate(CHANGES):
                put(source, changes)
                fresh = source.with_name(f"{number}.index")
                built(fresh, source, ann=ANN if scene.small else None)
                states.append(seen(fresh))
        scene.kept["chain"] = Chain(tuple(states))
    return scene.kept["chain"]  # type: ignore[no-any-return]


def _start(scene: Scene, folder: Path) -> tuple[Path, Path]:
    """An index of the first state, and its source."""
    folder.mkdir(parents=True)
    os.environ["SAMESPACE_CACHE"] = f"{folder}.cache"
    source, root = put(folder / "notes", CHANGES[0]), folder / "my.index"
    with scene.settings():
        built(root, source, ann=ANN if scene.small else None)
    return root, source


def _publish(scene: Scene, root: Path, source: Path, changes: Mapping[str, str | bytes | None]) -> None:
    put(source, changes)
    with scene.settings():
        built(root, source)
        collect(root)


def _read(scene: Scene, root: Path, states: Chain) -> int:
    """The number of the state that a reader sees now."""
    try:
        with scene.settings():
            return states.number_of(seen(root))
    except Fault:
        raise
    except Exception as error:
        raise Fault("unreadable", f"beside a writer: {error!r}") from error


def looped(rng: random.Random, scene: Scene, folder: Path) -> str:
    """Two readers and a check, again and again until the writer is through; then once more, which is the last state."""
    states = chain(scene, folder)
    root, source = _start(scene, folder)
    gate, opened = os.pipe()

    def again_and_again(look: Callable[[], Any]) -> list[Any]:
        os.close(opened)
        found, is_last = [], False
        while not is_last:
            is_last = bool(select.select([gate], [], [], 0)[0])  # the writer is through: its end of the pipe is closed
            found.append(look())
        return found

    def write() -> None:
        os.close(gate)
        for changes in CHANGES[1:]:
            _publish(scene, root, source, changes)

    readers = [Child(lambda: again_and_again(lambda: _read(scene, root, states))) for _ in range(2)]
    checker = Child(lambda: again_and_again(lambda: checked(root, scene)))
    writer = Child(write)
    os.close(opened)
    os.close(gate)
    value_of(writer.wait())
    for reader in readers:
        found = value_of(reader.wait())
        must(found == sorted(found), "wrong answers", f"a reader went back: {found}")
        must(found[-1] == len(CHANGES) - 1, "wrong answers", f"the last state is not seen in the end: {found}")
    value_of(checker.wait())
    return "each answer one generation's"


def at_every_moment(scene: Scene, folder: Path, kind: str, every: int, first: int) -> int:
    """A reader at every `every`-th step or call of a writer, from the `first`-th. Returns how many readings there were."""
    states = chain(scene, folder)
    root, source = _start(scene, folder)

    def work() -> list[int]:
        found: list[int] = []
        count = 0

        def look(name: str) -> None:
            nonlocal count
            if count % every == first:
                found.append(value_of(ended(lambda: _read(scene, root, states))))
            count += 1

        for changes in CHANGES[1:]:
            with MOMENTS[kind](None, look):
                _publish(scene, root, source, changes)
        return [*found, _read(scene, root, states)]

    found = value_of(ended(work))
    must(found == sorted(found) and found[-1] == len(CHANGES) - 1, "wrong answers", f"a reader went back: {found}")
    return len(found)


def between(rng: random.Random, scene: Scene, folder: Path) -> str:
    """A reader now and then, at a step or in the middle of one."""
    every = rng.randint(30, 60)
    at_every_moment(scene, folder, rng.choice(list(MOMENTS)), every, rng.randrange(every))
    return "each answer one generation's"


READERS: dict[str, Callable[[Scene, Path, Chain], int | None]] = {
    "search": _read,
    "check": lambda scene, root, states: checked(root, scene),
}


def reader_calls(scene: Scene, folder: Path, what: str) -> int:
    """How many system calls a reading of the index takes, or a check of it: counted once."""
    if what not in scene.kept:
        states = chain(scene, folder)
        root, _ = _start(scene, folder.with_name(f"{folder.name}.{what}"))

        def work() -> int:
            with MOMENTS["call"](-1, print) as calls:
                READERS[what](scene, root, states)
            return len(calls)

        scene.kept[what] = value_of(ended(work))
    return int(scene.kept[what])


def overtaken_at(scene: Scene, folder: Path, what: str, number: int) -> str:
    """Before the `number`-th system call of a reader, a writer publishes and collects what the reader was about to read."""
    states = chain(scene, folder)
    root, source = _start(scene, folder)

    def work() -> int | None:
        def publish(name: str) -> None:
            value_of(ended(lambda: _publish(scene, root, source, CHANGES[1])))

        with MOMENTS["call"](number, publish):
            return READERS[what](scene, root, states)

    found = value_of(ended(work))
    must(found in (None, 0, 1), "wrong answers", f"state {found} was seen")
    return {None: "no finding", 0: "the old", 1: "the new"}[found]


def reader_overtaken(rng: random.Random, scene: Scene, folder: Path) -> str:
    what = rng.choice(list(READERS))
    return overtaken_at(scene, folder, what, rng.randrange(reader_calls(scene, folder, what)))


def held(rng: random.Random, scene: Scene, folder: Path) -> str:
    """A reader opens a generation and reads on after others were published and it was collected: that one's answers, or,
    where it had to begin again, a later one's."""
    states = chain(scene, folder)
    root, source = _start(scene, folder)
    later = rng.randint(1, len(CHANGES) - 1)
    is_opened_first = rng.random() < 0.5
    begun = 0

    def use(index: Index) -> Seen:
        nonlocal begun
        begun += 1
        if begun == 1:
            if is_opened_first:
                see(index)
            for changes in CHANGES[1 : later + 1]:
                value_of(ended(lambda changes=changes: _publish(scene, root, source, changes)))
        return see(index)

    try:
        with scene.settings():
            found = states.number_of(reading(root, use))
    except Fault:
        raise
    except Exception as error:
        raise Fault("unreadable", f"while others published: {error!r}") from error
    must(found == (0 if begun == 1 else later), "wrong answers", f"begun {begun} times, and state {found} was seen")
    must(_read(scene, root, states) == later, "wrong answers", "the last state is not seen")
    checked(root, scene)
    return "the same generation" if begun == 1 else "begun again with the newest"
