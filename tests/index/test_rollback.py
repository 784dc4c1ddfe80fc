"""rollback: an older content as a new generation, nothing copied, nothing lost, and never on damaged files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from handmade import FIRST, SECOND, Seen, all_files, at_step, built, generation, published_files, put, seen, steps_of

from core.errors import CorruptError, NoIndexError, UsageError
from core.history import diff, history
from core.index import fs
from core.index.collect import collect
from core.index.generation import generation_name, read_current
from core.index.kept import kept_numbers, read_generation
from core.index.state import read_state
from core.index.writer import create
from core.pipeline.ingest import ingest
from core.rollback import rollback


class Stopped(BaseException):
    pass


def stop() -> None:
    raise Stopped


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen, Seen]:
    """An index of two generations with its source beside it, and what each of them answers."""
    folder = tmp_path_factory.mktemp("rollback")
    source, root = put(folder / "notes", FIRST), folder / "my.index"
    built(root, source)
    first = seen(root)
    built(root, put(source, SECOND))
    return root, first, seen(root)


@pytest.fixture
def root(before_and_after: tuple[Path, Seen, Seen], tmp_path: Path) -> Path:
    return Path(shutil.copytree(before_and_after[0], tmp_path / "my.index"))


@pytest.fixture
def first(before_and_after: tuple[Path, Seen, Seen]) -> Seen:
    return before_and_after[1]


@pytest.fixture
def second(before_and_after: tuple[Path, Seen, Seen]) -> Seen:
    return before_and_after[2]


def test_it_answers_as_it_did(root: Path, first: Seen, second: Seen) -> None:
    assert seen(root) == second
    done = rollback(root, 1)
    assert (done.published, done.dropped, done.generation) == (True, False, generation(root))
    assert seen(root) == first
    assert (done.generation.generation, done.generation.parent) == (3, 2)


def test_no_file_is_written_but_the_generation_and_the_old_stay(root: Path, second: Seen) -> None:
    before = {name: (root / name).read_bytes() for name in all_files(root) if name not in ("CURRENT", "LOCK")}
    rollback(root, 1)
    assert all_files(root) - {*before, "CURRENT", "LOCK"} == {generation_name(3)}
    assert {name: (root / name).read_bytes() for name in before} == before
    assert read_generation(root, 3).files == read_generation(root, 1).files
    assert rollback(root, 2).generation.generation == 4  # and forward again
    assert seen(root) == second


def test_history_and_collecting_go_on(root: Path, first: Seen) -> None:
    rollback(root, 1)
    assert [(entry.number, entry.parent, entry.added, entry.removed) for entry in history(root)][2] == (3, 2, 1, 1)
    assert diff(root, 1, 3).changes.unchanged == 5
    collect(root, 1)
    assert kept_numbers(root) == [3]
    assert seen(root) == first
    assert all_files(root) == published_files(root)


@pytest.mark.parametrize("number", [1, 3])
def test_the_same_content_is_not_published_again(root: Path, number: int) -> None:
    """Neither the current generation nor the one whose content it has."""
    rollback(root, 1)
    before = all_files(root)
    done = rollback(root, number)
    assert (done.published, done.generation.generation) == (False, 3)
    assert (all_files(root), read_current(root)) == (before, 3)


def test_settings_go_back_too(root: Path) -> None:
    built(root, ann="exact")
    assert generation(root).settings["ann"] == {"name": "exact"}
    rollback(root, 2)
    assert generation(root).settings["ann"] == {"name": "auto"}


def test_the_next_build_brings_the_sources_again(
    root: Path, second: Seen, before_and_after: tuple[Path, Seen, Seen]
) -> None:
    rollback(root, 1)
    report = built(root)
    assert report.index.generation == 4
    assert report.ingest.counts["changed"] == report.ingest.counts["new"] == report.ingest.counts["removed"] == 1
    assert seen(root).alike(second)


@pytest.mark.parametrize("state", ["whole", "damaged"])
def test_staged_work_is_dropped(root: Path, tmp_path: Path, state: str) -> None:
    ingest(root, [str(put(tmp_path / "more", {"more.txt": "staged for generation 2"}))])
    if state == "damaged":
        (root / "staging" / "state.json").write_text("{")
    done = rollback(root, 1)
    assert done.dropped
    assert read_state(root) is None
    assert not (root / "staging").exists()
    assert built(root).index.generation == 4
    assert not any(name.startswith("more/") for name in seen(root).documents)


def test_staged_work_stays_when_nothing_is_published(root: Path, tmp_path: Path) -> None:
    ingest(root, [str(put(tmp_path / "more", {"more.txt": "staged for generation 2"}))])
    assert not rollback(root, 2).dropped
    assert read_state(root) is not None


@pytest.mark.parametrize("damage", ["missing", "cut short", "changed"])
def test_refused_when_a_file_of_it_is_damaged(root: Path, second: Seen, damage: str) -> None:
    put(root.parent / "notes", {"only.txt": "all is new"})
    built(root, root.parent / "notes", yes=True)
    names = sorted(name for name in read_generation(root, 2).files if name.endswith("/000002"))
    for name in names[:2]:
        data = (root / name).read_bytes()
        (root / name).unlink()
        if damage != "missing":
            (root / name).write_bytes(data[:-1] if damage == "cut short" else data[:-1] + bytes([data[-1] ^ 1]))
    before = all_files(root)
    with pytest.raises(CorruptError, match="generation 2 cannot be published again: 2 of its files") as caught:
        rollback(root, 2)
    assert caught.value.details == {"files": names[:2]}
    assert all(name in caught.value.message for name in names[:2])
    assert (all_files(root), read_current(root)) == (before, 3)
    assert rollback(root, 1).published


def test_refused_when_its_generation_is_damaged_or_not_there(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no generation 7 in this index; it has 1-2"):
        rollback(root, 7)
    path = root / generation_name(1)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        CorruptError, match="the older generation 1 is damaged or missing; the index itself does not need it"
    ):
        rollback(root, 1)
    create(tmp_path / "new.index")
    with pytest.raises(NoIndexError):
        rollback(tmp_path / "new.index", 1)
    assert read_current(root) == 2


def test_stopped_at_any_step(root: Path, first: Seen, second: Seen, tmp_path: Path) -> None:
    """The current generation answers or the new one, and a second call finishes. Staged work is gone with the switch."""
    ingest(root, [str(put(tmp_path / "more", {"more.txt": "staged for generation 2"}))])
    counted = Path(shutil.copytree(root, tmp_path / "counted.index"))
    steps = steps_of(lambda: rollback(counted, 1))
    switch = steps.index("rename CURRENT")
    assert 3 < switch < len(steps) - 3
    for number in range(len(steps)):
        copy = Path(shutil.copytree(root, tmp_path / f"{number}.index"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fs, "on_step", at_step(number, stop))
            with pytest.raises(Stopped):
                rollback(copy, 1)
        assert seen(copy) == (second if number <= switch else first), steps[number]
        assert (read_state(copy) is None) == (number > switch), steps[number]
        rollback(copy, 1)
        assert (seen(copy), read_current(copy)) == (first, 3), steps[number]
        assert read_state(copy) is None, steps[number]
