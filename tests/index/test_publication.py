"""A build that fails at any one touch of the disk: the old generation answers or the new one, and the next build mends it."""

from __future__ import annotations

import errno
import os
import shutil
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

from core.errors import StorageError
from core.index import fs
from core.pipeline.chunk import chunk
from core.pipeline.embed import embed
from core.pipeline.index import index
from core.pipeline.ingest import ingest


class Failure(Exception):
    pass


def fail() -> None:
    raise Failure


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FAILURES = {
    "exception": (fail, Failure),
    "Ctrl-C": (None, KeyboardInterrupt),
    "full disk": (full, (OSError, StorageError)),
}


@dataclass
class Staged:
    """An index with everything staged for its next generation: what it answers now, what it will, the steps to get there."""

    root: Path
    old: Seen | None
    new: Seen
    steps: list[str]


def _stage(root: Path, source: Path) -> None:
    ingest(root, [str(source)], model="hashing")
    chunk(root)
    embed(root)


def _staged(folder: Path, *, first: bool) -> Staged:
    source = put(folder / "notes", FIRST)
    root, fresh = folder / "staged.index", folder / "fresh.index"
    if not first:
        built(root, source)
        put(source, SECOND)
    _stage(root, source)
    built(fresh, source)
    steps = steps_of(lambda: index(Path(shutil.copytree(root, folder / "counted.index"))))
    return Staged(root, seen_or_nothing(root), seen(fresh), steps)


@pytest.fixture(scope="module", params=["first generation", "second generation"])
def staged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Staged:
    return _staged(tmp_path_factory.mktemp("publication"), first=request.param == "first generation")


def test_publication_is_as_many_steps_as_this_suite_fails(staged: Staged) -> None:
    assert sum("rename CURRENT" in step for step in staged.steps) == 1
    assert {"link", "write", "sync", "rename", "sync-folder", "lock", "remove"} <= {s.split()[0] for s in staged.steps}
    assert staged.steps.index("rename CURRENT") > max(n for n, s in enumerate(staged.steps) if s.startswith("link"))


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", FAILURES)
def test_old_or_new_after_a_failure_at_every_step(
    staged: Staged, failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, error = FAILURES[failure]
    act = act or _interrupt
    before = {name for name in all_files(staged.root) if not name.startswith("staging/")}
    outcomes = []
    for number, step in enumerate(staged.steps):
        root = Path(shutil.copytree(staged.root, tmp_path / f"{number}.index"))
        _fails_at(root, number, act, error, monkeypatch)
        after = seen_or_nothing(root)
        outcomes.append("old" if after == staged.old else "new" if after and after.alike(staged.new) else "neither")
        assert outcomes[-1] != "neither", f"a third thing after {failure} at step {number}, {step}"
        if outcomes[-1] == "old":
            kept = {name for name in all_files(root) if not name.startswith("staging/")} - {"LOCK"}
            assert kept == before - {"LOCK"}, f"left behind after {failure} at step {number}, {step}"
        built(root)
        assert seen(root).alike(staged.new), f"not mended after {failure} at step {number}, {step}"
        assert all_files(root) == published_files(root), f"not swept after {failure} at step {number}, {step}"
        shutil.rmtree(root)
    # The last of the old is the rename of CURRENT itself, and there is no way back from it.
    assert outcomes == sorted(outcomes, reverse=True)
    assert outcomes.count("old") == 1 + staged.steps.index("rename CURRENT")


def _fails_at(root: Path, number: int, act: Callable[[], None], error: type, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fs, "on_step", at_step(number, act))
        with pytest.raises(error):
            index(root)


def test_what_did_not_reach_the_disk_is_not_published(
    staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short write that the system does not report (hnswlib's way, and NFS's)."""
    root = Path(shutil.copytree(staged.root, tmp_path / "short.index"))

    def cut(step: str, path: Path) -> None:
        if step == "sync":
            os.truncate(path, path.stat().st_size // 2)

    with monkeypatch.context() as patch:
        patch.setattr(fs, "on_step", cut)
        with pytest.raises(OSError, match="did not keep all"):
            index(root)
    assert seen_or_nothing(root) == staged.old
