"""Every file of a published index, damaged in every way: the same answers or an error that says so, never a wrong answer."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from handmade import (
    FIRST,
    SECOND,
    Seen,
    all_files,
    built,
    for_small_segments,
    generation,
    put,
    rewritten,
    see,
    seen,
    without_merges,
)

from core.canonical import canonical
from core.errors import CorruptError, FormatError, NoIndexError, SamespaceError
from core.index import fs
from core.index.generation import check_magic
from core.index.reader import open_index, reading
from core.index.writer import create

ANN = "hnsw" if find_spec("hnswlib") else "binary"
TOP = ("samespace.json", "CURRENT")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generations, some rows dead, codes a segment, and a graph where hnswlib is there."""
    folder = tmp_path_factory.mktemp("damage")
    source, root = put(folder / "notes", FIRST), folder / "whole.index"
    with pytest.MonkeyPatch.context() as patch:
        for_small_segments(patch)
        without_merges(patch)
        built(root, source, ann=ANN)
        put(source, SECOND)
        built(root, source)
    return root


@pytest.fixture(scope="module")
def answers(whole: Path) -> Seen:
    return seen(whole)


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "my.index"))


def needed(whole: Path) -> list[str]:
    current = generation(whole)
    return [*current.files, f"generations/{current.generation:06d}.json", *TOP]


def flip(position: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        if data:
            data[min(int(len(data) * position), len(data) - 1)] ^= 1 << random.Random(str(path.name)).randrange(8)
        path.write_bytes(data)

    return damage


def truncate(path: Path) -> None:
    os.truncate(path, max(path.stat().st_size - 1, 0))


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def zeros(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "first byte": flip(0), "a byte early": flip(0.1), "middle byte": flip(0.5), "last byte": flip(1),
    "cut short": truncate, "emptied": empty, "made longer": extend, "zeros": zeros,
    "removed": Path.unlink, "a folder": make_folder,
}  # fmt: skip


def check(root: Path, name: str, answers: Seen, needed: list[str]) -> str:
    """What became of a search; asserts that it is one of the allowed things."""
    try:
        found = seen(root)
    except SamespaceError as error:
        allowed = (CorruptError, NoIndexError, FormatError) if name in TOP else (CorruptError,)
        if name.startswith("generations/"):
            allowed = (CorruptError, FormatError)
        complete = isinstance(error, allowed) and error.path and error.fix
        assert complete, f"{name}: {error!r}"  # noqa: PT017 - some damage is harmless
        return "damaged" if isinstance(error, CorruptError) else "refused"
    assert found == answers, f"a wrong answer: {name}"
    return "the same answers"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file(whole: Path, answers: Seen, damage: str, tmp_path: Path) -> None:
    for number, name in enumerate(sorted(all_files(whole))):
        root = Path(shutil.copytree(whole, tmp_path / f"{number}.index"))
        if name == "LOCK":
            (root / name).write_bytes(b"x")
        DAMAGES[damage](root / name)
        said = check(root, name, answers, needed(whole))
        harmless = name not in needed(whole) or (damage == "cut short" and name == "samespace.json")
        assert (said == "the same answers") == harmless, f"{damage} of {name}: {said}"  # a last line end is no loss


def test_damage_is_noticed_when_the_file_was_verified_before(root: Path, answers: Seen) -> None:
    assert seen(root) == answers  # all files are remembered as verified now
    for name in generation(root).files:
        path = root / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(CorruptError):
            seen(root)
        path.write_bytes(data)
    assert seen(root) == answers


def test_two_files_swapped(whole: Path, answers: Seen, tmp_path: Path) -> None:
    names = sorted(set(needed(whole)) - set(TOP))
    for number, (one, other) in enumerate(zip(names, names[1:] + names[:1], strict=True)):
        root = Path(shutil.copytree(whole, tmp_path / f"{number}.index"))
        (root / one).rename(root / "aside")
        (root / other).rename(root / one)
        (root / "aside").rename(root / other)
        with pytest.raises(CorruptError):
            seen(root)


@pytest.mark.parametrize("name", [*TOP, "generations"])
def test_every_bit_of_the_small_files(whole: Path, answers: Seen, name: str, root: Path) -> None:
    path = root / (f"generations/{generation(whole).generation:06d}.json" if name == "generations" else name)
    data = path.read_bytes()
    said = set()
    for bit in range(len(data) * 8) if name in TOP else random.Random(3).sample(range(len(data) * 8), 300):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        said.add(check(root, path.relative_to(root).as_posix(), answers, needed(whole)))
    assert "damaged" in said
    assert "the same answers" not in said


def test_current_that_names_no_generation_is_damaged_and_nothing_is_swept(root: Path) -> None:
    """One flipped bit makes 000001 of 000000; taken for "nothing published", a writer would sweep all there is."""
    good = (root / "CURRENT").read_bytes()
    for bad in (b"000000" + good[6:], b"000000\n", b"", None):
        (root / "CURRENT").unlink(missing_ok=True)
        if bad is not None:
            (root / "CURRENT").write_bytes(bad)
        before = all_files(root)
        with pytest.raises(CorruptError) as caught:
            open_index(root)
        assert f"echo '{good.decode().strip()}'" in caught.value.fix  # what to write is said
        with pytest.raises(CorruptError):
            built(root)
        assert all_files(root) == before


# What is not ours, or not for us.


def test_a_foreign_folder(tmp_path: Path) -> None:
    put(tmp_path, {"thesis.txt": "years of work"})
    with pytest.raises(NoIndexError, match=r"no samespace\.json"):
        reading(tmp_path, see)
    with pytest.raises(SamespaceError, match="holds other things"):
        create(tmp_path)
    assert all_files(tmp_path) == {"thesis.txt"}


def test_nothing_there_a_file_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for name in ("nothing", "file", "folder"):
        with pytest.raises(NoIndexError):
            reading(tmp_path / name, see)


@pytest.mark.parametrize("number", [1, 99, -1])
def test_a_newer_format(root: Path, number: int) -> None:
    (root / "samespace.json").write_bytes(canonical({"magic": "samespace", "format": number}))
    for use in (seen, built, check_magic):
        with pytest.raises(FormatError, match=f"format {number}"):
            use(root)


def test_an_unknown_feature_word_is_refused(root: Path) -> None:
    rewritten(root, requires=("encrypted",))
    with pytest.raises(FormatError, match="encrypted"):
        seen(root)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "documents/../../secret", "documents/..", "a//../b", "~/x", "a\\b", "x\n", ""],
)
def test_a_generation_that_names_what_lies_outside(root: Path, name: str) -> None:
    files = generation(root).files
    rewritten(root, files={**files, name: next(iter(files.values()))})
    with pytest.raises(CorruptError):
        open_index(root)


