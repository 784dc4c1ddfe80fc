"""repair: what is derived comes back to the byte, the rest is named, and nothing that is whole is touched."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from handmade import (
    FIRST,
    SECOND,
    all_files,
    at_step,
    built,
    for_small_segments,
    generation,
    put,
    rewritten,
    seen,
    steps_of,
    without_merges,
)
from test_kill import ended_by, fork, kill_myself
from typer.testing import CliRunner

from cli.main import app
from core.check import check
from core.errors import CorruptError, LockedError, MissingError, NoIndexError
from core.index import fs
from core.index.columns import Table, concatenate, write_columns
from core.index.staging import Staging
from core.pipeline.ingest import ingest
from core.repair import RepairReport, repair
from core.vectors.codes import make_codes

ANN = "hnsw" if find_spec("hnswlib") else "binary"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generations of two segments, some rows dead, codes and graphs."""
    folder = tmp_path_factory.mktemp("repair")
    source, root = put(folder / "notes", FIRST), folder / "whole.index"
    with pytest.MonkeyPatch.context() as patch:
        for_small_segments(patch)
        without_merges(patch)
        built(root, source, ann=ANN)
        put(source, SECOND)
        built(root)
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "my.index"))


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and inode of every file but the lock."""
    return {name: ((root / name).read_bytes(), (root / name).stat().st_ino) for name in all_files(root) - {"LOCK"}}


def without_inodes(root: Path) -> dict[str, bytes]:
    return {name: data for name, (data, _) in contents(root).items()}


def is_derived(name: str) -> bool:
    return name.startswith("lexical/") or name.endswith((".codes", ".hnsw"))


def derived(root: Path) -> list[str]:
    return [name for name in generation(root).files if is_derived(name)]


def others(root: Path) -> list[str]:
    return [name for name in generation(root).files if not is_derived(name)]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": Path.unlink,
    "a folder": a_folder,
    "a link": a_link,
}


def is_sound(root: Path, **depth: bool) -> bool:
    """Whether all is well with the generation that is published; what `lie` wrote does not fit the older one."""
    return all("older generations" in f.message for f in check(root, **depth) if f.severity not in ("ok", "note"))


def nothing_to_do(root: Path) -> None:
    before = contents(root)
    report = repair(root)
    assert (report.repaired, report.lost, report.notes, report.published) == ({}, (), (), False)
    assert contents(root) == before


def test_a_whole_index_is_not_touched(root: Path) -> None:
    nothing_to_do(root)
    assert repair(root).generation == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_derived_file_is_put_back_to_the_byte(root: Path, damage: str) -> None:
    answers, before = seen(root), contents(root)
    names = derived(root)
    assert len(names) == (6 if ANN == "hnsw" else 4)
    for name in names:
        DAMAGES[damage](root / name)
        report = repair(root)
        assert (dict(report.repaired), report.lost, report.published) == ({name: name}, (), False)
        now = contents(root)
        assert {n: data for n, (data, _) in now.items()} == {n: data for n, (data, _) in before.items()}
        assert {n for n in now if now[n] != before[n]} <= {name}  # the others are the very files
        before = now
        assert not (root / name).is_symlink()
    assert seen(root) == answers
    nothing_to_do(root)


def test_all_derived_files_at_once(root: Path) -> None:
    before = without_inodes(root)
    shutil.rmtree(root / "lexical")
    for path in [*root.rglob("*.codes"), *root.rglob("*.hnsw")]:
        path.unlink()
    assert set(repair(root).repaired) == set(derived(root))
    assert without_inodes(root) == before


def test_damage_that_was_vouched_for_is_mended(root: Path) -> None:
    """The same size, time and inode as when it was read whole: what is remembered is not asked."""
    seen(root)
    name = derived(root)[0]
    stat, data = (root / name).stat(), (root / name).read_bytes()
    flip(root / name)
    os.utime(root / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert list(repair(root).repaired) == [name]
    assert (root / name).read_bytes() == data


@pytest.mark.parametrize("damage", ["flipped", "missing", "a folder"])
def test_what_is_derived_from_nothing_is_named_with_what_to_do(root: Path, damage: str, tmp_path: Path) -> None:
    older = {name for name in generation(root).files if "000002" not in name}
    for number, name in enumerate(others(root)):
        copy = Path(shutil.copytree(root, tmp_path / f"{number}.index"))
        DAMAGES[damage](copy / name)
        before = contents(copy)
        result = CliRunner().invoke(app, ["repair", str(copy)])
        assert result.exit_code == 12
        assert name in result.stdout
        assert "restore" in result.stdout
        assert ("rollback" in result.stdout) == (name not in older)
        if name not in older:
            assert f"samespace rollback {copy} 1" in result.stdout
        assert contents(copy) == before


def test_what_is_made_from_damaged_files_waits_for_them(root: Path) -> None:
    segment, view = generation(root).segments[0], generation(root).primary
    files = segment.files(view)
    data = (root / files["chunks"]).read_bytes()
    flip(root / files["chunks"])
    flip(root / files["lexical"])
    report = repair(root)
    assert {finding.details["path"] for finding in report.lost} == {files["chunks"], files["lexical"]}
    assert all(finding.fix for finding in report.lost)
    assert report.repaired == {}
    (root / files["chunks"]).write_bytes(data)  # from a copy
    assert list(repair(root).repaired) == [files["lexical"]]


def test_a_folder_that_holds_something_is_left_alone(root: Path) -> None:
    name = derived(root)[0]
    a_folder(root / name)
    put(root / name, {"thesis.txt": "years of work"})
    report = repair(root)
    assert "in its place" in report.lost[0].message
    assert (root / name / "thesis.txt").read_text() == "years of work"


# CURRENT and staging


@pytest.mark.parametrize("content", [b"", b"000001 0123456789abcdef\n", b"000000 0000000000000000\n\n", None, "folder"])
def test_current_is_mended(root: Path, content: bytes | str | None) -> None:
    before, answers = without_inodes(root), seen(root)
    (root / "CURRENT").unlink()
    if content == "folder":
        (root / "CURRENT").mkdir()
    elif content is not None:
        (root / "CURRENT").write_bytes(content)  # type: ignore[arg-type]
    report = repair(root)
    assert len(report.notes) == 1
    assert "names generation 2" in report.notes[0]
    assert report.generation == 2
    assert without_inodes(root) == before
    assert seen(root) == answers
    nothing_to_do(root)


@pytest.mark.parametrize("damage", ["flipped", "missing", "a folder"])
def test_a_damaged_generation_gives_way_to_the_one_before(root: Path, damage: str) -> None:
    DAMAGES[damage](root / "generations/000002.json")
    report = repair(root)
    assert report.generation == 1
    assert "after generation 1 cannot be read" in report.notes[1]
    assert {finding.severity for finding in check(root)} == {"ok"}
    nothing_to_do(root)


def test_without_any_whole_generation_nothing_is_changed(root: Path) -> None:
    for path in (root / "generations").iterdir():
        flip(path)
    before = contents(root)
    with pytest.raises(CorruptError, match="do not fit") as caught:
        repair(root)
    assert "from a copy" in caught.value.fix
    assert contents(root) == before


def test_damaged_staging_is_cleared_and_whole_staging_stays(root: Path, tmp_path: Path) -> None:
    ingest(root, [str(put(tmp_path / "more", {"a.txt": "One more page."}))])
    nothing_to_do(root)
    assert Staging(root).state() is not None
    flip(root / "staging/state.json")
    report = repair(root)
    assert "staged work was damaged" in report.notes[0]
    assert not (root / "staging").exists()
    nothing_to_do(root)


def test_a_folder_in_the_place_of_the_staged_state_is_cleared(root: Path, tmp_path: Path) -> None:
    put(root, {"staging/state.json/x": "", "staging/documents": "x"})
    assert repair(root, dry_run=True).notes == ("the staged work is damaged and would be cleared",)
    assert "cleared" in repair(root).notes[0]
    assert not (root / "staging").exists()


def test_vectors_that_are_no_numbers_reach_no_native_code(root: Path) -> None:
    segment, view = generation(root).segments[0], generation(root).primary
    name = segment.files(view)["vectors"]
    columns = {key: array.copy() for key, array in Table(root / name)._arrays.items()}
    columns["vectors"][0, 0] = np.nan
    (root / name).unlink()
    digest = fs.write(root / name, write_columns(columns))
    rewritten(root, files={**generation(root).files, name: digest})
    report = repair(root, untrusted=True)
    aids = {path for path in derived(root) if path.startswith(f"{name}.")}
    assert {finding.details["path"] for finding in report.lost} == aids
    assert not report.published


def test_nothing_published_is_nothing_to_repair(tmp_path: Path) -> None:
    root = tmp_path / "new.index"
    ingest(root, [str(put(tmp_path / "notes", FIRST))], model="hashing")
    nothing_to_do(root)
    with pytest.raises(NoIndexError):
        repair(tmp_path / "nothing")


def test_it_holds_the_lock(root: Path) -> None:
    with fs.lock(root / "LOCK"), pytest.raises(LockedError):
        repair(root)
    (root / "CURRENT").unlink()
    with fs.lock(root / "LOCK"), pytest.raises(LockedError):
        repair(root)


# Other bytes: a new generation


def lie(root: Path, name: str) -> None:
    """Another table under this name, its digest in the generation: as whoever can write an index could make it."""
    if name.startswith("lexical/"):
        table = Table(root / name)
        columns = {key: table._arrays[key].copy() for key in table._arrays}
        columns["counts"] += 7
        data = concatenate(write_columns(columns))
    elif name.endswith(".codes"):
        vectors = Table(root / name[: -len(".000001.codes")]).array("vectors", "<f4", 2)
        data = concatenate(write_columns(make_codes(-vectors, "cosine")))
    else:
        data = b"this crashes hnswlib"
    (root / name).unlink()
    digest = fs.write(root / name, [data])
    rewritten(root, files={**generation(root).files, name: digest})


def test_untrusted_finds_nothing_in_an_honest_index(root: Path) -> None:
    before = contents(root)
    report = repair(root, untrusted=True)
    assert (report.repaired, report.published) == ({}, False)
    assert contents(root) == before


def test_untrusted_makes_all_derived_files_again(root: Path) -> None:
    answers, honest = seen(root), generation(root)
    published = without_inodes(root)
    for name in derived(root):
        lie(root, name)
    assert seen(root) != answers
    lied = without_inodes(root)
    assert repair(root).repaired == {}  # the digests fit
    names = derived(root)
    report = repair(root, untrusted=True)
    assert (report.generation, report.published, report.lost) == (3, True, ())
    assert set(report.repaired) == set(names)
    assert seen(root) == answers
    now = generation(root)
    assert now.parent == 2
    assert now.documents == honest.documents
    assert sorted(now.dead.values()) == sorted(honest.dead.values())
    # Of the honest index the very bytes, under new names; what was published before stays as it was.
    content = sorted(published[name] for name in honest.files)
    assert sorted((root / name).read_bytes() for name in now.files) == content
    assert {name: data for name, data in without_inodes(root).items() if name in lied and name != "CURRENT"} == {
        name: data for name, data in lied.items() if name != "CURRENT"
    }
    assert is_sound(root, deep=True)
    assert repair(root, untrusted=True).repaired == {}
    nothing_to_do(root)


@pytest.mark.parametrize("ending", [".codes", ".hnsw"] if ANN == "hnsw" else [".codes"])
def test_other_codes_and_graphs_get_new_names_alone(root: Path, ending: str) -> None:
    (name,) = [name for name in derived(root) if name.endswith(ending) and "/000001." in name]
    lie(root, name)
    before = set(generation(root).files)
    report = repair(root, untrusted=True)
    new = name.replace(f".000001{ending}", f".000003{ending}")
    assert dict(report.repaired) == {name: new}
    assert set(generation(root).files) == before - {name} | {new}


def test_the_next_build_goes_on_from_renamed_segments(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in derived(root):
        if name.startswith("lexical/"):
            lie(root, name)
    assert repair(root, untrusted=True).generation == 3
    names = [segment.name for segment in generation(root).segments]
    assert names == ["000003", "000004"]
    without_merges(monkeypatch)
    source = put(tmp_path / "more", {"a.txt": "One more page about the river bank."})
    assert built(root, source).index.published
    assert [segment.name for segment in generation(root).segments] == [*names, "000005"]
    assert is_sound(root, deep=True)


def test_bytes_that_come_out_differently_get_a_new_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another processor: the last digits of codes are not the ones that were named."""

    def elsewhere(vectors: object, metric: str) -> dict[str, object]:
        columns = make_codes(vectors, metric)  # type: ignore[arg-type]
        return {**columns, "mean": np.nextafter(columns["mean"], np.float32(1))}

    (name,) = [name for name in derived(root) if name.endswith(".codes") and "/000001." in name]
    flip(root / name)
    monkeypatch.setattr("core.repair.make_codes", elsewhere)
    report = repair(root)
    assert (dict(report.repaired), report.generation) == ({name: name.replace("1.codes", "3.codes")}, 3)
    assert {finding.severity for finding in check(root)} == {"ok"}


