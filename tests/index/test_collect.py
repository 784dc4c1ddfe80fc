"""gc: the newest generations stay whole, all that only older ones needed goes, and it can be stopped anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from handmade import (
    FIRST,
    SECOND,
    all_files,
    at_step,
    built,
    generation,
    published_files,
    put,
    seen,
    steps_of,
    without_merges,
)

from core.errors import CorruptError, NoIndexError, UsageError
from core.index import fs
from core.index.collect import collect
from core.index.generation import generation_name, read_current
from core.index.kept import in_words, kept_numbers, read_generation
from core.index.reader import open_index, reading
from core.index.writer import create

THIRD = {"sub/python.md": "# Python\n\nOnly the snake is left.\n", "river.txt": None}


class Stopped(BaseException):
    pass


def stop() -> None:
    raise Stopped


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of three generations; all that was written for the first is still needed by the last."""
    folder = tmp_path_factory.mktemp("three")
    source, root = put(folder / "notes", FIRST), folder / "my.index"
    with pytest.MonkeyPatch.context() as patch:
        without_merges(patch)
        for files in ({}, SECOND, THIRD):
            put(source, files)
            built(root, source)
        assert kept_numbers(root) == [1, 2, 3]
    return root


@pytest.fixture
def root(three: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(three, tmp_path / "my.index"))


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Two generations that share nothing but the space: every document was replaced."""
    source, root = put(tmp_path / "notes", {"a.txt": "first"}), tmp_path / "alone.index"
    built(root, source)
    put(source, {"a.txt": "second"})
    built(root, source)
    return root


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"documents":', b'"documentz":', 1))


def test_the_newest_stay_and_the_index_answers_as_before(root: Path) -> None:
    before = seen(root)
    done = collect(root, 2)
    assert (done.generations, done.kept) == ((1,), (2, 3))
    assert kept_numbers(root) == [2, 3]
    assert seen(root) == before
    assert all_files(root) == published_files(root)


def test_files_that_only_the_removed_named_go_and_their_bytes_are_counted(alone: Path) -> None:
    before = {name: (alone / name).stat().st_size for name in all_files(alone)}
    mine = set(read_generation(alone, 1).files) - set(read_generation(alone, 2).files)
    assert mine
    done = collect(alone, 1)
    assert set(done.files) == mine
    assert before.keys() - all_files(alone) == {*mine, generation_name(1)}
    assert done.size == sum(before[name] for name in before.keys() - all_files(alone))
    assert seen(alone).documents.keys() == {"notes/a.txt"}


def test_a_dry_run_says_the_same_and_changes_nothing(alone: Path) -> None:
    before = {name: (alone / name).read_bytes() for name in all_files(alone)}
    assert not steps_of(lambda: collect(alone, 1, dry_run=True))
    said = collect(alone, 1, dry_run=True)
    assert {name: (alone / name).read_bytes() for name in all_files(alone)} == before
    assert collect(alone, 1) == said


def test_more_than_there_are_keeps_all(root: Path) -> None:
    before = all_files(root)
    done = collect(root, 99)
    assert (done.generations, done.files, done.size, done.kept) == ((), (), 0, (1, 2, 3))
    assert all_files(root) == before


def test_a_generation_is_gone_for_good_before_its_files_go(alone: Path) -> None:
    steps = steps_of(lambda: collect(alone, 1))
    removal = steps.index("remove 000001.json")
    assert steps[removal + 1] == "sync-folder generations"
    assert all(steps.index(step) > removal for step in steps if step == "remove 000001")
    assert "remove 000001" in steps


def test_stopped_at_any_step_it_answers_and_a_second_call_finishes(alone: Path, tmp_path: Path) -> None:
    empty_folder(alone)
    whole = Path(shutil.copytree(alone, tmp_path / "whole.index"))
    before, steps = seen(whole), steps_of(lambda: collect(whole, 1))
    assert len(steps) > 8
    for number in range(len(steps)):
        root = Path(shutil.copytree(alone, tmp_path / f"{number}.index"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fs, "on_step", at_step(number, stop))
            with pytest.raises(Stopped):
                collect(root, 1)
        assert seen(root) == before, steps[number]
        for kept in kept_numbers(root):
            assert all((root / name).is_file() for name in read_generation(root, kept).files), steps[number]
        collect(root, 1)
        assert seen(root) == before, steps[number]
        assert all_files(root) == all_files(whole), steps[number]
        assert folders(root) == folders(whole), steps[number]


def empty_folder(root: Path) -> None:
    (root / "lexical" / f"a-{'0' * 16}" / f"c-{'0' * 16}").mkdir(parents=True)


def folders(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir()}


def test_empty_folders_of_our_shapes_go_and_no_others(root: Path) -> None:
    before = folders(root)
    empty_folder(root)
    (root / "lexical" / "mine").mkdir()
    (root / "chunks" / f"c-{'1' * 16}").mkdir()
    (root / "chunks" / f"c-{'1' * 16}" / "notes.txt").write_text("somebody's own")
    collect(root, 3)
    assert folders(root) == before | {"lexical/mine", f"chunks/c-{'1' * 16}"}


def test_what_is_not_ours_stays(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    (alone / "documents" / "000009").symlink_to(tmp_path / "elsewhere")
    for name in ("documents/notes.txt", "generations/readme.json", "generations/12.json", "000001"):
        (alone / name).write_text("somebody's own")
    collect(alone, 1)
    for name in ("documents/notes.txt", "generations/readme.json", "generations/12.json", "000001"):
        assert (alone / name).read_text() == "somebody's own"
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert (alone / "documents" / "000009").is_symlink()


def test_leftovers_of_a_crash_go_as_well(alone: Path) -> None:
    leftovers = {"documents/000007", "generations/000007.json", "documents/000008.tmp"}
    for name in leftovers:
        (alone / name).write_text("cut short")
    done = collect(alone, 2)
    assert (set(done.files), done.generations) == (leftovers, ())
    assert done.size == 3 * len("cut short")


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_damaged_generation_that_is_kept_keeps_everything(root: Path, dry_run: bool) -> None:
    spoil(root / generation_name(2))
    before = all_files(root)
    with pytest.raises(CorruptError, match=r"generation 2 is damaged.*nothing was removed") as caught:
        collect(root, 2, dry_run=dry_run)
    assert caught.value.path == str(root / generation_name(2))
    assert "--keep 1" in caught.value.fix
    assert all_files(root) == before


def test_the_way_out_of_a_damaged_generation_works(root: Path) -> None:
    before = seen(root)
    spoil(root / generation_name(2))
    assert collect(root, 1).generations == (1, 2)
    assert seen(root) == before
    assert all_files(root) == published_files(root)


def test_a_damaged_generation_among_the_removed_is_no_matter(root: Path) -> None:
    spoil(root / generation_name(1))
    assert collect(root, 2).generations == (1,)
    assert all_files(root) == published_files(root)


def test_a_reader_that_came_before_it_is_answered(alone: Path) -> None:
    """Its maps stay; and one that read CURRENT before a build and looks for the files after gc begins anew."""
    index = open_index(alone)
    texts = index.segments[0].document(0).text
    collect(alone, 1)
    assert index.segments[0].document(0).text == texts
    source = put(alone.parent / "notes", {"a.txt": "third"})
    tries = []

    def use(index: object) -> int:
        if not tries:
            built(alone, source)
            collect(alone, 1)
        tries.append(index)
        return index.segments[0].document(0).text  # type: ignore[attr-defined]

    assert reading(alone, use) == "third"
    assert len(tries) == 2


def test_the_next_build_goes_on(root: Path) -> None:
    collect(root, 1)
    source = put(root.parent / "notes", FIRST)
    assert built(root, source).index.generation == 4
    assert generation(root).parent == 3


def test_wrong_requests(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one"):
        collect(root, 0)
    with pytest.raises(NoIndexError):
        collect(tmp_path / "none", 1)
    create(tmp_path / "new.index")
    with pytest.raises(NoIndexError, match="nothing is published"):
        collect(tmp_path / "new.index", 1)
    assert read_current(root) == 3


def test_numbers_in_words() -> None:
    assert in_words([1, 3, 4, 5, 8, 9]) == "1, 3-5, 8-9"
    assert in_words([]) == ""