@pytest.mark.parametrize("dead", [{"000001": (99,)}, {"000001": (-1,)}, {"000009": (0,)}], ids=str)
def test_dead_rows_that_cannot_be(root: Path, dead: dict[str, tuple[int, ...]]) -> None:
    rewritten(root, dead=dead)
    with pytest.raises(CorruptError):
        open_index(root)


def test_a_missing_file_is_named(root: Path) -> None:
    name = next(iter(generation(root).files))
    (root / name).unlink()
    with pytest.raises(CorruptError) as caught:
        seen(root)
    assert caught.value.path == str(root / name)


# Where it lies does not matter, and reading leaves no trace.


def test_copied_moved_and_renamed(root: Path, answers: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = Path(shutil.copytree(root, tmp_path / "copy"))
    assert seen(copied) == answers
    moved = copied.rename(tmp_path / "银行 index; with spaces")
    assert seen(moved) == answers
    monkeypatch.chdir(tmp_path)
    assert seen(Path(moved.name)) == answers
    (tmp_path / "link").symlink_to(moved)
    assert seen(tmp_path / "link") == answers


def test_searching_a_read_only_index_changes_nothing(
    root: Path, answers: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(step: str, path: Path) -> None:
        raise AssertionError(f"a reader did {step} to {path}")

    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}
    monkeypatch.setattr(fs, "on_step", never)
    assert seen(root) == answers
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [root, *root.rglob("*")]} == before
    for path in paths:
        path.chmod(0o755)


@pytest.mark.parametrize("kind", ["a file in its way", "damaged", "of another kind"])
def test_the_cache_is_never_needed(
    root: Path, answers: Seen, kind: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "a file in its way":
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_bytes(b"")
        monkeypatch.setenv("SAMESPACE_CACHE", str(cache))
    else:
        seen(root)
        (path,) = (cache / "verified").iterdir()
        path.write_bytes(b"{" if kind == "damaged" else b"[1]")
    assert seen(root) == answers
    assert seen(root) == answers


def test_what_is_remembered_is_of_this_file(root: Path, cache: Path) -> None:
    """The memory of another index at the same place, or of an older file, vouches for nothing."""
    seen(root)
    (path,) = (cache / "verified").iterdir()
    known = json.loads(path.read_bytes())
    assert set(known) == set(generation(root).files)
    name = next(iter(known))
    aside = root / "aside"
    shutil.copyfile(root / name, aside)
    data = bytearray(aside.read_bytes())
    data[-1] ^= 1
    aside.write_bytes(data)
    stat = (root / name).stat()
    os.utime(aside, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time: the inode tells
    aside.replace(root / name)
    with pytest.raises(CorruptError):
        seen(root)