def test_no_generation_is_published_upon_damage(root: Path) -> None:
    codes = next(name for name in derived(root) if name.endswith(".codes"))
    lie(root, codes)
    flip(root / "documents/000002")
    before = contents(root)
    report = repair(root, untrusted=True)
    assert not report.published
    assert {finding.details["path"] for finding in report.lost} >= {codes, "documents/000002"}
    assert contents(root) == before


@pytest.mark.skipif(ANN != "hnsw", reason="hnswlib is not installed")
def test_a_graph_without_hnswlib_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "core.vectors.hnsw", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "hnswlib", None)
    for name in derived(root):
        (root / name).unlink()
    report = repair(root)
    assert {finding.details["path"] for finding in report.lost} == {n for n in derived(root) if n.endswith(".hnsw")}
    assert all("hnswlib" in finding.fix for finding in report.lost)
    assert {*report.repaired} == {name for name in derived(root) if not name.endswith(".hnsw")}


def test_words_that_are_cut_in_another_way_are_not_counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.lexical.mixed.MixedAnalyzer.identity", "a-0123456789abcdef")
    name = next(name for name in derived(root) if name.startswith("lexical/"))
    flip(root / name)
    report = repair(root)
    assert report.repaired == {}
    assert "another way" in report.lost[0].message


