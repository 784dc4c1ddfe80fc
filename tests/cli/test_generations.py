"""Generations at the shell: listed, compared, gone back to and collected; writers that wait; commands that are quiet."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from handmade import without_merges
from shell import ROOT, digest_of, ok, put, samespace
from test_terminal import TRAP, harmless

from core.index.generation import generation_name


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "n", {"a.txt": "otters dig", "b.txt": "a bank lends", "c.txt": "snow fell"})


@pytest.fixture
def two(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of two generations: `a` was changed, `b` removed, `d` added; `c` stayed. Each with a segment of its own."""
    without_merges(monkeypatch)
    index = tmp_path / "i"
    ok("build", source, "--to", index, "--model", "hashing")
    put(source, {"a.txt": "otters swim", "d.txt": "a lamp"})
    (source / "b.txt").unlink()
    ok("build", "--to", index)
    return index


def damage(index: Path, number: int) -> None:
    path = index / generation_name(number)
    path.write_bytes(path.read_bytes()[:-9])


class TestHistory:
    def test_a_line_each(self, two: Path) -> None:
        head, first, second = ok("history", two).out.splitlines()
        assert (
            " ".join(head.split()) == "generation created documents added changed removed chunks segments size new tool"
        )
        assert re.fullmatch(r"1 +\S+Z +3 +3 +0 +0 +3 +1 +[\d,]+ +[\d,]+ +[\d.]+", first)
        assert re.fullmatch(r"2 +\S+Z +3 +1 +1 +1 +3 +2 +[\d,]+ +[\d,]+ +[\d.]+  current", second)

    def test_json(self, two: Path) -> None:
        value = ok("history", two, "--json").json
        assert (value["schema"], value["index"]) == ("samespace/history/1", str(two))
        first, second = value["generations"]
        assert (first["number"], first["current"], second["number"], second["current"]) == (1, False, 2, True)
        assert (second["added"], second["changed"], second["removed"], second["documents"]) == (1, 1, 1, 3)

    def test_a_damaged_one_is_shown_and_said(self, two: Path) -> None:
        damage(two, 1)
        done = ok("history", two)
        assert re.search(r"^1 +- .* damaged$", done.out, re.M)
        assert done.err.startswith("generation 1: this generation is damaged (")
        assert "damaged" in ok("history", two, "--json").json["generations"][0]["error"]

    def test_no_index(self, tmp_path: Path) -> None:
        for words in (["history"], ["stats"], ["gc"], ["diff", "1", "2"], ["rollback", "1"]):
            assert samespace(words[0], tmp_path / "none", *words[1:]).code == 10


class TestDiff:
    def test_the_documents(self, two: Path) -> None:
        done = ok("diff", two, 1, "current")
        assert done.out.splitlines() == [
            "generations  1 → 2",
            "documents    1 added, 1 changed, 1 removed, 1 unchanged",
            "added    n/d.txt",
            "changed  n/a.txt",
            "removed  n/b.txt",
        ]
        assert ok("diff", two, "current", 1).out.splitlines()[2:] == [
            "added    n/b.txt", "changed  n/a.txt", "removed  n/d.txt",
        ]  # fmt: skip

    def test_json(self, two: Path) -> None:
        value = ok("diff", two, 1, 2, "--json").json
        assert {name: value[name] for name in ("schema", "from", "to", "added", "changed", "removed", "unchanged")} == {
            "schema": "samespace/diff/1", "from": 1, "to": 2,
            "added": ["n/d.txt"], "changed": ["n/a.txt"], "removed": ["n/b.txt"], "unchanged": 1,
        }  # fmt: skip

    def test_a_setting_that_differs(self, two: Path) -> None:
        ok("index", two, "--ann", "exact")
        assert re.search(r'^settings\.ann +\{"name": "auto"\} → \{"name": "exact"\}$', ok("diff", two, 2, 3).out, re.M)
        assert ok("diff", two, 2, 3, "--json").json["differences"] == {
            "settings.ann": [{"name": "auto"}, {"name": "exact"}]
        }

    def test_many_ids_are_for_json(self, two: Path, source: Path) -> None:
        put(source, {f"many/{n:02d}.txt": f"text {n}" for n in range(60)})
        ok("build", "--to", two)
        lines = ok("diff", two, 2, 3).out.splitlines()
        assert lines[-1] == "added    … and 10 more (--json lists all)"
        assert len(lines) == 2 + 50 + 1
        assert len(ok("diff", two, 2, 3, "--json").json["added"]) == 60

    def test_ids_are_made_visible(self, tmp_path: Path) -> None:
        source, index = put(tmp_path / "n", {"a.txt": "first"}), tmp_path / "i"
        ok("build", source, "--to", index, "--model", "hashing")
        put(source, {"corpus.jsonl": json.dumps({"_id": f"id {TRAP}", "title": "", "text": "second"}) + "\n"})
        ok("build", "--to", index)
        assert "\\x1b[2J" in harmless(ok("diff", index, 1, 2)).out
        assert harmless(ok("diff", index, 1, 2, "--json")).json["added"]
        for command in ("stats", "history"):
            harmless(ok(command, index))

    @pytest.mark.parametrize("words", [("1", "9"), ("9", "1")])
    def test_an_unknown_generation(self, two: Path, words: tuple[str, str]) -> None:
        done = samespace("diff", two, *words)
        assert done.code == 2
        assert "there is no generation 9 in this index; it has 1-2" in done.err
        assert f"samespace history {two}" in done.err

    def test_a_damaged_generation(self, two: Path) -> None:
        damage(two, 1)
        assert samespace("diff", two, 1, 2).code == 12


