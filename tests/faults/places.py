"""An index that is carried about, looked at by somebody who may not write, or whose machine has a strange clock."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from children import ended, value_of
from handmade import all_files, generation
from lab import Scene, checked, must, state_of, survived

from core.errors import SamespaceError, StorageError
from core.index.generation import current_number

NOBODY = 65534


def _copied(root: Path, other: Path) -> Path:
    return Path(shutil.copytree(root, other))


def _linked(root: Path, other: Path) -> Path:
    """As `cp -al` and rsync's snapshots do it: what is published is never written to, so both stay whole."""
    return Path(shutil.copytree(root, other, copy_function=os.link))


def _moved(root: Path, other: Path) -> Path:
    return root.rename(other)


def _tarred(root: Path, other: Path) -> Path:
    archive = other.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root, arcname=other.name)
    shutil.rmtree(root)
    with tarfile.open(archive) as tar:
        tar.extractall(other.parent, filter="data")
    return other


def _by_a_link(root: Path, other: Path) -> Path:
    other.symlink_to(root, target_is_directory=True)
    return other


WAYS: dict[str, Callable[[Path, Path], Path]] = {
    "copied": _copied, "hard links": _linked, "moved": _moved, "tarred": _tarred, "by a link": _by_a_link,
}  # fmt: skip


def carried(scene: Scene, folder: Path, way: str, name: str) -> str:
    """It answers in the new place as in the old, is built upon there, and where it stayed it is as it was."""
    root = scene.copied(folder)
    if not root.exists():
        return "nothing there"
    other = WAYS[way](root, folder / name)
    must(state_of(other, scene) == "old", "wrong answers", f"{way}, and another state")
    survived(other, scene)
    if root.exists() and way != "by a link":
        must(state_of(root, scene) == "old", "wrong answers", f"{way}, built upon there, and the one here has changed")
        checked(root, scene)
    return way


def carry(rng: random.Random, scene: Scene, folder: Path) -> str:
    name = rng.choice(("new.index", "银行 index; with spaces", "-x", "#1 'quoted' \"so\"", "a" * 200))
    return carried(scene, folder, rng.choice(list(WAYS)), name)


def read_only(rng: random.Random, scene: Scene, folder: Path) -> str:
    """Somebody who may read but not write gets the answers and no more; nothing is changed by trying."""
    root = scene.copied(folder)
    if not scene.root.exists():
        return "nothing there"
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = _stats(root)

    def work() -> str:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        must(state_of(root, scene) == "old", "wrong answers", "read-only, and another state")
        checked(root, scene)
        try:
            scene.build(root)
        except StorageError as error:
            return "said" if error.fix and error.path else f"said without a way out: {error!r}"
        except SamespaceError as error:
            return repr(error)
        return "done"

    said = value_of(ended(work))
    must(_stats(root) == before, "wrong answers", "something was changed by somebody who may not write")
    must(said == "said", "crash", f"building what is read-only: {said}")
    for path in (root, *root.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    survived(root, scene)
    return said


def _stats(root: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in (root, *root.rglob("*"))
    }


def strange_clock(rng: random.Random, scene: Scene, folder: Path) -> str:
    """A clock that stands decades off: generations still rise, and what is newest is not asked of the clock."""
    root = scene.copied(folder)
    moment = rng.choice((0.0, 1.0, time.time() - 1e8, time.time() + 1e9, 2.0**33))
    before = current_number(root) if root.exists() else 0
    for path in root.rglob("*"):
        os.utime(path, (moment, moment))
    clock = SimpleNamespace(**vars(time))
    clock.time, clock.gmtime = lambda: moment, lambda seconds=moment: time.gmtime(seconds)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("core.index.writer", "core.index.fs"):
            patch.setattr(f"{module}.time", clock)
        scene.build(root)
    must(state_of(root, scene) == "new", "wrong answers", f"built at {moment}, and the old state")
    must(current_number(root) > before, "wrong answers", "the number of the generation did not rise")
    year = time.gmtime(moment).tm_year
    must(generation(root).created.startswith(f"{year:04d}-"), "wrong answers", "the clock was not the one of the trial")
    survived(root, scene)
    return f"in {year}"


def stale_lock(rng: random.Random, scene: Scene, folder: Path) -> str:
    """A LOCK that says a dead process, another machine, the future or nonsense holds the index: nobody does."""
    root = scene.copied(folder)
    if not scene.root.exists():
        return "nothing there"
    dead = {"pid": ended_process(), "host": rng.choice(("here", "elsewhere")), "since": rng.choice((0, 2**33, -1))}
    said = rng.choice((json.dumps(dead), "nonsense", "\0" * 100, "", "[" * 5000))
    (root / "LOCK").write_text(said)
    survived(root, scene)
    must((root / "LOCK").read_bytes() == b"", "not mended", "LOCK still says that somebody holds the index")
    return "taken"


def ended_process() -> int:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def leftovers(rng: random.Random, scene: Scene, folder: Path) -> str:
    """Files of another generation or of an unfinished one lie about: they are no part of the index, and are swept."""
    root = scene.copied(folder)
    if not scene.root.exists():
        return "nothing there"
    for name in rng.sample(sorted(all_files(root) - {"samespace.json", "CURRENT", "LOCK"}), 3):
        path = root / name
        number = f"{rng.randrange(100, 999):06d}"
        stem = path.name.replace(path.name[:6], number) if path.name[:6].isdecimal() else f"{path.name}.tmp"
        shutil.copyfile(path, path.with_name(stem))
    return survived(root, scene)
