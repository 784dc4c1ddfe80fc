"""Indexes that somebody made to hurt, and shells that hold no hand: an exit code that is true, words, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from handmade import generation, rewritten
from shell import PROGRAM, ROOT, Done, ok, put, samespace

from core.cache import cache_folder
from core.errors import CorruptError, ExitCode
from core.index import fs

LOOKING = (
    ["history"],
    ["stats"],
    ["info"],
    ["diff", "1", "current"],
    ["check"],
    ["gc", "--dry-run"],
    ["repair", "--dry-run"],
)


def run(*words: object) -> Done:
    """The command, which may refuse in words but not fail in a way that nobody foresaw."""
    result = samespace(*words)
    assert result.code != ExitCode.INTERNAL, result.err
    assert "Traceback" not in result.err
    return result


def looked_at(index: Path) -> list[int]:
    return [run(words[0], index, *words[1:]).code for words in LOOKING]


class TestForged:
    """Generations with their digests put right."""

    def test_other_numbers_of_documents(self, index: Path) -> None:
        put(index.parent / "notes", {"new.txt": "One page more."})
        ok("build", index.parent / "notes", "--to", index)
        segments = generation(index).segments
        for change in ({"documents": segments[0].documents + 1}, {"chunks": segments[0].chunks + 1}):
            forged = [*segments]
            forged[0] = type(forged[0])(
                **{**{n: getattr(forged[0], n) for n in ("name", "documents", "chunks")}, **change}
            )
            rewritten(index, segments=tuple(forged))
            looked_at(index)
        name = f"documents/{segments[0].name}"
        files = {**generation(index).files, name: fs.Digest(4 * 10**9, generation(index).files[name].sha256)}
        huge = type(segments[0])(segments[0].name, 4 * 10**9, segments[0].chunks)
        rewritten(index, segments=(huge, *segments[1:]), files=files)
        assert run("diff", index, "1", "current").code == ExitCode.CORRUPT
        looked_at(index)

    @pytest.mark.parametrize("size", [1 << 63, 10**4200], ids=["2**63", "10**4200"])
    def test_sizes_that_no_disk_has(self, index: Path, size: int) -> None:
        if size > 1 << 100:  # Python would not print it either
            path = index / "generations" / "000001.json"
            path.write_bytes(path.read_bytes().replace(b'"size":', b'"size":1' + b"0" * 4290))
        else:
            rewritten(index, files={name: fs.Digest(size, one.sha256) for name, one in generation(index).files.items()})
        assert set(looked_at(index)) <= {int(ExitCode.DONE), int(ExitCode.CORRUPT)}

    def test_no_languages(self, index: Path) -> None:
        rewritten(index, languages={"rules": 1, "thousandths": {"en": 0}})
        assert run("info", index).code == run("stats", index).code == 0

    def test_nesting(self, index: Path) -> None:
        nested: object = 1
        for _ in range(800):
            nested = [nested]
        path = index / "generations" / "000001.json"
        value = json.loads(path.read_bytes())
        value["model"]["x"] = nested
        path.write_text(json.dumps(value))
        assert set(looked_at(index)) <= {int(ExitCode.CORRUPT)}

    @pytest.mark.parametrize("settings", [{"x": 1}, {"size": [1]}, {"size": "many"}, {"overlap": None}], ids=str)
    def test_settings_of_the_chunker(self, index: Path, settings: dict[str, object]) -> None:
        before = generation(index).settings
        rewritten(index, settings={**before, "chunker": {**before["chunker"], **settings}})
        put(index.parent / "notes", {"new.txt": "One page more."})
        for words in (["check", index, "--deep"], ["build", index.parent / "notes", "--to", index, "--dry-run"]):
            run(*words)
        assert run("build", index.parent / "notes", "--to", index).code == ExitCode.CORRUPT


def test_a_current_of_five_thousand_digits(index: Path) -> None:
    (index / "CURRENT").write_text("1" * 5000 + " " + "0" * 16 + "\n")
    assert run("search", index, "otters", "--mode", "lexical").code == ExitCode.CORRUPT
    assert run("repair", index).code == 0
    assert run("search", index, "otters", "--mode", "lexical").code == 0


@pytest.mark.parametrize("name", ["CURRENT", "samespace.json", "generations/000001.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file(index: Path, name: str, kind: str) -> None:
    """Nothing waits for a pipe or reads a device until the memory is full."""
    (index / name).unlink()
    os.mkfifo(index / name) if kind == "pipe" else (index / name).symlink_to("/dev/zero")
    for words in LOOKING:
        done = subprocess.run(
            [PROGRAM, words[0], index, *words[1:]], capture_output=True, text=True, timeout=60, check=False
        )
        mends = words[0] == "repair" and name == "CURRENT"
        assert done.returncode in (ExitCode.CORRUPT, ExitCode.NO_INDEX, 0 if mends else -1), (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_data_file_that_is_a_pipe(index: Path) -> None:
    name = next(name for name in generation(index).files if name.startswith("documents/"))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    rewritten(
        index,
        files={**generation(index).files, name: fs.Digest(0, empty)},
        segments=tuple(type(s)(s.name, 0, 0) for s in generation(index).segments),
    )
    (index / name).unlink()
    os.mkfifo(index / name)
    for words in LOOKING:
        subprocess.run([PROGRAM, words[0], index, *words[1:]], capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "said", ['{"pid":1,"host":"h","since":1e20}', '{"pid":1,"host":"h","since":1e400}', "[" * 1000]
)
def test_what_a_lock_holds(index: Path, said: str) -> None:
    with fs.lock(index / "LOCK"):
        (index / "LOCK").write_text(said)
        assert run("build", "--to", index, "--no-wait").code == ExitCode.LOCKED


def test_a_cache_folder_that_holds_other_things(tmp_path: Path, index: Path) -> None:
    """Only what is ours goes, by its name, and nothing through a link."""
    ok("search", index, "otters", "--mode", "lexical")
    cache = cache_folder()
    put(cache, {"embeddings/thesis.txt": "mine", "verified/notes.json": "mine"})
    other = put(tmp_path / "other", {"0123456789abcdef0123456789abcdef.json": "mine"})
    (cache / "probes").symlink_to(other)
    ok("cache", "prune", "--all")
    assert (cache / "embeddings/thesis.txt").read_text() == "mine"
    assert (cache / "verified/notes.json").read_text() == "mine"
    assert len(list(other.iterdir())) == 1
    assert not list((cache / "verified").glob("?" * 32 + ".json"))


@pytest.mark.parametrize("words", [["--older-than", "1" + "0" * 400], ["--max-size", "1" + "0" * 400]])
def test_numbers_that_are_too_large(words: list[str]) -> None:
    assert run("cache", "prune", *words).code == ExitCode.USAGE


def test_gc_does_not_look_through_a_link(index: Path, tmp_path: Path) -> None:
    other = put(tmp_path / "other", {"000099": "mine"})
    (index / "documents").rename(index / "before")
    (index / "documents").symlink_to(other)
    assert run("gc", index, "--dry-run").code == ExitCode.CORRUPT


class TestStreams:
    def run(self, script: str, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f'"$0" "$@" {script}', PROGRAM, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_without_stderr_the_work_is_done(self, index: Path, tmp_path: Path) -> None:
        put(tmp_path / "notes", {"a.txt": "Otters."})
        done = self.run("2>&-", "build", tmp_path / "notes", "--to", tmp_path / "new.index", "--model", "hashing")
        assert done.returncode == 0
        assert self.run("2>&-", "search", index, "otters").returncode == 0
        assert self.run("2>&-", "search", index, "").returncode == ExitCode.USAGE

    @pytest.mark.parametrize("json", [[], ["--json"]], ids=["words", "json"])
    def test_a_closed_pipe_does_not_change_the_answer(self, index: Path, json: list[str]) -> None:
        for name in generation(index).files:
            if name.startswith("documents/"):
                (index / name).write_bytes(b"damaged")
        done = self.run("> >(exec true); exit $?", "check", index, *json)
        assert done.returncode == ExitCode.CORRUPT
        assert "Exception" not in done.stderr

    def test_a_full_stdout_is_said_once(self, index: Path) -> None:
        for words in (["stats", index, "--json"], ["history", index]):
            done = self.run("> /dev/full", *words)
            assert done.returncode == ExitCode.STORAGE
            assert "standard output: the result could not be written" in done.stderr
            assert "Traceback" not in done.stderr

    def test_a_group_of_commands_by_itself_shows_its_help(self) -> None:
        result = samespace("cache")
        assert result.code == ExitCode.USAGE
        assert "\\x0a" not in result.err
        assert "prune" in result.err


def test_a_fault_of_ours_has_a_code_of_its_own(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("core.info.info", fail)
    result = samespace("info", index, "--json")
    assert result.code == ExitCode.INTERNAL
    assert "ZeroDivisionError" in result.err
    assert "SAMESPACE_TRACEBACK=1" in result.err
    assert result.json["exit_code"] == ExitCode.INTERNAL


class TestDryRun:
    def test_it_answers_what_a_build_would(self, index: Path, tmp_path: Path) -> None:
        assert run("build", "--to", index, "--dry-run", "--ann", "bogus").code == ExitCode.USAGE
        assert run("build", "--to", index, "--dry-run", "--changed").code == ExitCode.NO
        other = run("build", "--to", index, "--dry-run", "--changed", "--ann", "exact", "--json")
        assert other.code == 0
        assert other.json["would_publish"] is True
        bad = put(tmp_path / "bad", {"a.txt": "Otters.", "b.pdf": b"%PDF-nothing"})
        new = ("build", bad, "--to", tmp_path / "new.index", "--model", "hashing", "--strict")
        assert run(*new, "--dry-run").code == run(*new).code == ExitCode.NO


def test_a_build_is_told_although_older_generations_stay(index: Path) -> None:
    folder = index.parent / "notes"
    for number in range(2):
        put(folder, {"new.txt": f"Page {number}."})
        ok("build", folder, "--to", index, "--name", "notes")
    path = index / "generations" / "000001.json"
    path.write_bytes(path.read_bytes()[:-9])
    put(folder, {"new.txt": "Another page."})
    done = run("build", "--to", index, "--keep", "9", "--json", "--yes")
    assert done.code == ExitCode.CORRUPT
    assert done.json["published"] is True
    assert "generation 1 is damaged" in done.json["not_collected"]["message"]
    assert "the build is done" in done.err


def test_the_program_is_the_one_that_is_tested() -> None:
    assert Path(PROGRAM).is_file()
    assert (ROOT / "cli").is_dir()


class TestVerifySpace:
    @pytest.mark.parametrize(
        "words",
        [
            ["--measure", "--model", "x"], ["--against", "x", "--sample", "3"], ["--adopt", "--repair", "--model", "x"],
            ["--without-model", "--explain"], ["--measure", "--adopt"], ["--repair"], ["--adopt"],
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_no_question_is_left_unanswered(self, index: Path, words: list[str]) -> None:
        assert run("verify-space", index, *words).code == ExitCode.USAGE

    def test_vectors_as_long_as_floats_can_be(self, tmp_path: Path) -> None:
        np.save(tmp_path / "v.npy", np.full((4, 128), 1e30, np.float32))
        put(tmp_path, {"t.jsonl": "".join(json.dumps(f"text {n}") + "\n" for n in range(4))})
        words = ("--vectors", tmp_path / "v.npy", "--texts", tmp_path / "t.jsonl", "--model", "hashing", "--json")
        done = run("verify-space", *words)
        assert done.code == ExitCode.SPACE_MISMATCH
        assert done.json["exit_code"] == ExitCode.SPACE_MISMATCH

    def test_figures_that_are_no_numbers_are_null(self, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(root: Path) -> None:
            raise CorruptError("damaged", details={"figure": float("nan"), "more": [float("inf"), 1.0]})

        monkeypatch.setattr("core.info.info", fail)
        assert run("info", index, "--json").json["details"] == {"figure": None, "more": [None, 1.0]}
