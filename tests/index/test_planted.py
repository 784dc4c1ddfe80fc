"""Links, damage and losses that lie in a writer's way: nothing published changes, nothing of others is written through."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from handmade import (
    FIRST,
    SECOND,
    all_files,
    at_step,
    built,
    for_small_segments,
    generation,
    published_files,
    put,
    see,
    seen,
    steps_of,
    without_merges,
)

from cli.files import write_lines
from core.check import check
from core.errors import CorruptError, ExitCode, SamespaceError
from core.index import fs
from core.index.reader import open_index, reading
from core.index.writer import create
from core.pipeline.build import build
from core.pipeline.index import index


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generations of two segments; its source has a changed file since."""
    folder = tmp_path_factory.mktemp("planted")
    source, root = put(folder / "notes", FIRST), folder / "whole.index"
    built(root, source)
    put(source, SECOND)
    built(root)
    put(source, {"river.txt": "The river is another one today.\n"})
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "my.index"))


def contents(root: Path) -> dict[str, bytes]:
    """Every byte below `root`, but for the lock, which says only who wrote last."""
    return {name: (root / name).read_bytes() for name in all_files(root) - {"LOCK"}}


# What names the generation is gone


@pytest.mark.parametrize("name", ["my.index", "the cat's $HOME.index"])
def test_without_current_nothing_is_removed_and_the_advice_restores_it(whole: Path, tmp_path: Path, name: str) -> None:
    root = Path(shutil.copytree(whole, tmp_path / name))
    before = seen(root)
    (root / "CURRENT").unlink()
    left = contents(root)
    uses: tuple[Callable[[Path], object], ...] = (open_index, check, build)
    for use in uses:
        with pytest.raises(CorruptError) as caught:
            use(root)
        assert caught.value.exit_code == ExitCode.CORRUPT == 12
        assert contents(root) == left
    advice = caught.value.fix[caught.value.fix.index("echo ") :]
    subprocess.run(["sh", "-c", advice], check=True, cwd=tmp_path)
    assert seen(root) == before
    assert build(root).index.generation == 3


def test_without_the_generation_that_current_names_nothing_is_removed(root: Path) -> None:
    (root / "generations" / "000002.json").unlink()
    left = contents(root)
    with pytest.raises(CorruptError) as caught:
        build(root)
    assert caught.value.path == str(root / "generations" / "000002.json")
    assert contents(root) == left


def test_an_earlier_generation_that_is_damaged_is_not_swept(root: Path) -> None:
    """What it named is not known, so a writer removes nothing at all until it is mended."""
    (root / "generations" / "000001.json").write_bytes(b"{")
    left = {name: data for name, data in contents(root).items() if name != "CURRENT"}
    assert build(root).index.generation == 3
    assert {name: contents(root).get(name) for name in left} == left


# What is published stays as it is


def published(root: Path) -> dict[str, tuple[int, bytes]]:
    names = published_files(root) - {"CURRENT", "LOCK"}
    return {name: ((root / name).stat().st_ino, (root / name).read_bytes()) for name in names}


@pytest.mark.parametrize("last", ["write 000004.json.tmp", "rename 000004.json", "rename CURRENT"])
def test_no_published_file_changes_when_graphs_come_and_go(
    tmp_path: Path, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hnswlib")
    for_small_segments(monkeypatch)
    without_merges(monkeypatch)
    source, root = put(tmp_path / "notes", FIRST), tmp_path / "my.index"
    built(root, source, ann="hnsw")
    put(source, SECOND)
    kept = published(root)

    def same() -> None:
        nonlocal kept
        now = published(root)
        assert {name: now.get(name) for name in kept} == kept
        kept = now
        found = reading(root, lambda opened: see(opened, ("lexical", "hybrid", "dense")))
        answers.append(found)
        assert found.alike(answers[0])

    def fail(step: str, path: Path) -> None:
        if f"{step} {path.name}" == last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    answers: list[object] = []
    build(root)
    same()
    assert index(root, ann="exact").published
    same()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "on_step", fail)
        with pytest.raises(OSError, match="No space"):
            index(root, ann="hnsw")
    assert generation(root).settings["ann"] == {"name": "exact"}
    same()
    assert index(root, ann="hnsw").published
    same()
    graphs = [name for name in generation(root).files if name.endswith(".hnsw")]
    assert [name[-12:] for name in graphs] == ["000004.hnsw".rjust(12, ".")] * 2
    assert len([name for name in all_files(root) if name.endswith(".hnsw")]) == 4


def test_no_generation_is_published_upon_a_damaged_file(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(whole).documents  # all is remembered as whole, but not by the cache that is asked below
    kinds = set()
    for number, name in enumerate(sorted(generation(whole).files)):
        root = Path(shutil.copytree(whole, tmp_path / f"{number}.index"))
        monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / f"cache-{number}"))
        path = root / name
        stat, data = path.stat(), bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        before = contents(root)
        with pytest.raises(CorruptError) as caught:
            build(root)
        assert caught.value.path == str(path)
        after = {name: data for name, data in contents(root).items() if not name.startswith("staging/")}
        assert after == before
        kinds.add(name.split("/")[0])
    assert kinds == {"documents", "chunks", "lexical", "spaces"}
    undamaged = Path(shutil.copytree(whole, tmp_path / "undamaged.index"))
    assert build(undamaged).index.published  # there is something to publish


