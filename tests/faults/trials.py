"""A build that is killed, stopped, refused by the system, or cut off with the power: one function a kind of trial.

A trial gets a seeded `rng`, a scene and an empty folder, and returns a word for what it found; it raises Fault. What takes
the moment as a number besides is the trial itself, for those who go through all moments.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from children import MOMENTS, Child, at_step, command_line, ended, kill_myself, value_of
from disk import DATA, NAMES, Disk, record
from lab import Scene, must, survived

from core.errors import ExitCode, LockedError, SamespaceError

Trial = Callable[[random.Random, Scene, Path], str]

# Killed


def moments(scene: Scene, kind: str, folder: Path) -> list[str]:
    """The names of all steps or calls of a build of the scene: counted once, in a child."""
    if kind not in scene.kept:
        root = scene.copied(folder / "counted")

        def work() -> list[str]:
            with MOMENTS[kind](-1, kill_myself) as found:
                scene.build(root)
            return list(found)

        scene.kept[kind] = value_of(ended(work))
    return scene.kept[kind]  # type: ignore[no-any-return]


def any_moment(rng: random.Random, scene: Scene, kind: str, folder: Path) -> int:
    return rng.randrange(len(moments(scene, kind, folder)))


def killed_at(scene: Scene, folder: Path, kind: str, number: int) -> str:
    """kill -9 before the `number`-th step or call."""
    root = scene.copied(folder)

    def work() -> None:
        with MOMENTS[kind](number, kill_myself):
            scene.build(root)

    end = ended(work)
    if end.signal != signal.SIGKILL:
        value_of(end)
    return survived(root, scene)


def killed_at_a_step(rng: random.Random, scene: Scene, folder: Path) -> str:
    return killed_at(scene, folder, "step", any_moment(rng, scene, "step", folder))


def killed_at_a_call(rng: random.Random, scene: Scene, folder: Path) -> str:
    return killed_at(scene, folder, "call", any_moment(rng, scene, "call", folder))


def killed_by_the_clock(rng: random.Random, scene: Scene, folder: Path) -> str:
    """kill -9 whenever that is: what must hold holds at every moment."""
    if "seconds" not in scene.kept:
        root, start = scene.copied(folder / "timed"), time.perf_counter()
        value_of(ended(lambda: scene.build(root)))
        scene.kept["seconds"] = time.perf_counter() - start
    root = scene.copied(folder)
    child = Child(lambda: scene.build(root))
    if not child.is_ended(rng.uniform(0, scene.kept["seconds"])):
        child.kill()
    end = child.wait()
    if end.signal != signal.SIGKILL:
        value_of(end)
    return survived(root, scene)


def killed_again_and_again(rng: random.Random, scene: Scene, folder: Path) -> str:
    """One after another on the same index, with no whole build between them."""
    root, kind = scene.copied(folder), rng.choice(list(MOMENTS))
    for _ in range(4):
        number = any_moment(rng, scene, kind, folder)

        def work(number: int = number) -> None:
            with MOMENTS[kind](number, kill_myself):
                scene.build(root)

        if (end := ended(work)).signal != signal.SIGKILL:
            value_of(end)
    return survived(root, scene)


def stopped_at(scene: Scene, folder: Path, kind: str, number: int, by: signal.Signals) -> str:
    """SIGTERM or SIGINT to the command line: it ends with the exit code for that, and says that nothing is lost."""
    root = scene.copied(folder)

    def work() -> tuple[int, str]:
        with MOMENTS[kind](number, lambda name: os.kill(os.getpid(), by)), scene.settings():
            return command_line(scene.words(root))

    code, said = value_of(ended(work))
    wanted = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGINT: ExitCode.INTERRUPTED}[by]
    must(code in (ExitCode.DONE, wanted), "crash", f"exit code {code} after {by.name}: {said}")
    must(code == 0 or "finished work is kept" in said, "crash", f"nothing was said after {by.name}: {said!r}")
    state = survived(root, scene)
    must(code != 0 or state == "new", "wrong answers", f"exit code 0 after {by.name}, and the old state")
    return state


def stopped(rng: random.Random, scene: Scene, folder: Path) -> str:
    kind = rng.choice(list(MOMENTS))
    by = rng.choice((signal.SIGTERM, signal.SIGINT))
    return stopped_at(scene, folder, kind, any_moment(rng, scene, kind, folder), by)


# Refused by the system

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE, errno.EROFS)


def refused_at(scene: Scene, folder: Path, kind: str, number: int, code: int) -> str:
    """An OSError at the `number`-th step or call: said, or got over with the new state."""
    root = scene.copied(folder)

    def refuse(name: str) -> None:
        raise OSError(code, os.strerror(code))

    def work() -> str:
        try:
            with MOMENTS[kind](number, refuse):
                scene.build(root)
        except (OSError, SamespaceError):
            return "said"
        return "done"

    said = value_of(ended(work)) if kind == "call" else work()
    state = survived(root, scene)
    must(said == "said" or state == "new", "wrong answers", "no error, and the old state")
    return f"{said}, {state}"


def refused_at_a_step(rng: random.Random, scene: Scene, folder: Path) -> str:
    return refused_at(scene, folder, "step", any_moment(rng, scene, "step", folder), rng.choice(ERRORS))


def refused_at_a_call(rng: random.Random, scene: Scene, folder: Path) -> str:
    return refused_at(scene, folder, "call", any_moment(rng, scene, "call", folder), rng.choice(ERRORS))


def full_at(scene: Scene, folder: Path, size: int, kind: int = resource.RLIMIT_FSIZE) -> str:
    """No file may grow beyond `size` bytes (or no more than `size` be open): said on the command line, or done."""
    root = scene.copied(folder)

    def work() -> tuple[int, str]:
        from cli.commands import build as _  # noqa: F401 - the program itself is loaded before anything runs out

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(kind, (size, resource.getrlimit(kind)[1]))
        with scene.settings():
            return command_line(scene.words(root))

    code, said = value_of(ended(work))
    must(code in (ExitCode.DONE, ExitCode.STORAGE), "crash", f"exit code {code} at {size} bytes: {said}")
    must(code == 0 or ("→" in said and str(root) in said), "crash", f"not said what to do, or where: {said!r}")
    state = survived(root, scene)
    must((code == 0) == (state == "new"), "wrong answers", f"exit code {code} and the {state} state")
    return "done" if code == 0 else "said, old"


def full_disk(rng: random.Random, scene: Scene, folder: Path) -> str:
    """A disk on which the largest file finds no room."""
    return full_at(scene, folder, rng.randrange(largest(scene, folder)))


def largest(scene: Scene, folder: Path) -> int:
    """The size of the largest file that a build of the scene writes."""
    _, events, _ = recording(scene, folder)
    return max(len(content) for what, _, content in (event for event in events if event[0] == "sync") if content)


# Cut off with the power


def recording(scene: Scene, folder: Path) -> tuple[Path, list[Any], dict[int, bytes]]:
    """The folder as it was, the changes that a build makes in it, and what was written by each; recorded once."""
    if "recording" not in scene.kept:
        before, beside = scene.root.parent / "before", folder / "recorded"
        scene.copied(before)
        root = scene.copied(beside)

        def work() -> list[Any]:
            tempfile.tempdir = str(folder)  # on the same disk, so that what is made there is linked from there
            return record(lambda: scene.build(root), beside)

        events = value_of(ended(work))
        contents: dict[int, bytes] = {}
        Disk(before, contents).replay(events)
        scene.kept["recording"] = (before, events, contents)
    return scene.kept["recording"]  # type: ignore[no-any-return]


def cut_off_at(scene: Scene, folder: Path, number: int, data: str, names: str, rng: random.Random) -> str:
    """The power fails after `number` changes of the disk; `data` and `names` say what becomes of the unsynced."""
    before, events, contents = recording(scene, folder)
    Disk(before, contents).replay(events[:number]).crash(folder, rng, data, names)
    state = survived(folder / "my.index", scene)
    must(number < len(events) or state == "new", "lost documents", "what was reported as published is not there")
    return state


def cut_off(rng: random.Random, scene: Scene, folder: Path) -> str:
    number = rng.randint(0, len(recording(scene, folder)[1]))
    return cut_off_at(scene, folder, number, rng.choice(DATA), rng.choice(NAMES), rng)


# Two writers


def raced(rng: random.Random, scene: Scene, folder: Path) -> str:
    """Two writers let go at the same moment: each succeeds or is told that the other is at work."""
    root = scene.copied(folder)
    gate, opened = os.pipe()

    def work() -> str:
        os.close(opened)
        os.read(gate, 1)  # the end of the pipe, once nobody holds it open
        return _build_or_locked(scene, root)

    children = [Child(work), Child(work)]
    os.close(opened)
    os.close(gate)
    said = [value_of(child.wait()) for child in children]
    must("done" in said, "crash", f"both were locked out: {said}")
    must(survived(root, scene) == "new", "wrong answers", "done, and the old state")
    return ", ".join(sorted(said))


def overtaken_at(scene: Scene, folder: Path, number: int) -> str:
    """A writer waits before its `number`-th step while another does all its work, then goes on."""
    root = scene.copied(folder)
    reached, here = os.pipe()
    gate, opened = os.pipe()

    def wait(name: str) -> None:
        os.write(here, b"x")
        os.read(gate, 1)

    def work() -> str:
        os.close(opened)
        os.close(reached)
        with at_step(number, wait):
            return _build_or_locked(scene, root)

    slow = Child(work)
    for end in (here, gate):
        os.close(end)
    os.read(reached, 1)
    quick = ended(lambda: _build_or_locked(scene, root))
    os.close(opened)
    os.close(reached)
    said = [value_of(slow.wait()), value_of(quick)]
    must("done" in said, "crash", f"both were locked out: {said}")
    must(survived(root, scene) == "new", "wrong answers", "done, and the old state")
    return " overtaken by ".join(said)


def overtaken(rng: random.Random, scene: Scene, folder: Path) -> str:
    return overtaken_at(scene, folder, any_moment(rng, scene, "step", folder))


def _build_or_locked(scene: Scene, root: Path) -> str:
    try:
        scene.build(root)
    except LockedError:
        return "locked"
    return "done"