# The command line


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(root: Path) -> None:
    names = derived(root)[:2]
    for name in names:
        flip(root / name)
    (root / "CURRENT").unlink()
    put(root, {"documents/000009": "a leftover"})
    before = contents(root)
    with fs.lock(root / "LOCK"):
        report = repair(root, dry_run=True)
        assert list(report.repaired) == names
        assert "it would name generation 2" in report.notes[0]
        result = CliRunner().invoke(app, ["repair", str(root), "--dry-run"])
    assert result.exit_code == 0
    assert all(f"{name}: would be made again" in result.stdout for name in names)
    assert contents(root) == before
    flip(root / "documents/000002")
    assert CliRunner().invoke(app, ["repair", str(root), "--dry-run"]).exit_code == 12


def test_the_command_repairs_and_then_finds_nothing(root: Path) -> None:
    import json

    name = derived(root)[0]
    flip(root / name)
    result = CliRunner().invoke(app, ["repair", str(root), "--json"])
    assert result.exit_code == 0
    value = json.loads(result.stdout)
    assert value["schema"] == "samespace/repair/1"
    assert value["repaired"] == {name: name}
    again = CliRunner().invoke(app, ["repair", str(root)])
    assert (again.exit_code, again.stdout) == (0, "nothing to repair\n")


