"""kill -9 in the middle of a build: the old generation answers or the new one, and the next build mends it.

A child is forked from this warm process. It kills itself at a chosen step, so that every run of this suite kills at the
same moments; a few more are killed by the clock, wherever they are then.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from handmade import (
    FIRST,
    SECOND,
    Seen,
    all_files,
    at_step,
    built,
    published_files,
    put,
    seen,
    seen_or_nothing,
    steps_of,
)

from core.index import fs

KILLS = 30


@dataclass
class Scene:
    """An index, its source (already changed), what it answers now and what it will, and the steps of the build to come."""

    root: Path
    source: Path
    old: Seen | None
    new: Seen
    steps: list[str]


@pytest.fixture(scope="module", params=["first build", "second build"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("kill")
    source, root = put(folder / "notes", FIRST), folder / "old.index"
    if request.param == "second build":
        built(root, source)
    else:
        root.mkdir()
    put(source, SECOND)
    built(folder / "new.index", source)
    copy = Path(shutil.copytree(root, folder / "counted.index"))
    steps = steps_of(lambda: built(copy, source))
    return Scene(root, source, seen_or_nothing(root), seen(folder / "new.index"), steps)


def fork(work: Callable[[], object]) -> int:
    """The process id of a child that does `work` and ends, without any of pytest's own endings."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def ended_by(child: int) -> int:
    """The signal that ended `child`, 0 if it ended by itself and well."""
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the build failed before it was killed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def check_after(scene: Scene, root: Path, when: str) -> str:
    after = seen_or_nothing(root)
    is_old = after == scene.old
    assert is_old or (after is not None and after.alike(scene.new)), f"a third thing after a kill {when}"
    built(root, scene.source)
    assert seen(root).alike(scene.new), f"not mended after a kill {when}"
    assert all_files(root) == published_files(root), f"not swept after a kill {when}"
    return "old" if is_old else "new"


def test_killed_at_a_step(scene: Scene, tmp_path: Path) -> None:
    chosen = sorted(random.Random(20260131).sample(range(len(scene.steps)), KILLS))
    switch = scene.steps.index("rename CURRENT")
    for number in {*chosen, switch, switch + 1}:
        root = Path(shutil.copytree(scene.root, tmp_path / f"{number}.index"))

        def work(root: Path = root, number: int = number) -> None:
            fs.on_step = at_step(number, kill_myself)
            built(root, scene.source)

        assert ended_by(fork(work)) == signal.SIGKILL
        found = check_after(scene, root, f"at step {number}, {scene.steps[number]}")
        assert found == ("old" if number <= switch else "new")


@pytest.mark.parametrize("milliseconds", random.Random(7).sample(range(60), 4))
def test_killed_by_the_clock(scene: Scene, tmp_path: Path, milliseconds: int) -> None:
    root = Path(shutil.copytree(scene.root, tmp_path / "clock.index"))
    child = fork(lambda: built(root, scene.source))
    time.sleep(milliseconds / 1000)  # whenever that is: what is asserted holds at every moment
    os.kill(child, signal.SIGKILL)
    assert ended_by(child) in (0, signal.SIGKILL)
    assert check_after(scene, root, f"after {milliseconds} ms") in ("old", "new")


def test_killed_again_and_again_the_same_index_recovers(scene: Scene, tmp_path: Path) -> None:
    """One crash after another on the same directory, with no whole build between them."""
    root = Path(shutil.copytree(scene.root, tmp_path / "again.index"))
    for number in random.Random(11).sample(range(20), 8):

        def work(number: int = number) -> None:
            fs.on_step = at_step(number, kill_myself)
            built(root, scene.source)

        assert ended_by(fork(work)) == signal.SIGKILL
        assert seen_or_nothing(root) == scene.old
    check_after(scene, root, "many times")