# Planted links


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return put(tmp_path / "victim", {"file": "years of work"})


def test_a_lock_that_is_a_link_is_not_followed(root: Path, victim: Path) -> None:
    (root / "LOCK").unlink()
    (root / "LOCK").symlink_to(victim / "file")
    before = contents(root)
    with pytest.raises((OSError, SamespaceError)):
        build(root)
    assert (victim / "file").read_text() == "years of work"
    assert contents(root) == before


@pytest.mark.parametrize("name", ["staging", "documents", "chunks", "lexical", "spaces", "generations"])
def test_a_folder_that_is_a_link_is_refused(root: Path, victim: Path, name: str) -> None:
    if (root / name).exists():
        shutil.move(root / name, victim / name)
    else:
        put(victim / name, {"state.json": "not a state"})
    (root / name).symlink_to(victim / name, target_is_directory=True)
    before = contents(victim), contents(root)
    with pytest.raises(CorruptError, match="link") as caught:
        build(root)
    assert caught.value.path == str(root / name)
    assert (contents(victim), contents(root)) == before


def test_a_temporary_name_that_is_a_link_is_not_written_through(root: Path, victim: Path, tmp_path: Path) -> None:
    counted, new = tmp_path / "counted.index", tmp_path / "new.index"
    shutil.copytree(root, counted)
    new.mkdir()
    written: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "on_step", lambda step, path: written.append(path) if step == "write" else None)
        build(counted)
        create(tmp_path / "other.index")
    # Not the generation's own: a link of that name makes it take another number.
    planted = {root / path.relative_to(counted) for path in written if path.is_relative_to(counted)}
    planted -= {root / "generations" / "000003.json.tmp"}
    planted |= {new / path.name for path in written if not path.is_relative_to(counted)}
    planted |= {path.with_suffix("") for path in planted if path.parent == new}
    assert {"state.json.tmp", "documents.tmp", "lexical.tmp", "CURRENT.tmp"} <= {path.name for path in planted}
    for path in planted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(victim / "file")
    assert build(root).index.generation == 3
    create(new)
    assert (victim / "file").read_text() == "years of work"
    assert seen(root) == seen(counted)
    assert not [path for path in (*root.rglob("*"), *new.rglob("*")) if path.is_symlink()]


# Files that a user asked for


def test_a_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    for name in ("there", "dangling"):
        target, link = tmp_path / name / "run.trec", tmp_path / f"{name}.trec"
        target.parent.mkdir()
        if name == "there":
            target.write_text("old\n")
        link.symlink_to(target)
        write_lines(link, ["one", "二"])
        assert link.is_symlink()
        assert target.read_text(encoding="utf-8") == "one\n二\n"
        assert not target.is_symlink()
    assert all_files(tmp_path) == {"there.trec", "dangling.trec", "there/run.trec", "dangling/run.trec"}


def test_a_pipe_and_a_device_are_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    master, slave = os.openpty()
    device = Path(os.ttyname(slave))
    try:
        for path, end in ((tmp_path / "pipe", reader), (device, master)):
            write_lines(path, ["one", "two"])
            assert os.read(end, 100).split() == [b"one", b"two"]
        assert device.is_char_device()
    finally:
        for descriptor in (reader, master, slave):
            os.close(descriptor)
    assert (tmp_path / "pipe").is_fifo()
    assert all_files(tmp_path) == {"pipe"}


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def steps_until_the_file_is_replaced(folder: Path) -> list[str]:
    put(folder, {"out.trec": "old\n"})
    steps = steps_of(lambda: write_lines(folder / "out.trec", ["new"]))
    assert (folder / "out.trec").read_text() == "new\n"
    return steps[: steps.index("rename out.trec") + 1]


def test_a_neighbour_is_left_alone_and_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"out.trec.tmp": "mine\n"})
    steps = steps_until_the_file_is_replaced(tmp_path)
    assert (tmp_path / "out.trec.tmp").read_text() == "mine\n"
    put(tmp_path, {"out.trec": "old\n"})
    for number, step in enumerate(steps):
        monkeypatch.setattr(fs, "on_step", at_step(number, full))
        with pytest.raises(OSError, match="No space"):
            write_lines(tmp_path / "out.trec", ["new"])
        assert (tmp_path / "out.trec").read_text() == "old\n", step
        assert (tmp_path / "out.trec.tmp").read_text() == "mine\n", step


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = steps_until_the_file_is_replaced(tmp_path)
    left = {}
    for number, step in enumerate(steps):
        monkeypatch.setattr(fs, "on_step", at_step(number, full))
        with pytest.raises(OSError, match="No space"):
            write_lines(tmp_path / "out.trec", ["new"])
        left[f"{number} {step}"] = all_files(tmp_path) - {"out.trec"}
        for name in all_files(tmp_path) - {"out.trec"}:
            (tmp_path / name).unlink()
    assert not any(left.values()), left