# Killed


def damaged_current(root: Path) -> None:
    for name in derived(root):
        flip(root / name)
    (root / "CURRENT").write_bytes(b"?")


def lied(root: Path) -> None:
    for name in derived(root):
        lie(root, name)


def scenes() -> Iterator[tuple[str, Callable[[Path], None], bool]]:
    yield "put back", damaged_current, False
    yield "a new generation", lied, True


@pytest.mark.parametrize(("prepare", "untrusted"), [scene[1:] for scene in scenes()], ids=[s[0] for s in scenes()])
def test_killed_at_every_step_it_can_be_repaired(
    whole: Path, tmp_path: Path, prepare: Callable[[Path], None], untrusted: bool
) -> None:
    answers, damaged = seen(whole), Path(shutil.copytree(whole, tmp_path / "damaged.index"))
    prepare(damaged)
    counted = Path(shutil.copytree(damaged, tmp_path / "counted.index"))
    steps = steps_of(lambda: repair(counted, untrusted=untrusted))
    assert len(steps) > 20
    kept = {name for name in all_files(damaged) if name.startswith("generations/")}
    for number, step in enumerate(steps):
        root = Path(shutil.copytree(damaged, tmp_path / "killed.index"))

        def work(root: Path = root, number: int = number) -> None:
            fs.on_step = at_step(number, kill_myself)
            repair(root, untrusted=untrusted)

        assert ended_by(fork(work)) == signal.SIGKILL, step
        report: RepairReport = repair(root, untrusted=untrusted)
        assert report.lost == (), step
        assert seen(root) == answers, step
        assert is_sound(root, read_data=True), step
        assert kept <= all_files(root)
        shutil.rmtree(root)


def test_a_full_disk_leaves_it_repairable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = without_inodes(root)
    for name in derived(root):
        flip(root / name)

    def full(step: str, path: Path) -> None:
        if step == "sync":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "on_step", full)
        with pytest.raises(OSError, match="No space"):
            repair(root)
    assert len(repair(root).repaired) == len(derived(root))
    assert without_inodes(root) == before


def test_errors_that_are_not_ours_are_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*call: object) -> None:
        raise MissingError("the analyzer is not here", fix="pip install it")

    monkeypatch.setattr("core.repair.count", gone)
    name = next(name for name in derived(root) if name.startswith("lexical/"))
    flip(root / name)
    (lost,) = repair(root).lost
    assert lost.fix == "pip install it"
