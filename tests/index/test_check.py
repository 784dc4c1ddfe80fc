"""check in its three depths: what each of them sees, and that every finding says what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from handmade import FIRST, SECOND, built, for_small_segments, generation, put, rewritten, seen

from core.check import check
from core.errors import CorruptError, MissingError
from core.index import fs
from core.index.columns import Table, concatenate, write_columns
from core.types import Finding

ANN = "hnsw" if find_spec("hnswlib") else "binary"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three generations of three segments, codes and graphs; the first two are kept."""
    folder = tmp_path_factory.mktemp("check")
    source, root = put(folder / "notes", FIRST), folder / "whole.index"
    with pytest.MonkeyPatch.context() as patch:
        for_small_segments(patch)
        built(root, source, ann=ANN)
        put(source, SECOND)
        built(root)
        put(source, {"python.txt": "One more snake.\n", "sub/python.md": None, "cat.md": None, "银行.txt": None})
        put(source, {"new.txt": None, "river.txt": None})
        built(root, yes=True)
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "my.index"))


def severities(findings: list[Finding]) -> set[str]:
    """And every finding that is not good says what to do."""
    assert all(finding.fix for finding in findings if finding.severity != "ok")
    return {finding.severity for finding in findings}


def errors(findings: list[Finding]) -> list[Finding]:
    severities(findings)
    return [finding for finding in findings if finding.severity == "error"]