class TestStats:
    def test_text(self, two: Path) -> None:
        done = ok("stats", two)
        assert re.search(r"^documents +3; of those stored, 40\.0 % are dead$", done.out, re.M)
        assert re.search(r"^source n +3 documents$", done.out, re.M)
        assert re.search(r"^000001 +1 of 3 +1 of 3 +[\d,]+$", done.out, re.M)
        assert done.err == ""

    def test_json(self, two: Path) -> None:
        value = ok("stats", two, "--json").json
        assert (value["schema"], value["documents"], value["chunks"]) == ("samespace/stats/1", 3, 3)
        assert (value["dead"], value["sources"], value["dimension"]) == (0.4, {"n": 3}, 128)
        assert value["chunk_characters"] == {"mean": 26 / 3, "median": 9.0, "max": 11}
        assert [segment["live_documents"] for segment in value["segments"]] == [1, 2]


class TestRollback:
    def test_back_and_forward_by_the_sources(self, two: Path) -> None:
        done = ok("rollback", two, 1)
        assert done.out == "rollback  published generation 3 with the content of 1, 3 documents\n"
        assert done.err == f"the next `samespace build --to {two}` brings the index up to its sources again\n"
        assert ok("search", two, "bank", "--json").json["hits"][0]["document"] == "n/b.txt"
        assert ok("build", "--to", two, "--json").json["counts"]["changed"] == 1
        assert ok("diff", two, 2, "current", "--json").json["unchanged"] == 3

    def test_json_and_dropped_work(self, two: Path, tmp_path: Path) -> None:
        ok("ingest", put(tmp_path / "more", {"x.txt": "more"}), "--to", two)
        value = ok("rollback", two, 1, "--json").json
        assert (value["schema"], value["published"], value["generation"]) == ("samespace/rollback/1", True, 3)
        assert (value["content_of"], value["documents"]) == (1, 3)
        assert any("what was staged" in line and "dropped" in line for line in value["notes"])
        assert ok("info", two, "--json").json["staged"] is None

    def test_nothing_to_do(self, two: Path) -> None:
        done = ok("rollback", two, "current")
        assert done.out == "rollback  nothing to do: generation 2 has the content of 2, 3 documents\n"
        assert done.err == ""
        assert ok("rollback", two, 2, "--json").json["published"] is False

    @pytest.mark.parametrize("word", ["7", "latest", "-1"])
    def test_an_unknown_generation(self, two: Path, word: str) -> None:
        assert samespace("rollback", two, word).code == 2

    def test_a_damaged_file_is_named(self, two: Path) -> None:
        ok("index", two, "--ann", "exact")
        (two / "documents" / "000001").unlink()
        done = samespace("rollback", two, 1, "--json")
        assert done.code == 12
        assert done.json["details"] == {"files": ["documents/000001"]}
        assert "documents/000001" in done.err


