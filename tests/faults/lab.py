"""The laboratory: an index before and after a change, copied for every trial, and what must hold whatever befell it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from handmade import (
    FIRST,
    SECOND,
    Files,
    Seen,
    all_files,
    built,
    for_small_segments,
    published_files,
    put,
    seen,
    seen_or_nothing,
)

from core.check import check
from core.errors import NoIndexError, SamespaceError

ANN = "hnsw" if importlib.util.find_spec("hnswlib") else "binary"
THIRD: Files = {
    "river.txt": None,
    "new.txt": "The bank by the river is closed. 银行今天不开门。\n",
    "sub/later.md": "# Later\n\nA third page about a mat, python and 利率.\n",
}
COLUMNS = ("unreadable", "wrong answers", "lost documents", "crash", "check", "not mended")


class Fault(AssertionError):
    """What no trial may find; `column` is one of COLUMNS."""

    def __init__(self, column: str, message: str):
        super().__init__(column, message)
        self.column, self.message = column, message

    def __str__(self) -> str:
        return f"{self.column}: {self.message}"


def collect(root: Path) -> None:
    """Old generations are removed, where there is a command for that."""
    if importlib.util.find_spec("core.index.collect"):
        importlib.import_module("core.index.collect").collect(root, keep=1)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for trials, in memory where there is such a place with some room: a trial waits for the disk otherwise,
    and what a process leaves behind that dies does not depend on it."""
    memory = Path("/dev/shm")
    fits = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 25
    with tempfile.TemporaryDirectory(prefix="faults-", dir=memory if fits else None) as folder:
        Path(folder).chmod(0o755)  # `read_only` looks at it as somebody else
        yield Path(folder).resolve()


@dataclass
class Scene:
    """An index (there may be none yet), its source, which has changed since, and what a reader sees before and after."""

    name: str
    root: Path
    source: Path
    old: Seen | None
    new: Seen
    small: bool = False  # codes and graphs although the segments are small
    kept: dict[str, Any] = field(default_factory=dict)  # what a kind of trial found out once: lengths, recordings

    @contextmanager
    def settings(self) -> Iterator[None]:
        with _settings(self.small):
            yield

    def copied(self, folder: Path) -> Path:
        """The index before, in `folder`, to be experimented on, with a cache of its own: every trial begins alike."""
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["SAMESPACE_CACHE"] = f"{folder}.cache"
        root = folder / "my.index"
        if self.root.exists():
            shutil.copytree(self.root, root, symlinks=True)
        return root

    def build(self, root: Path) -> None:
        with self.settings():
            built(root, self.source)
            collect(root)

    def words(self, root: Path) -> list[str]:
        """The same on the command line."""
        return ["build", str(self.source), "--to", str(root), "--model", "hashing"]

    @cached_property
    def needed(self) -> list[str]:
        """Every file that is read of the index before: what a generation names, all generations, and two at the top."""
        return sorted(published_files(self.root) - {"LOCK"}) if self.root.exists() else []


@contextmanager
def _settings(small: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if small:
            for_small_segments(patch)
            patch.setattr("core.vectors.plan.SCAN", 1.0)  # codes or graph are asked, not the vectors alone
        yield


def make_scenes(folder: Path) -> dict[str, Scene]:
    """`first`: nothing is there yet. `second`: one generation. `several`: two, rows dead, with codes and a graph."""
    scenes = {}
    for name, earlier in {"first": [], "second": [FIRST], "several": [FIRST, SECOND]}.items():
        place, small = folder / name, name == "several"
        root, source = place / "old.index", place / "notes"
        with _settings(small):
            for files in earlier:
                built(root, put(source, files), ann=ANN if small else None)
            put(source, (FIRST, SECOND, THIRD)[len(earlier)])
            built(place / "new.index", source, ann=ANN if small else None)
            scenes[name] = Scene(name, root, source, seen_or_nothing(root), seen(place / "new.index"), small)
    return scenes


# What must hold


def state_of(root: Path, scene: Scene) -> str:
    """ "old" or "new": what a reader sees, and nothing else may be seen."""
    try:
        with scene.settings():
            after = seen_or_nothing(root)
    except Exception as error:
        raise Fault("unreadable", f"{error!r}") from error
    if after == scene.old:
        return "old"
    if after is not None and after.alike(scene.new):
        return "new"
    found = after.documents if after else {}
    lost = [id for id in scene.new.documents if scene.old and id in scene.old.documents and id not in found]
    if lost:
        raise Fault("lost documents", f"neither the old nor the new state: {lost} are gone")
    raise Fault("wrong answers", f"neither the old nor the new state, but {sorted(found)}")


def checked(root: Path, scene: Scene, read_data: bool = True) -> None:
    """`check` finds no error, in older generations neither (with `read_data`)."""
    try:
        with scene.settings():
            errors = [finding.message for finding in check(root, read_data=read_data) if finding.severity == "error"]
    except NoIndexError:
        if scene.old is not None:
            raise
        return
    except Exception as error:
        raise Fault("check", f"{error!r}") from error
    if errors:
        raise Fault("check", "; ".join(errors))


def mended(root: Path, scene: Scene) -> None:
    """Building again brings the new state, whole, and leaves nothing lying about."""
    try:
        scene.build(root)
    except (SamespaceError, OSError) as error:
        raise Fault("not mended", f"building again: {error!r}") from error
    if (state := state_of(root, scene)) != "new":
        raise Fault("not mended", f"building again leaves the {state} state")
    checked(root, scene)
    if left := all_files(root) ^ published_files(root):
        raise Fault("not mended", f"left behind or missing: {sorted(left)}")


def survived(root: Path, scene: Scene) -> str:
    """All that must hold after a trial. Returns the state it was found in, "old" or "new". Raises Fault."""
    state = state_of(root, scene)
    checked(root, scene)
    mended(root, scene)
    return state


def must(held: bool, column: str, message: str) -> None:
    if not held:
        raise Fault(column, message)
