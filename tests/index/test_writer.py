"""One writer at a time, readers beside it, numbers that only rise, and nothing deleted that is not ours."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from handmade import FIRST, SECOND, all_files, built, generation, published_files, put, see, seen
from test_kill import ended_by, fork, kill_myself

from core.errors import CorruptError, LockedError, NoIndexError, UsageError
from core.index import fs
from core.index.generation import read_current
from core.index.reader import missing, open_index, reading
from core.index.writer import next_number, writing
from core.pipeline.ingest import ingest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "notes", FIRST)


@pytest.fixture
def root(tmp_path: Path, source: Path) -> Path:
    root = tmp_path / "my.index"
    built(root, source)
    return root


# The lock


@contextlib.contextmanager
def holder(root: Path) -> Iterator[int]:
    """A child that holds the lock until it is killed: its process id."""
    ready, done = os.pipe()

    def hold() -> None:
        with writing(root):
            os.write(done, b"x")
            signal.pause()

    child = fork(hold)
    try:
        assert os.read(ready, 1) == b"x"
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(ready)
        os.close(done)
        assert ended_by(child) == signal.SIGKILL


def test_a_second_writer_is_told_who_the_first_is(root: Path, source: Path) -> None:
    before = seen(root)
    with holder(root) as child:
        for work in (lambda: built(root, source), lambda: ingest(root, [str(source)])):
            with pytest.raises(LockedError, match=rf"process {child} on .+, since \d{{4}}-") as caught:
                work()
            assert caught.value.path == str(root)
        assert seen(root) == before  # searching works meanwhile
    put(source, SECOND)
    assert built(root).index.published  # the kernel has freed the lock


def locked_out(root: Path) -> str:
    """What another process is told that wants to write; "" when it may."""
    answer, told = os.pipe()

    def attempt() -> None:
        try:
            with writing(root):
                pass
        except LockedError as error:
            os.write(told, str(error).encode())

    assert ended_by(fork(attempt)) == 0
    os.close(told)
    with os.fdopen(answer) as pipe:
        return pipe.read()


def test_the_lock_is_free_after_an_error(root: Path) -> None:
    with pytest.raises(RuntimeError), writing(root):
        raise RuntimeError
    assert not locked_out(root)
    with writing(root):
        assert str(os.getpid()) in (root / "LOCK").read_text()
    assert (root / "LOCK").read_text() == ""


def test_a_block_inside_a_block_frees_nothing(root: Path) -> None:
    """As `build` holds the lock around its stages: no other writer comes between two of them."""
    with writing(root):
        with writing(root / ".." / root.name):
            pass
        assert str(os.getpid()) in (root / "LOCK").read_text()


@pytest.mark.parametrize("nonsense", [b"nonsense", b"\xff\xfe", b"{}", b""])
def test_a_lock_file_that_says_nonsense(root: Path, nonsense: bytes) -> None:
    with holder(root):
        (root / "LOCK").write_bytes(nonsense)
        with pytest.raises(LockedError, match="has not said which"), writing(root):
            pass


# Waiting for it


class Clock:
    """Time that passes only in sleep, while the time of day goes back. `then` is called in the `count`-th sleep."""

    def __init__(self, patch: pytest.MonkeyPatch, then: Callable[[], None] = lambda: None, count: int = 3):
        self.now, self.sleeps, self._then, self._count = 1000.0, 0, then, count
        patch.setattr(time, "monotonic", lambda: self.now)
        patch.setattr(time, "time", lambda: 1e9 - self.now)
        patch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.sleeps += 1
        if self.sleeps == self._count:
            self._then()


def end(child: int) -> None:
    """Kill the holder and come back when the kernel has freed its lock; its end is still to be asked for."""
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


def test_a_writer_waits_until_the_first_has_finished(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with holder(root) as child:
        clock = Clock(monkeypatch, lambda: end(child))
        with writing(root, 60, told.append):
            assert str(os.getpid()) in (root / "LOCK").read_text()
        assert clock.sleeps == 3
        assert len(told) == 1
        assert f"process {child} on " in told[0]
        assert "waiting up to 60 seconds" in told[0]


@pytest.mark.parametrize("wait", [0.3, 2.0])
def test_a_writer_gives_up_when_the_time_has_passed(root: Path, monkeypatch: pytest.MonkeyPatch, wait: float) -> None:
    with holder(root) as child:
        clock = Clock(monkeypatch)
        with (
            pytest.raises(LockedError, match=rf"process {child} on .+; waited {wait:.1f} seconds"),
            writing(root, wait),
        ):
            pass
        assert clock.now == pytest.approx(1000 + wait)


@pytest.mark.parametrize("wait", [0.0, -1.0, float("nan")])
def test_who_does_not_wait_is_told_at_once(root: Path, monkeypatch: pytest.MonkeyPatch, wait: float) -> None:
    told: list[str] = []
    with holder(root):
        clock = Clock(monkeypatch)
        with pytest.raises(LockedError) as caught, writing(root, wait, told.append):
            pass
        assert "waited" not in caught.value.message
        assert (clock.sleeps, told) == (0, [])


def test_a_free_lock_is_not_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with writing(root, 60):
        pass
    assert clock.sleeps == 0


@pytest.mark.parametrize(
    ("gone", "error"), [(("samespace.json", "LOCK"), NoIndexError), (("LOCK",), LockedError)], ids=["index", "lock"]
)
def test_an_index_that_is_taken_back_meanwhile(
    root: Path, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...], error: type[Exception]
) -> None:
    """As when the first build of another process came to nothing: a lock without a name holds nobody off."""
    with holder(root) as child:

        def take_back() -> None:
            for name in gone:
                (root / name).unlink()
            end(child)

        Clock(monkeypatch, take_back)
        with pytest.raises(error, match=r"is not a samespace index|taken away or made anew"), writing(root, 60):
            pass
        assert not (root / "LOCK").exists()


# Numbers


def test_numbers_rise_by_builds_that_change_something(root: Path, source: Path) -> None:
    numbers = [read_current(root)]
    for text in ("one", "two", "two", "three"):
        put(source, {"cat.md": text})
        built(root)
        numbers.append(read_current(root))
    assert numbers == [1, 2, 3, 3, 4]
    assert generation(root).parent == 3


def test_a_number_that_is_found_is_not_used_again(root: Path, source: Path) -> None:
    """Also after a rollback by hand, where higher generations lie about and old readers may know them."""
    put(source, SECOND)
    built(root)
    (root / "documents" / "000007").mkdir()  # not a file of ours, so it stays
    put(source, {"cat.md": "changed once more"})
    built(root)
    assert read_current(root) == 8
    assert next_number(root) == 9


def test_a_published_generation_never_changes(root: Path, source: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {name: (root / name).read_bytes() for name in published_files(root) - {"CURRENT", "LOCK"}}

    history = contents()
    for text in ("one", "two"):
        put(source, {"cat.md": text})
        built(root)
        now = contents()
        assert now.items() >= history.items()
        history = now


# Readers beside a writer


def test_readers_beside_a_writer(root: Path, source: Path) -> None:
    """Each read is of one of the two contents, whole, and a reader never goes back in time."""
    contents = []
    for files in (SECOND, FIRST):
        put(source, files)
        built(root)
        contents.append(seen(root))
    assert not contents[0].alike(contents[1])
    last = read_current(root)

    def write() -> None:
        for _ in range(12):
            put(source, SECOND)
            built(root)
            put(source, FIRST)
            built(root)

    child, numbers, ended, status = fork(write), [last], 0, -1
    while not ended:
        ended, status = os.waitpid(child, os.WNOHANG)
        number, found = reading(root, lambda index: (index.generation.generation, see(index)))
        assert found.alike(contents[number % 2 == last % 2])
        numbers.append(number)
    assert status == 0, "the writer failed"
    assert numbers == sorted(numbers)
    assert read_current(root) == last + 24


def test_an_open_index_outlives_its_replacement(root: Path, source: Path) -> None:
    index = open_index(root)
    before = see(index)
    put(source, SECOND)
    built(root)
    assert see(index) == before
    assert not seen(root).alike(before)


def test_a_file_that_went_away_with_its_generation_is_looked_for_in_the_next(root: Path, source: Path) -> None:
    """What `gc` does to a reader that is between CURRENT and its files; promise 4."""
    calls = []

    def use(index: object) -> int:
        calls.append(open_index(root).generation.generation)
        if len(calls) == 1:
            put(source, SECOND)
            built(root)
            raise missing(root / "documents" / "000001")
        return calls[-1]

    assert reading(root, use) == 2
    assert calls == [1, 2]


# Sweeping


STRANGERS = (
    "notes.txt", "thesis.tmp", "documents/readme.txt", "documents/000001.bak", "documents/1", "chunks/mine/000001",
    "lexical/a-0123/000001", "spaces/s-0123456789abcdef/weights.bin", "generations/000001.json.bak",
    "generations/²²²²²².json", "generations/latest.json",
)  # fmt: skip
LEFTOVERS = (
    "documents/000099", "chunks/c-0123456789abcdef/000099", "lexical/a-0123456789abcdef/c-0123456789abcdef/000099",
    "spaces/s-0123456789abcdef/space.json", "spaces/s-0123456789abcdef/c-0123456789abcdef/000099.000099.hnsw",
    "generations/000099.json", "documents/000099.tmp", "generations/000099.json.tmp", "CURRENT.tmp",
)  # fmt: skip


def test_a_strangers_file_is_never_deleted(root: Path, source: Path, tmp_path: Path) -> None:
    put(root, dict.fromkeys(STRANGERS, "mine"))
    (tmp_path / "elsewhere").write_text("mine")
    (root / "documents" / "000098").symlink_to(tmp_path / "elsewhere")
    put(source, SECOND)
    built(root)
    assert {name: (root / name).read_text() for name in STRANGERS} == dict.fromkeys(STRANGERS, "mine")
    assert (root / "documents" / "000098").is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_leftovers_of_crashes_are_swept(root: Path) -> None:
    put(root, dict.fromkeys(LEFTOVERS, "half"))
    with writing(root):
        assert all_files(root) == published_files(root)


def test_nothing_is_swept_while_an_old_generation_is_damaged(root: Path, source: Path) -> None:
    put(source, SECOND)
    built(root)
    (root / "generations" / "000001.json").write_bytes(b"{")
    put(root, dict.fromkeys(LEFTOVERS, "half"))
    before = all_files(root)
    with writing(root):
        assert all_files(root) == before


def test_staging_is_cleared_without_following_links(root: Path, source: Path, tmp_path: Path) -> None:
    put(source, SECOND)
    ingest(root)
    put(tmp_path / "precious", {"a.txt": "mine"})
    (root / "staging" / "parts").symlink_to(tmp_path / "precious")
    with pytest.raises(CorruptError, match="link"), writing(root):
        pass
    fs.remove_folder(root / "staging")
    assert not (root / "staging").exists()
    assert (tmp_path / "precious" / "a.txt").read_text() == "mine"


# Creating


def test_nothing_is_made_when_the_model_or_the_path_is_wrong(tmp_path: Path, source: Path) -> None:
    for paths, model in (([str(source)], "no-such-model"), ([str(tmp_path / "nowhere")], "hashing")):
        with pytest.raises(UsageError):
            ingest(tmp_path / "new.index", paths, model=model)
    assert not (tmp_path / "new.index").exists()


def test_an_index_killed_while_it_was_made_is_made_again(tmp_path: Path, source: Path) -> None:
    root = tmp_path / "new.index"

    def work() -> None:
        fs.on_step = lambda step, path: kill_myself() if step == "rename" else None
        built(root, source)

    assert ended_by(fork(work)) == signal.SIGKILL
    assert all(name.startswith("CURRENT.tmp") for name in all_files(root))
    built(root, source)
    assert all_files(root) == published_files(root)
    assert re.fullmatch(r"\d{6} [0-9a-f]{16}\n", (root / "CURRENT").read_text())
