"""An index survives anything: every moment of a build at which it can be killed, refused or overtaken, every file damaged
in every way, and a seeded sample of what has too many cases. `benchmarks/lifecycle/survival.py` runs more of the same."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import beside
import damage
import pytest
import trials
from children import command_line, ended, value_of
from kinds import KINDS, run
from lab import Scene, make_scenes, survived, workplace

from core.errors import ExitCode

SAMPLES = {  # so many trials of each kind; what is gone through as a whole has none here
    "kill -9 at a system call": 40, "kill -9 by the clock": 10, "kill -9 again and again": 8, "SIGTERM or SIGINT": 30,
    "damage": 30, "full disk": 24, "two writers at once": 20, "readers in a loop": 6, "a reader at every moment": 3,
    "a reader held up": 10, "power cut": 60, "error at a system call": 60, "carried elsewhere": 12, "read-only": 4,
    "a strange clock": 6, "a stale LOCK": 6, "files lying about": 6,
}  # fmt: skip
PART = 20  # trials of a test, so that two processes share them evenly
SCENES = ("first", "second", "several")


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    with workplace() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMESPACE_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="session")
def scenes(place: Path) -> dict[str, Scene]:
    return make_scenes(place / "scenes")


@pytest.fixture
def new_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Path]]:
    """Gives a folder a call; each is gone when the next is asked for. Trials set the cache; that is put back."""
    monkeypatch.setenv("SAMESPACE_CACHE", str(place / "cache"))
    numbers, base = count(), place / "trials"

    def new() -> Path:
        shutil.rmtree(base, ignore_errors=True)
        return base / str(next(numbers)) / "trial"

    yield new
    shutil.rmtree(base, ignore_errors=True)


def parts() -> list[tuple[str, int]]:
    return [(kind, first) for kind, number in SAMPLES.items() for first in range(0, number, PART)]


@pytest.mark.parametrize(("kind", "first"), parts(), ids=str)
def test_sample(kind: str, first: int, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    outcomes = [run(kind, seed, scenes, new_folder()) for seed in range(first, min(first + PART, SAMPLES[kind]))]
    assert not [str(outcome) for outcome in outcomes if outcome.column]


def test_every_kind_is_sampled_or_gone_through() -> None:
    whole = {"kill -9 at a step", "a writer overtaken", "a reader overtaken", "error at a step"}
    assert set(SAMPLES) | whole == set(KINDS)


# Every moment


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_step(name: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    scene = scenes[name]
    steps = trials.moments(scene, "step", new_folder())
    assert steps.count("rename CURRENT") == 1
    switch = steps.index("rename CURRENT")
    for number in range(0, len(steps), 2 if name == "second" else 1):
        found = trials.killed_at(scene, new_folder(), "step", number)
        assert found == ("old" if number <= switch else "new"), f"killed before step {number}, {steps[number]}"


@pytest.mark.parametrize("name", SCENES)
def test_refused_at_every_step(name: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    scene, said = scenes[name], set()
    for number in range(len(trials.moments(scene, "step", new_folder()))):
        code = trials.ERRORS[number % len(trials.ERRORS)]
        said.add(trials.refused_at(scene, new_folder(), "step", number, code))
    assert said >= {"said, old", "said, new"}


@pytest.mark.parametrize("name", SCENES)
def test_no_folder_that_may_not_be_listed_is_taken_for_empty(
    name: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]
) -> None:
    """What the sweep and the collection of old generations keep is what `generations` lists."""
    scene = scenes[name]
    calls = trials.moments(scene, "call", new_folder())
    listed = [number for number, call in enumerate(calls) if call in ("scandir", "listdir")]
    assert listed
    for number in listed[:: 1 if name == "first" else 3]:
        trials.refused_at(scene, new_folder(), "call", number, errno.EACCES)


@pytest.mark.parametrize("name", SCENES)
def test_power_cut_at_every_change(name: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    scene, rng = scenes[name], random.Random(name)
    _, events, contents = trials.recording(scene, new_folder())
    assert {"open", "sync", "os.link", "os.rename", "os.remove", "os.mkdir"} <= {event[0] for event in events}
    assert contents
    states = []
    for number in range(len(events) + 1):
        states.append(trials.cut_off_at(scene, new_folder(), number, rng.choice(("lost", "zeroed")), "old", rng))
    assert states == sorted(states, reverse=True), "what was new once is old after a later cut"
    assert set(states) == {"old", "new"}


@pytest.mark.parametrize("name", SCENES)
def test_a_writer_overtaken_at_every_step(name: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    scene, said = scenes[name], set()
    for number in range(0, len(trials.moments(scene, "step", new_folder())), 1 if name == "first" else 5):
        said.add(trials.overtaken_at(scene, new_folder(), number))
    assert said == {"done overtaken by done", "done overtaken by locked"}


@pytest.mark.parametrize("what", beside.READERS)
def test_a_reader_overtaken_at_every_call(what: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    scene = scenes["several"]
    calls = beside.reader_calls(scene, new_folder(), what)
    assert calls > 20
    for number in range(calls):
        beside.overtaken_at(scene, new_folder(), what, number)


# Every file


@pytest.mark.parametrize("how", damage.DAMAGES)
def test_damage_to_every_file(how: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    scene, rng = scenes["several"], random.Random(how)
    assert any(name.endswith(".codes") for name in scene.needed)
    said = [damage.damaged(scene, new_folder(), name, how, rng) for name in scene.needed]
    assert "refused" in said


# Every size of a full disk


@pytest.mark.parametrize("name", SCENES)
def test_a_full_disk(name: str, scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    scene = scenes[name]
    most = trials.largest(scene, new_folder())
    said = [trials.full_at(scene, new_folder(), size) for size in (0, 1, 100, 4096, most - 1, most)]
    assert said == ["said, old"] * 5 + ["done"]


def test_too_few_files_may_be_open(scenes: dict[str, Scene], new_folder: Callable[[], Path]) -> None:
    """Real ones, at the command line: said with the exit code for that, never a traceback."""
    scene = scenes["second"]
    import resource

    for spare in range(1, 8):
        root = scene.copied(new_folder())

        def work(root: Path = root, spare: int = spare) -> tuple[int, str]:
            from cli.commands import build as _  # noqa: F401 - what the program is made of is loaded before

            highest = max(int(name) for name in os.listdir("/dev/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            return command_line(scene.words(root))

        code, said = value_of(ended(work))
        assert code in (ExitCode.DONE, ExitCode.STORAGE), said
        assert survived(root, scene) == ("new" if code == ExitCode.DONE else "old")
