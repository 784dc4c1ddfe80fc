"""Ctrl-C, SIGTERM, a pipe that closes, a writer in the way: each ends as it should and loses nothing that is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import PROGRAM, ROOT, digest_of, ok, put, samespace, spawn

from core.index import fs
from core.pipeline.embed import BATCH

# The command line, with an encoder that says when a batch comes in and waits there: the signal meets a known moment.
SLOW = """
import os, sys, time
from core.encoders.hashing import HashingEncoder
honest, count = HashingEncoder.embed, 0
def embed(self, texts, side):
    global count
    if len(texts) == {batch}:
        count += 1
        if count == 3:
            os.write(int(sys.argv[1]), b"x")
            while True:
                time.sleep(0.01)
    return honest(self, texts, side)
HashingEncoder.embed = embed
from cli.main import app
app(sys.argv[2:], prog_name="samespace")
"""
TEXTS = 4 * BATCH


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """An index whose chunks, four batches of them, wait to be embedded."""
    lines = "".join(json.dumps({"_id": f"d{n}", "text": f"text number {n} of otters"}) + "\n" for n in range(TEXTS))
    put(tmp_path / "docs", {"corpus.jsonl": lines})
    ok("ingest", tmp_path / "docs", "--to", tmp_path / "i", "--model", "hashing")
    ok("chunk", tmp_path / "i", "--chunker", "none")
    return tmp_path / "i"


def stopped(words: list[object], sign: signal.Signals) -> subprocess.CompletedProcess[str]:
    """What became of a command that was sent `sign` in the middle of its third batch."""
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(batch=BATCH), str(write), *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, pass_fds=[write],
    )  # fmt: skip
    os.close(write)
    reached = os.read(read, 1)  # or the end of the file, when it ended before
    os.close(read)
    process.send_signal(sign)
    out, err = process.communicate(timeout=60)
    assert reached, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class TestInterrupted:
    @pytest.mark.parametrize(
        ("sign", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
    )
    def test_embed_goes_on_where_it_was(self, staged: Path, sign: signal.Signals, code: int, word: str) -> None:
        done = stopped(["embed", staged], sign)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith(f"samespace: {word}: ")
        assert "the same command goes on from there" in done.stderr
        assert "Traceback" not in done.stderr
        value = ok("embed", staged, "--json").json
        assert (value["embedded"], value["reused"]) == (TEXTS - 2 * BATCH, 2 * BATCH)
        assert ok("index", staged, "--json").json["documents"] == TEXTS

    def test_build_keeps_what_was_published(self, index: Path, tmp_path: Path) -> None:
        lines = "".join(json.dumps({"_id": f"d{n}", "text": f"text {n}"}) + "\n" for n in range(TEXTS))
        put(tmp_path / "docs", {"corpus.jsonl": lines})
        done = stopped(["build", tmp_path / "docs", "--to", index, "--json"], signal.SIGINT)
        assert done.returncode == 130, done.stderr
        assert ok("search", index, "otters", "--json").json["generation"] == 1
        value = ok("build", tmp_path / "docs", "--to", index, "--json").json
        assert (value["embedded"], value["generation"]) == (TEXTS - 2 * BATCH, 2)


class TestPipes:
    def test_a_reader_that_has_enough(self, index: Path) -> None:
        script = (
            f'"{PROGRAM}" search "{index}" lighthouse -k 100 --full --mode lexical | head -1; echo ${{PIPESTATUS[0]}}'
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
        assert done.stdout.startswith(" 1. notes/long.txt")
        assert done.stdout.endswith("\n0\n")
        assert done.stderr == ""

    @pytest.mark.parametrize("words", [["--help"], ["search", "--help"], ["models"], ["info", "{index}"]], ids=str)
    def test_a_reader_that_is_gone_before(self, index: Path, words: list[str]) -> None:
        read, write = os.pipe()
        os.close(read)
        process = spawn(*(word.format(index=index) for word in words), stdout=write)
        os.close(write)
        err = process.communicate(timeout=60)[1].decode()
        assert process.returncode in (0, 1)
        assert "Traceback" not in err
        assert "Exception" not in err
        assert "Broken pipe" not in err

    def test_an_error_for_a_reader_that_is_gone(self, tmp_path: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        process = spawn("search", tmp_path / "none", "q", "--json", stdout=write)
        os.close(write)
        err = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 10
        assert "Traceback" not in err

    def test_hits_through_a_pipe(self, index: Path) -> None:
        script = f'"{PROGRAM}" search "{index}" bank --json | "{PROGRAM}" rerank "{index}" --hits - --json'
        done = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["query"] == "bank"


class TestLocked:
    @pytest.fixture
    def holder(self, index: Path) -> Iterator[int]:
        """Another process that holds the index for writing until its standard input is closed."""
        code = "import sys; from pathlib import Path; from core.index.writer import writing\n"
        code += "with writing(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(index)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.stdin.close()
        process.wait()
        process.stdout.close()

    @pytest.mark.parametrize("words", [["build", "--to"], ["ingest", "--to"], ["chunk"], ["embed"], ["index"]], ids=str)
    def test_writers_are_told_who_holds_it(self, index: Path, holder: int, words: list[str]) -> None:
        before = digest_of(index)
        done = samespace(*words, index)
        assert done.code == 11
        assert f"process {holder} on " in done.err
        assert "wait until it has finished; searching works meanwhile" in done.err
        assert samespace(*words, index, "--json").json["exit_code"] == 11
        assert digest_of(index) == before

    def test_readers_are_not_in_its_way(self, index: Path, holder: int) -> None:
        assert ok("search", index, "otters", "--json").json["hits"]
        assert ok("check", index).out.startswith("ok")


def test_the_handler_of_signals_is_given_back(index: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ok("info", index)
    samespace("info", index / "nowhere")
    assert signal.getsignal(signal.SIGTERM) == before
    assert fs.on_step.__name__ == "_nothing"