def flip(path: Path, keep_time: bool = False) -> None:
    """Change a byte in place: the same inode, and the same time where asked."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns if keep_time else stat.st_mtime_ns + 1))


@pytest.mark.parametrize("depth", [{}, {"read_data": True}, {"deep": True}], ids=str)
def test_a_whole_index_has_no_findings_but_good_ones(root: Path, depth: dict[str, bool]) -> None:
    findings = check(root, **depth)
    assert severities(findings) == {"ok"}
    expected = {"index", "staging"}
    if depth.get("deep"):
        expected |= {"chunks", "lexical", "vectors", "codes"} | ({"graph"} if ANN == "hnsw" else set())
    assert {finding.check for finding in findings} == expected


def test_what_was_read_before_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    digest = fs.digest
    monkeypatch.setattr(fs, "digest", lambda path: (read.append(path), digest(path))[1])
    check(root)
    assert {path.relative_to(root).as_posix() for path in read} == set(generation(root).files)
    read.clear()
    assert check(root)
    assert read == []
    name = next(iter(generation(root).files))
    os.utime(root / name, ns=(1, 1))
    check(root)
    assert read == [root / name]
    read.clear()
    check(root, read_data=True)
    older = {name for number in (1, 2) for name in read_generation(root, number)}
    assert sorted(p.relative_to(root).as_posix() for p in read) == sorted(older | set(generation(root).files))


def read_generation(root: Path, number: int) -> set[str]:
    from core.index.generation import Generation

    path = root / f"generations/{number:06d}.json"
    return set(Generation.from_bytes(path.read_bytes(), path).files)


def test_a_change_that_leaves_size_and_time_is_seen_by_read_data(root: Path) -> None:
    seen(root)
    for name in generation(root).files:
        data = (root / name).read_bytes()
        flip(root / name, keep_time=True)
        assert "file" not in {finding.check for finding in check(root)}
        (found,) = errors(check(root, read_data=True))
        assert found.details["path"] == name
        (found,) = errors(check(root))  # and what was found is not vouched for again
        assert found.details["path"] == name
        stat = (root / name).stat()
        (root / name).write_bytes(data)
        os.utime(root / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert errors(check(root, read_data=True)) == []


def test_read_data_reads_older_generations_too(root: Path) -> None:
    only_older = sorted((read_generation(root, 1) | read_generation(root, 2)) - set(generation(root).files))
    assert len(only_older) > 5
    for name in only_older:
        data = (root / name).read_bytes()
        flip(root / name)
        assert errors(check(root)) == []
        (found,) = errors(check(root, read_data=True))
        assert name in found.message
        assert "samespace gc" in found.fix
        (root / name).write_bytes(data)
    (root / "generations/000001.json").write_bytes(b"{}")
    assert errors(check(root)) == []
    (found,) = errors(check(root, read_data=True))
    assert "older generation 1" in found.message


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (flip, "sha256 differs"),
    "cut short": (lambda path: os.truncate(path, path.stat().st_size - 1), "bytes instead of"),
    "missing": (Path.unlink, "is missing"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "directory"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_is_named_with_the_command_that_helps(root: Path, damage: str, tmp_path: Path) -> None:
    change, what = DAMAGES[damage]
    for number, name in enumerate(generation(root).files):
        copy = Path(shutil.copytree(root, tmp_path / f"{number}.index"))
        change(copy / name)
        (found,) = errors(check(copy))
        assert what in found.message.lower()
        assert name in found.message
        derived = name.startswith("lexical/") or name.endswith((".codes", ".hnsw"))
        assert ("samespace repair" in found.fix) == derived
        # The first two generations do not need the third's own files.
        assert ("samespace rollback" in found.fix) == (not derived and "space.json" not in name and "canar" not in name)
        if "rollback" in found.fix:
            assert f"samespace rollback {copy} 2" in found.fix


def test_leftovers_are_noted_with_their_bytes(root: Path) -> None:
    put(
        root,
        {"documents/000009": "x" * 100, "generations/000009.json.tmp": "y" * 11, "CURRENT.tmp": "z", "spaces/a": ""},
    )
    (note,) = [finding for finding in check(root) if finding.severity != "ok"]
    assert note.severity == "note"
    assert "4 files with 112 bytes" in note.message
    assert note.details["bytes"] == 112
    assert "samespace build" in note.fix


def test_a_generation_that_was_never_published_is_left_over(root: Path) -> None:
    data = replace(generation(root), generation=4, parent=3).to_bytes()
    (root / "generations/000004.json").write_bytes(data)
    (note,) = [finding for finding in check(root) if finding.severity != "ok"]
    assert note.details == {"files": ["generations/000004.json"], "count": 1, "bytes": len(data)}


@pytest.mark.parametrize("name", ["thing", "notes/x", "documents/", "../x"])
def test_a_generation_that_names_a_file_of_another_shape(root: Path, name: str) -> None:
    before = generation(root).files
    rewritten(root, files={**before, name: fs.digest(root / "CURRENT")})
    with pytest.raises(CorruptError):
        check(root)


@pytest.mark.parametrize("depth", [{}, {"read_data": True}, {"deep": True}], ids=str)
def test_without_any_document(tmp_path: Path, depth: dict[str, bool]) -> None:
    source, root = put(tmp_path / "notes", {"a.txt": "One page.\n"}), tmp_path / "my.index"
    built(root, source)
    put(source, {"a.txt": None})
    assert built(root, yes=True).index.documents == 0
    assert severities(check(root, **depth)) == {"ok"}


@pytest.mark.parametrize("name", ["staging/state.json", "staging/state.json/a folder"])
def test_staging_that_is_damaged_is_a_warning(root: Path, name: str) -> None:
    put(root, {name: "{"})
    (warning,) = [finding for finding in check(root) if finding.severity == "warning"]
    assert warning.check == "staging"
    assert "samespace repair" in warning.fix


# What digests do not tell: an index that was made wrong, digests and all.


def remade(root: Path, name: str, **columns: object) -> None:
    """The table `name` with other columns, and a generation that names it so."""
    table = Table(root / name)
    arrays = {key: table._arrays[key].copy() for key in table._arrays}
    data = concatenate(write_columns({**arrays, **columns}))  # type: ignore[dict-item]
    (root / name).unlink()
    digest = fs.write(root / name, [data])
    rewritten(root, files={**generation(root).files, name: digest})


def name_of(root: Path, start: str, end: str = "") -> str:
    return next(name for name in generation(root).files if name.startswith(start) and name.endswith(end))


def vectors_name(root: Path) -> str:
    segment = generation(root).segments[0]
    return segment.files(generation(root).primary)["vectors"]


def test_deep_sees_words_that_are_not_the_documents(root: Path) -> None:
    name = name_of(root, "lexical/")
    counts = Table(root / name).array("counts", "<u2").copy()
    counts[0] += 1
    remade(root, name, counts=counts)
    assert errors(check(root, read_data=True)) == []
    (found,) = errors(check(root, deep=True))
    assert found.check == "lexical"
    assert "samespace repair" in found.fix
    assert "--untrusted" in found.fix


def test_deep_sees_chunks_that_are_cut_elsewhere(root: Path) -> None:
    name = name_of(root, "chunks/")
    end = Table(root / name).array("end", "<i8").copy()
    end[0] -= 1
    remade(root, name, end=end)
    assert errors(check(root, read_data=True)) == []
    found = {finding.check for finding in errors(check(root, deep=True))}
    assert "chunks" in found


def test_deep_sees_vectors_of_other_texts(root: Path) -> None:
    name = vectors_name(root)
    vectors = -Table(root / name).array("vectors", "<f4", 2)
    remade(root, name, vectors=vectors)
    for codes in [name for name in generation(root).files if name.endswith((".codes", ".hnsw"))]:
        rewritten(root, files={n: d for n, d in generation(root).files.items() if n != codes})
    assert errors(check(root, read_data=True)) == []
    (found,) = errors(check(root, deep=True))
    assert found.check == "vectors"


def test_plain_sees_vectors_that_are_no_numbers_and_postings_of_other_chunks(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy.index"))
    name = vectors_name(root)
    vectors = Table(root / name).array("vectors", "<f4", 2).copy()
    vectors[0, 0] = np.nan
    remade(root, name, vectors=vectors)
    assert [finding.check for finding in errors(check(root))] == ["vectors"]
    name = name_of(copy, "lexical/")
    lengths = Table(copy / name).array("lengths", "<i4")
    remade(copy, name, lengths=np.append(lengths, lengths[-1:]))
    (found,) = errors(check(copy))
    assert found.check == "lexical"
    assert "--untrusted" in found.fix


@pytest.mark.skipif(ANN != "hnsw", reason="hnswlib is not installed")
def test_a_graph_of_other_vectors_is_seen_without_native_code(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hnswlib", None)
    name = name_of(root, "spaces/", ".hnsw")
    data = bytearray((root / name).read_bytes())
    data[16:24] = (10**9).to_bytes(8, "little")
    digest = fs.write(root / name, [bytes(data)])
    rewritten(root, files={**generation(root).files, name: digest})
    (found,) = errors(check(root))
    assert found.check == "graph"
    assert "--untrusted" in found.fix


def test_deep_without_the_model_warns_and_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*call: object) -> None:
        raise MissingError("the model is not here", fix="pip install it")

    monkeypatch.setattr("core.check.sample.index_encoder", gone)
    findings = check(root, deep=True)
    (warning,) = [finding for finding in findings if finding.severity != "ok"]
    assert (warning.check, warning.severity) == ("model", "warning")
    assert "the model is not here" in warning.message
    assert {"lexical", "codes"} <= {finding.check for finding in findings}


def test_deep_with_another_model_warns(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.config import open_encoder

    monkeypatch.setattr("core.check.sample.index_encoder", lambda *call: open_encoder("hashing-64"))
    findings = check(root, deep=True)
    assert errors(findings) == []
    assert {"model"} <= {finding.check for finding in findings if finding.severity == "warning"}


def test_codes_that_find_little_are_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.vectors.codes.Codes.nearest", lambda *call, **more: np.zeros(0, dtype=np.int64))
    (warning,) = [finding for finding in check(root, deep=True) if finding.severity != "ok"]
    assert warning.check == "codes"
    assert "recall@10 of its codes 0.000" in warning.message


def test_a_generation_published_meanwhile_is_looked_at_instead(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was missing for the old one is no damage."""
    old, count = generation(root), 0
    digest = fs.digest

    def publish_at_once(path: Path) -> fs.Digest:
        nonlocal count
        count += 1
        if count == 1:
            newer = replace(old, generation=4, parent=3)
            data = newer.to_bytes()
            found = fs.write(root / "generations/000004.json", [data])
            fs.write(root / "CURRENT", [b"000004 %s\n" % found.sha256[:16].encode()])
            raise FileNotFoundError(2, "gone", str(path))
        return digest(path)

    monkeypatch.setattr(fs, "digest", publish_at_once)
    assert errors(check(root, read_data=True)) == []
    assert generation(root).generation == 4