class TestGc:
    def test_removes_what_is_old(self, two: Path) -> None:
        done = ok("gc", two)
        assert re.search(r"^removed +generation 1, 0 other files, [\d,]+ bytes$", done.out, re.M)
        assert re.search(r"^keeps +generation 2$", done.out, re.M)
        assert [entry["number"] for entry in ok("history", two, "--json").json["generations"]] == [2]
        assert samespace("rollback", two, 1).code == 2
        assert re.search(r"^removed +no generation, 0 other files, 0 bytes$", ok("gc", two).out, re.M)

    def test_a_dry_run(self, two: Path) -> None:
        before = digest_of(two)
        done = ok("gc", two, "--dry-run")
        assert re.search(r"^would remove +generation 1, ", done.out, re.M)
        assert done.err == "nothing was changed (--dry-run)\n"
        said = ok("gc", two, "--dry-run", "--json").json
        assert digest_of(two) == before
        assert ok("gc", two, "--json").json == {**said, "dry_run": False}
        assert (said["schema"], said["removed"], said["kept"]) == ("samespace/gc/1", [1], [2])

    def test_keep(self, two: Path) -> None:
        assert ok("gc", two, "--keep", 2, "--json").json["kept"] == [1, 2]
        assert samespace("gc", two, "--keep", 0).code == 2

    def test_a_damaged_generation_that_is_kept(self, two: Path) -> None:
        damage(two, 1)
        done = samespace("gc", two, "--keep", 2)
        assert done.code == 12
        assert f"samespace gc {two} --keep 1" in done.err


class TestWait:
    @pytest.fixture
    def holder(self, index: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Another process that holds the index for writing until its standard input is closed."""
        code = "import sys; from pathlib import Path; from core.index.writer import writing\n"
        code += "with writing(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        words = [sys.executable, "-c", code, str(index)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process

    @pytest.mark.parametrize("words", [("gc",), ("rollback", "1")], ids=" ".join)
    @pytest.mark.parametrize(
        "options", [(), ("--no-wait",), ("--wait", "60", "--no-wait"), ("--wait", "0")], ids=" ".join
    )
    def test_at_once(
        self, index: Path, holder: subprocess.Popen[bytes], words: tuple[str, ...], options: tuple[str, ...]
    ) -> None:
        done = samespace(words[0], index, *words[1:], *options)
        assert done.code == 11
        assert f"process {holder.pid} on " in done.err
        assert "waited" not in done.err

    def test_as_long_as_was_asked(self, index: Path, holder: subprocess.Popen[bytes]) -> None:
        done = samespace("gc", index, "--no-wait", "--wait", "0.05")
        assert done.code == 11
        assert re.search(rf"process {holder.pid} on .+; waited \d\.\d seconds$", done.err, re.M)
        assert "waiting up to 0.05 seconds" in done.err

    def test_until_the_other_has_finished(
        self, index: Path, holder: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def sleep(seconds: float) -> None:
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()

        monkeypatch.setattr("core.index.fs.time.sleep", sleep)
        assert ok("gc", index, "--wait", "600", "--json").json["kept"] == [1]

    def test_a_dry_run_needs_no_lock(self, index: Path, holder: subprocess.Popen[bytes]) -> None:
        assert ok("gc", index, "--dry-run", "--json").json["kept"] == [1]

    def test_less_than_nothing(self, index: Path) -> None:
        assert samespace("gc", index, "--wait", "-1").code == 2


class TestQuiet:
    def test_nothing_is_said_when_all_is_well(self, source: Path, tmp_path: Path) -> None:
        index = tmp_path / "quiet"
        for words in (
            ("ingest", source, "--to", index, "--model", "hashing"),
            ("chunk", index),
            ("embed", index),
            ("index", index),
            ("build", "--to", index),
            ("history", index),
            ("diff", index, 1, 1),
            ("stats", index),
            ("rollback", index, 1),
            ("gc", index),
        ):
            assert ok(*words, "--quiet").all == "", words
            assert ok(*words[:1], "-q", *words[1:]).all == "", words
        assert ok("info", index, "--json").json["documents"] == 3

    def test_it_is_forgotten_after_the_command(self, index: Path) -> None:
        assert ok("build", "--to", index, "-q").all == ""
        assert ok("info", index).out
        assert ok("build", "--to", index).out

    def test_files_that_failed_are_said(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "n", {"a.txt": "text", "b.pdf": b"no pdf at all", "c.xyz": b"skipped"})
        done = ok("build", folder, "--to", tmp_path / "i", "--model", "hashing", "--quiet")
        assert done.out == ""
        assert re.fullmatch(r"failed: n/b\.pdf: .+\n", done.err)

    def test_errors_are_said(self, index: Path, tmp_path: Path) -> None:
        done = samespace("gc", tmp_path / "none", "--quiet")
        assert (done.code, done.out) == (10, "")
        assert "there is no index here" in done.err
        assert "→" in done.err
        assert "Usage:" in samespace("gc", index, "--quiet", "--bogus").err

    def test_json_is_printed(self, index: Path, tmp_path: Path) -> None:
        assert ok("gc", index, "--quiet", "--json").json["kept"] == [1]
        assert samespace("gc", tmp_path / "none", "--quiet", "--json").json["exit_code"] == 10
