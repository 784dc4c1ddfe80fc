"""What a cron job and a working day ask of `build`: a dry run, waiting, quiet, an exit code for nothing changed, watching."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import ROOT, ok, put, samespace

from core.embeddings import embeddings_folder

FILES = {"a.txt": "Otters dig along the bank.", "b.txt": "水獭在河岸上挖洞。"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "notes", FILES)


@pytest.fixture
def index(tmp_path: Path, source: Path) -> Path:
    ok("build", str(source), "--to", str(tmp_path / "my.index"), "--model", "hashing")
    return tmp_path / "my.index"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestDryRun:
    def test_it_says_what_a_build_then_does(self, index: Path, source: Path) -> None:
        put(source, {"a.txt": "Otters sleep.", "c.txt": "A new page.", "d.txt": "Another new page."})
        (source / "b.txt").unlink()
        before = snapshot(index)
        said = ok("build", "--to", str(index), "--dry-run", "--json").json
        assert snapshot(index) == before
        done = ok("build", "--to", str(index), "--json").json
        assert said["counts"] == done["counts"]
        assert said["files"] == done["files"]
        assert (said["to_embed"], said["chunks"]) == (done["embedded"], done["chunks"]) == (3, 3)
        assert said["dry_run"] is True

    def test_it_makes_no_index(self, source: Path, tmp_path: Path) -> None:
        result = ok("build", str(source), "--to", str(tmp_path / "new.index"), "--model", "hashing", "--dry-run")
        assert not (tmp_path / "new.index").exists()
        assert "2 new" in result.out
        assert "2 texts, about 1 s" in result.out
        assert "nothing was changed" in result.err

    def test_what_is_staged_and_what_is_cached_need_no_model(self, index: Path, source: Path, tmp_path: Path) -> None:
        said = ok("build", str(source), "--to", str(tmp_path / "b.index"), "--model", "hashing", "--dry-run", "--json")
        assert (said.json["to_embed"], said.json["cached"]) == (0, 2)
        put(source, {"c.txt": "Staged already."})
        ok("ingest", "--to", str(index))
        before = snapshot(index)
        assert ok("build", "--to", str(index), "--dry-run", "--json").json["to_embed"] == 1
        assert snapshot(index) == before

    def test_when_nothing_needs_the_model(self, index: Path, source: Path) -> None:
        (source / "a.txt").rename(source / "moved.txt")
        said = ok("build", "--to", str(index), "--dry-run", "--json").json
        assert (said["chunks"], said["to_embed"], said["cached"]) == (1, 0, 0)

    def test_no_link_is_followed_out_of_the_staging(self, index: Path, source: Path, tmp_path: Path) -> None:
        put(source, {"a.txt": "Otters sleep.", "c.txt": "A new page."})
        ok("ingest", "--to", str(index))
        ok("chunk", str(index))
        ok("embed", str(index))
        (tmp_path / "outside").mkdir()
        (index / "staging" / "parts").rmdir()
        (index / "staging" / "parts").symlink_to(tmp_path / "outside")
        put(source, {"c.txt": "Another new page."})
        ok("build", "--to", str(index), "--dry-run")
        assert list((tmp_path / "outside").iterdir()) == []

    def test_while_another_process_writes(self, index: Path) -> None:
        with (index / "LOCK").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert "2 unchanged" in ok("build", "--to", str(index), "--dry-run").out

    def test_it_refuses_what_build_refuses(self, index: Path, tmp_path: Path) -> None:
        assert samespace("build", str(tmp_path / "none"), "--to", str(index), "--dry-run").code == 2
        assert samespace("build", "--to", str(index), "--dry-run", "--size", "50").code == 2
        assert samespace("build", "--to", str(index), "--dry-run", "--watch").code == 2


class TestNight:
    def test_nothing_changed_is_exit_1_only_when_asked(self, index: Path, source: Path) -> None:
        assert ok("build", "--to", str(index)).code == 0
        assert samespace("build", "--to", str(index), "--changed").code == 1
        put(source, {"c.txt": "New."})
        assert samespace("build", "--to", str(index), "--changed").code == 0

    def test_quiet_says_nothing_but_what_failed(self, index: Path, source: Path) -> None:
        put(source, {"c.txt": "New.", "empty.md": ""})
        (source / "broken.pdf").write_bytes(b"no pdf")
        result = ok("build", "--to", str(index), "--quiet")
        assert result.out == ""
        (line,) = result.err.splitlines()
        assert "failed: notes/broken.pdf" in line

    def test_one_line_of_json(self, index: Path, source: Path) -> None:
        (source / "broken.pdf").write_bytes(b"no pdf")
        result = ok("build", "--to", str(index), "--quiet", "--json")
        assert result.out.count("\n") == 1
        assert [file["path"] for file in result.json["files"]] == ["notes/broken.pdf"]  # not the many that are well
        assert result.json["counts"]["unchanged"] == 2

    def test_the_lock_is_waited_for(self, index: Path) -> None:
        with (index / "LOCK").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert samespace("build", "--to", str(index)).code == 11
            assert samespace("build", "--to", str(index), "--no-wait").code == 11
            failed = samespace("build", "--to", str(index), "--wait", "0.2")
            assert failed.code == 11
            assert "waited 0.2 seconds" in failed.err
        assert ok("build", "--to", str(index), "--wait", "5").code == 0

    def test_old_generations_go(self, index: Path, source: Path) -> None:
        for night in range(4):
            put(source, {"a.txt": f"Night {night}."})
            ok("build", "--to", str(index), "--keep", "2", "--quiet")
        assert len(list((index / "generations").iterdir())) == 2
        assert len(ok("history", str(index), "--json").json["generations"]) == 2


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


class TestWatch:
    def test_it_builds_whenever_something_changes(self, index: Path, source: Path) -> None:
        single = source.parent / "single.txt"
        single.write_text("One file alone.", encoding="utf-8")
        command = [sys.executable, "-m", "cli.main", "build", str(single), "--to", str(index), "--watch", "--json"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = lines_of(process)
        try:
            assert json.loads(next(lines))["counts"]["new"] == 1
            put(source, {"c.txt": "A page that comes later.", ".hidden": "no"})
            assert json.loads(next(lines))["counts"]["new"] == 1
            os.replace(put(source.parent, {"other": "Replaced."}) / "other", single)
            assert json.loads(next(lines))["counts"]["changed"] == 1
            (source / "a.txt").unlink()
            assert json.loads(next(lines))["counts"]["removed"] == 1
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Ctrl-C ends it" in err


class TestCache:
    def test_stats_and_prune(self, index: Path) -> None:
        ok("search", str(index), "otters")
        found = ok("cache", "stats", "--json").json
        kinds = {kind["name"]: kind for kind in found["kinds"]}
        assert {"embeddings", "verified"} <= kinds.keys()
        assert found["size"] == sum(kind["size"] for kind in found["kinds"]) > 0
        assert "vectors of texts" in ok("cache", "stats").out
        assert ok("cache", "prune", "--max-size", "1G", "--json").json["freed"] == 0
        assert ok("cache", "prune", "--max-size", "0", "--json").json["freed"] > 0
        assert not list(embeddings_folder().glob("*.sqlite"))
        stranger = embeddings_folder().parent / "of somebody else.txt"
        stranger.write_text("stays")
        ok("cache", "prune", "--all")
        assert [path.name for path in stranger.parent.iterdir()] == [stranger.name]
        ok("search", str(index), "otters")  # all of it can be made again

    def test_what_was_not_used_for_long_goes(self, index: Path) -> None:
        ok("search", str(index), "otters")
        (old,) = embeddings_folder().parent.glob("verified/*")
        long_ago = time.time() - 40 * 86_400
        os.utime(old, (long_ago, long_ago))
        ok("cache", "prune", "--older-than", "30")
        assert not old.exists()
        assert list(embeddings_folder().glob("*.sqlite"))

    @pytest.mark.parametrize("size", ["many", "-1", "1X", ""])
    def test_sizes_that_are_none(self, size: str) -> None:
        result = samespace("cache", "prune", f"--max-size={size}")
        assert result.code == 2
        assert "500M" in result.err
