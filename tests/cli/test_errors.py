"""What a user can do wrong, and what can go wrong around them: a message, a way out, an exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from shell import PROGRAM, Done, digest_of, ok, put, samespace

from core.encoders.hashing import HashingEncoder
from core.index import fs


@dataclass(frozen=True)
class Case:
    """A command that fails. `{…}` in its words: index, notes, tmp. `before` prepares what is wrong."""

    words: tuple[str, ...]
    code: int
    message: str
    fix: str
    before: Callable[[Path, Path], object] = field(default=lambda index, tmp: None)


def truncated(name: str) -> Callable[[Path, Path], object]:
    def cut(index: Path, tmp: Path) -> None:
        path = next(index.glob(name))
        path.write_bytes(path.read_bytes()[:-7])

    return cut


def flipped(name: str) -> Callable[[Path, Path], object]:
    def flip(index: Path, tmp: Path) -> None:
        path = next(index.glob(name))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)

    return flip


def removed(name: str) -> Callable[[Path, Path], object]:
    return lambda index, tmp: next(index.glob(name)).unlink()


def written(name: str, content: str) -> Callable[[Path, Path], object]:
    return lambda index, tmp: put(tmp, {name: content})


def in_index(name: str, content: str) -> Callable[[Path, Path], object]:
    return lambda index, tmp: put(index, {name: content})


SEARCH, BUILD = (
    ("search", "{index}", "otters"),
    ("build", "{tmp}/docs", "--to", "{tmp}/new.index", "--model", "hashing"),
)
CASES = {
    # the request
    "no query": Case(("search", "{index}"), 2, "give a query", "--queries"),
    "empty query": Case(("search", "{index}", ""), 2, "the query is empty", "samespace search INDEX"),
    "blank query": Case(("search", "{index}", " \t　"), 2, "the query is empty", "samespace search INDEX"),
    "empty query to rerank": Case(("rerank", "{index}", "  "), 2, "the query is empty", "samespace"),
    "two kinds of query": Case((*SEARCH, "--queries", "q.jsonl"), 2, "give a query, or a file", "search INDEX"),
    "k 0": Case((*SEARCH, "-k", "0"), 2, "'-k'", "search --help"),
    "k many": Case((*SEARCH, "-k", "10001"), 2, "'-k'", "search --help"),
    "k no number": Case((*SEARCH, "-k", "ten"), 2, "'-k'", "search --help"),
    "rerank k -1": Case(("rerank", "{index}", "q", "-k", "-1"), 2, "'-k'", "rerank --help"),
    "alpha": Case((*SEARCH, "--alpha", "1.5"), 2, "--alpha 1.5 does not fit", "between 0"),
    "alpha nan": Case((*SEARCH, "--alpha", "nan"), 2, "--alpha nan does not fit", "between 0"),
    "mode": Case((*SEARCH, "--mode", "dens"), 2, "no mode 'dens'", "hybrid, dense, lexical"),
    "fusion": Case((*SEARCH, "--fusion", "sum"), 2, "no fusion 'sum'", "auto, weighted, rrf"),
    "unit": Case((*SEARCH, "--unit", "page"), 2, "no unit 'page'", "chunk or document"),
    "unknown option": Case((*SEARCH, "--bogus"), 2, "--bogus", "samespace search --help"),
    "unknown command": Case(("serach", "{index}"), 2, "serach", "samespace --help"),
    "missing argument": Case(("search",), 2, "INDEX", "samespace search --help"),
    "chunker": Case((*BUILD, "--chunker", "magic"), 2, "magic", "recursive, none", written("docs/a.txt", "a")),
    "ann": Case(("index", "{index}", "--ann", "faiss"), 2, "'faiss'", "auto, exact, binary, hnsw"),
    "overlap": Case(
        (*BUILD, "--size", "50", "--overlap", "60"), 2, "overlap", "", written("docs/a.txt", "some text to cut")
    ),
    "nothing to compare": Case(("similar", "a", " ", "--model", "hashing"), 2, "an empty one", "samespace similar"),
    "run of chunks": Case(
        ("search", "{index}", "--queries", "{tmp}/q", "--unit", "chunk", "--run", "{tmp}/r"), 2, "ranks documents", "leave --unit out"
    ),
        "out without run": Case(("rerank", "{index}", "q", "--out", "x"), 2, "belong to --run", "--queries q.jsonl"),
    "run without queries": Case(("rerank", "{index}", "--run", "x"), 2, "--run needs --queries", "--out out.trec"),
    # files that are given
    "missing path": Case((*BUILD[:1], "{tmp}/nowhere", *BUILD[2:]), 2, "no such file or folder", "check the path"),
    "no queries file": Case(("search", "{index}", "--queries", "{tmp}/none"), 2, "no such file of queries", '"_id"'),
    "queries no JSON": Case(
        ("search", "{index}", "--queries", "{tmp}/q"), 2, "line 2 is no query", '"_id"', written("q", '{"_id":1,"text":"a"}\nx')
    ),
    "queries without id": Case(
        ("search", "{index}", "--queries", "{tmp}/q"), 2, "'_id' is missing", '"text"', written("q", '{"text":"a"}')
    ),
    "queries empty id": Case(
        ("search", "{index}", "--queries", "{tmp}/q"), 2, "no _id", '"text"', written("q", '{"_id":"","text":"a"}')
    ),
    "queries twice": Case(
        ("search", "{index}", "--queries", "{tmp}/q"), 2, "twice", "", written("q", '{"_id":1,"text":"a"}\n' * 2)
    ),
    "queries deep": Case(
        ("search", "{index}", "--queries", "{tmp}/q"), 2, "line 1 is no query", "", written("q", "[" * 100_000)
    ),
    "queries empty": Case(
        ("search", "{index}", "--queries", "{tmp}/q"), 2, "holds no queries", "", written("q", "\n\n")
    ),
    "no run": Case(
        ("rerank", "{index}", "--run", "{tmp}/r", "--queries", "{tmp}/q"),
        2, "line 1 is no line of a run", "QUERY Q0 DOCUMENT", written("r", "not a run\n"),
    ),
    "run is not there": Case(
        ("rerank", "{index}", "--run", "{tmp}/r", "--queries", "{tmp}/q"), 2, "no such run file", "QUERY Q0"
    ),
    "run of other queries": Case(
        ("rerank", "{index}", "--run", "{tmp}/r", "--queries", "{tmp}/q"), 2, "no query of the run", "belong together",
        lambda index, tmp: put(tmp, {"r": "7 Q0 d 1 1.0 t", "q": '{"_id": "1", "text": "a"}'}),
    ),
    "run of other documents": Case(
        ("rerank", "{index}", "--run", "{tmp}/r", "--queries", "{tmp}/q"), 2, "none of the run's documents",
        "belong together", lambda index, tmp: put(tmp, {"r": "1 Q0 d 1 1.0 t", "q": '{"_id": "1", "text": "a"}'}),
    ),
    "hits no JSON": Case(("rerank", "{index}", "--hits", "{tmp}/h"), 2, "no hits", "--json |", written("h", "<html>")),
    "hits other JSON": Case(("rerank", "{index}", "--hits", "{tmp}/h"), 2, "no hits", "--json |", written("h", "[1]")),
    "hits deep JSON": Case(("rerank", "{index}", "--hits", "{tmp}/h"), 2, "no hits", "", written("h", "[" * 100_000)),
    "hits without numbers": Case(
        ("rerank", "{index}", "--hits", "{tmp}/h"), 2, "no hits", "",
        written("h", '{"query": "q", "hits": [{"document": "d", "ordinal": 0, "score": NaN}]}'),
    ),
    "hits with an endless number": Case(
        ("rerank", "{index}", "--hits", "{tmp}/h"), 2, "no hits", "",
        written("h", '{"query": "q", "hits": [{"document": ["d"], "ordinal": 1e999, "score": 1}]}'),
    ),
    "hits of another index": Case(
        ("rerank", "{index}", "--hits", "{tmp}/h"), 2, "no chunk 0 of 'x.txt'", "another index or generation",
        written("h", '{"query": "q", "hits": [{"document": "x.txt", "ordinal": 0, "score": 1}]}'),
    ),
    "no judgements": Case(("eval", "{index}", "{tmp}"), 2, "no judgements", "qrels/test.tsv"),
    "metrics": Case(
        ("eval", "{index}", "{tmp}", "--metrics", "nDCG@ten"), 2, "'nDCG@ten'", "nDCG@10", written("qrels.tsv", "1\td\t1")
    ),
    "metric at 0": Case(("eval", "{index}", "{tmp}", "--metrics", "nDCG@0"), 2, "'nDCG@0'", "nDCG@10"),
    "no metrics": Case(("eval", "{index}", "{tmp}", "--metrics", " "), 2, "no metric is named", "nDCG@10"),
    "judgements of other queries": Case(
        ("eval", "{index}", "{tmp}"), 2, "no query has a judgement", "belong together",
        lambda index, tmp: put(tmp, {"qrels.tsv": "1\td\t1", "queries.jsonl": '{"_id": "2", "text": "a"}'}),
    ),
    # the index
    "no index": Case(("search", "{tmp}/none.index", "q"), 10, "no", "samespace"),
    "a file for an index": Case(("search", "{tmp}/f", "q"), 10, "index", "", written("f", "text")),
    "foreign directory": Case(("search", "{notes}", "q"), 10, "not a samespace index", "index directory"),
    "info of a foreign directory": Case(("info", "{notes}"), 10, "not a samespace index", "index directory"),
    "check of a foreign directory": Case(("check", "{notes}"), 10, "not a samespace index", "index directory"),
    "writing into a foreign directory": Case(
        ("build", "{notes}", "--to", "{tmp}/docs", "--model", "hashing"), 2, "holds other things", "--to",
        written("docs/a.txt", "mine"),
    ),
    "index as source": Case(("build", "{index}", "--to", "{tmp}/new.index"), 2, "an index, not a source", "folder"),
    "index inside a file": Case(
        ("build", "{notes}", "--to", "{tmp}/f", "--model", "hashing"), 2, "this is a file", "--to", written("f", "mine")
    ),
    "newer format": Case(
        SEARCH, 14, "format 9", "upgrade samespace", in_index("samespace.json", '{"format":9,"magic":"samespace"}\n')
    ),
    "other magic": Case(SEARCH, 10, "not a samespace index", "", in_index("samespace.json", '{"magic":"x","format":0}')),
    "damaged magic": Case(SEARCH, 12, "samespace.json", "", in_index("samespace.json", "\0\0")),
    "damaged CURRENT": Case(SEARCH, 12, "CURRENT is damaged", "newest whole generation is 1", in_index("CURRENT", "one\n")),
    "CURRENT to nowhere": Case(SEARCH, 12, "missing", "newest whole generation is 1", in_index("CURRENT", "000009 0123456789abcdef\n")),
    "damaged generation": Case(SEARCH, 12, "generations/000001.json", "", flipped("generations/*.json")),
    "truncated documents": Case(SEARCH, 12, "documents/000001", "samespace check", truncated("documents/*")),
    "flipped documents": Case(SEARCH, 12, "documents/000001", "samespace check", flipped("documents/*")),
    "missing documents": Case(SEARCH, 12, "documents/000001", "restore", removed("documents/*")),
    "flipped vectors": Case(SEARCH, 12, "sha256 differs", "samespace check", flipped("spaces/s-*/c-*/000001")),
    "flipped postings": Case(SEARCH, 12, "sha256 differs", "samespace check", flipped("lexical/a-*/c-*/000001")),
    "flipped canaries": Case(SEARCH, 12, "sha256 differs", "samespace check", flipped("spaces/s-*/canaries")),
    "missing vectors": Case(SEARCH, 12, "missing", "restore", removed("spaces/s-*/c-*/000001")),
    "eval without postings": Case(
        ("eval", "{index}", "{tmp}"), 12, "missing", "restore",
        lambda index, tmp: (
            put(tmp, {"qrels.tsv": "1\td\t1", "queries.jsonl": '{"_id": "1", "text": "a"}'}),
            removed("lexical/a-*/c-*/000001")(index, tmp),
        ),
    ),
    "similar without a record": Case(
        ("similar", "a", "--index", "{index}"), 12, "missing", "restore", removed("spaces/s-*/space.json")
    ),
    "verify-space without canaries": Case(("verify-space", "{index}"), 12, "missing", "restore", removed("spaces/s-*/canaries")),
    "info without a record": Case(("info", "{index}"), 12, "record of the space", "check", removed("spaces/s-*/space.json")),
    "info of a flipped record": Case(("info", "{index}"), 12, "record of the space", "check", flipped("spaces/s-*/space.json")),
    "info without a generation": Case(("info", "{index}"), 12, "missing", "restore", removed("generations/000001.json")),
    # the model
    "unknown model": Case((*SEARCH, "--model", "minlm"), 2, "'minlm'", "samespace models"),
    "model of a new index": Case((*BUILD[:-1], "no such"), 2, "'no such'", "samespace models", written("docs/a.txt", "a")),
    "another model": Case((*SEARCH, "--model", "hashing-2"), 13, "weights", "--to NEW.index --model hashing-2"),
    "another model to build": Case(
        ("build", "--to", "{index}", "--model", "hashing-2"), 13, "weights", "--to NEW.index --model hashing-2"
    ),
    "another model to embed": Case(
        ("embed", "{index}", "--model", "hashing-2"), 13, "weights", "leave --model out",
        lambda index, tmp: [
            ok("ingest", put(tmp / "more", {"a.txt": "more"}), "--to", index), ok("chunk", index)
        ],
    ),
    "unknown reranker": Case(("rerank", "{index}", "q", "--reranker", "nothing"), 2, "'nothing'", "samespace models"),
}  # fmt: skip


def others(folder: Path) -> list[Path]:
    """What lies in `folder` beside the indexes."""
    return sorted(path for path in folder.rglob("*") if ".index" not in str(path))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input(case: Case, index: Path, notes: Path, tmp_path: Path) -> None:
    case.before(index, tmp_path)
    words = [word.format(index=index, notes=notes, tmp=tmp_path) for word in case.words]
    before, around = digest_of(index), others(tmp_path)

    done = samespace(*words)
    assert done.code == case.code, done.all
    assert "samespace: " in done.err
    assert case.message in done.err
    assert case.fix in done.err
    assert "\n  → " in done.err
    assert done.out == "" or words[0] == "verify-space"

    error = samespace(*words, "--json").json
    assert error["schema"] == "samespace/error/1"
    assert error["exit_code"] == case.code
    assert case.message in f"{error['path']}: {error['message']}"
    assert case.fix in error["fix"] or case.fix in error["message"]

    assert digest_of(index) == before
    assert others(tmp_path) == around


TROUBLES = {
    "empty.txt": (b"", "skipped", "empty"),
    "blank.md": (b" \n\n\t", "skipped", "empty"),
    "binary.txt": (bytes(range(256)) * 40, "failed", "binary data"),
    "damaged.txt": ("好好学习，天天向上。".encode() * 30 + b"\xff" + "好".encode() * 90, "failed", "damaged text"),
    "broken.pdf": (b"%PDF-1.4\nnothing", "failed", ""),
    "broken.docx": (b"PK\x03\x04", "failed", ""),
    "picture.png": (b"\x89PNG", "skipped", ".png is not read"),
    "noextension": (b"text", "skipped", "without a suffix"),
}


class TestSources:
    def test_files_that_cannot_be_read_are_accounted_for(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "docs", {name: data for name, (data, _, _) in TROUBLES.items()} | {"good.txt": "good"})
        done = ok("build", folder, "--to", tmp_path / "i", "--model", "hashing", "--json")
        files = {file["path"].removeprefix("docs/"): file for file in done.json["files"]}
        assert files.keys() == {*TROUBLES, "good.txt"}
        for name, (_, status, reason) in TROUBLES.items():
            assert (files[name]["status"], reason in files[name]["reason"]) == (status, True), files[name]
            assert files[name]["reason"]
        assert files["good.txt"]["status"] == "new"
        text = samespace("build", folder, "--to", tmp_path / "j", "--model", "hashing").err
        assert "failed: docs/binary.txt: binary data, not text" in text
        assert "skipped: 2 × empty" in text

    def test_chinese_of_before_unicode_is_read(self, tmp_path: Path) -> None:
        text = "银行的利率上周又下调了，存款的人并不高兴，他们去了河边散步。"
        folder = put(tmp_path / "docs", {"gb.txt": text.encode("gb18030"), "utf16.txt": text.encode("utf-16")})
        ok("build", folder, "--to", tmp_path / "i", "--model", "hashing")
        hits = ok("search", tmp_path / "i", "银行利率", "--json").json["hits"]
        assert [hit["text"].strip() for hit in hits] == [text, text]

    def test_a_pdf_without_text(self, tmp_path: Path) -> None:
        from pypdf import PdfWriter

        writer = PdfWriter()
        writer.add_blank_page(200, 200)
        (tmp_path / "docs").mkdir()
        with (tmp_path / "docs" / "scan.pdf").open("wb") as file:
            writer.write(file)
        put(tmp_path / "docs", {"a.txt": "text"})
        done = ok("build", tmp_path / "docs", "--to", tmp_path / "i", "--model", "hashing")
        assert "text" in next(line for line in done.err.splitlines() if line.startswith(("skipped", "failed")))
        assert "1 documents" in done.out

    @pytest.mark.parametrize("files", [{}, {"a.bin": b"\0", "b.txt": b""}], ids=["empty folder", "nothing readable"])
    def test_nothing_to_publish(self, tmp_path: Path, files: dict[str, str | bytes]) -> None:
        (tmp_path / "docs").mkdir()
        put(tmp_path / "docs", files)
        done = samespace("build", tmp_path / "docs", "--to", tmp_path / "i", "--model", "hashing")
        assert done.code == 2
        assert "nothing to index" in done.err
        assert "→" in done.err

    def test_a_source_that_vanished_loses_nothing(self, tmp_path: Path) -> None:
        folder, index = put(tmp_path / "docs", {"a.txt": "a text", "b.txt": "b text"}), tmp_path / "i"
        ok("build", folder, "--to", index, "--model", "hashing")
        before = digest_of(index)
        (folder / "a.txt").unlink()
        (folder / "b.txt").unlink()
        done = samespace("build", "--to", index)
        assert done.code == 2
        assert "keeps the 2 it has" in done.err
        assert "--yes" in done.err
        folder.rmdir()
        assert samespace("build", "--to", index).code == 2
        assert digest_of(index) == before


class TestLongQueries:
    @pytest.mark.parametrize("text", ["bank " * 20_000, "银行利率" * 25_000, "x" * 100_000], ids=["en", "zh", "word"])
    def test_100_000_characters(self, index: Path, tmp_path: Path, text: str) -> None:
        assert len(text) == 100_000
        put(tmp_path, {"q.jsonl": json.dumps({"_id": "1", "text": text})})
        assert len(ok("search", index, "--queries", tmp_path / "q.jsonl").out.splitlines()) == 6
        done = ok("search", index, text, "-k", 1)
        assert done.out.startswith(" 1. notes/")
        if text[1] != "x":
            assert "longer than the model takes" in done.err

    def test_bytes_that_are_no_text(self, index: Path) -> None:
        done = ok("search", index, os.fsdecode(b"otters \xff\xfe"), "--json")
        assert done.json["hits"][0]["document"] == "notes/river.md"
        assert os.fsencode(done.json["query"]) == b"otters \xff\xfe"


def inside(tmp_path: Path, script: str, *words: object) -> Done:
    """A shell script with mounts of its own. Skips where the kernel does not allow that."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-euc", script, str(PROGRAM), *map(str, words)], capture_output=True, text=True
    )
    return Done(done.returncode, done.stdout, done.stderr)


class TestStorage:
    def test_a_full_disk(self, notes: Path, index: Path, tmp_path: Path) -> None:
        """A disk with room for the index, but not for what is to be added; then with room again."""
        big = put(tmp_path / "big", {f"{n}.txt": os.urandom(20_000).hex() for n in range(40)})
        (tmp_path / "disk").mkdir()
        script = """mount -t tmpfs -o size=600k tmpfs "$1"; cp -r "$2" "$1/i"; code=0
            "$0" build "$3" --to "$1/i" >"$4" 2>&1 || code=$?
            "$0" check "$1/i" >>"$4" && "$0" search "$1/i" otters --json && exit $code"""
        done = inside(tmp_path, script, tmp_path / "disk", index, big, tmp_path / "out")
        said = (tmp_path / "out").read_text()
        assert done.code == 18, done.all + said
        assert "no space left on the device" in said
        assert "nothing was lost" in said
        assert "Traceback" not in said + done.all
        assert "ok       generation 1" in said
        assert done.json["hits"][0]["document"] == "notes/river.md"

    def test_a_read_only_index(self, notes: Path, index: Path, tmp_path: Path) -> None:
        script = """mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"
            "$0" search "$1" otters --json; code=0; "$0" check "$1" >&2
            "$0" build "$2" --to "$1" || code=$?; exit $code"""
        done = inside(tmp_path, script, index, notes)
        assert done.code == 18, done.all
        assert done.json["hits"][0]["document"] == "notes/river.md"
        assert "cannot be written to" in done.err
        assert "copy it to a place where you may write" in done.err
        assert "Traceback" not in done.all

    def test_no_cache_to_write_to(self, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SAMESPACE_CACHE", "/proc/nowhere")
        assert ok("search", index, "otters", "--json").json["hits"][0]["document"] == "notes/river.md"

    def test_a_limit_on_the_size_of_files(self, index: Path, tmp_path: Path) -> None:
        big, before = put(tmp_path / "big", {"a.txt": os.urandom(500_000).hex()}), digest_of(index)
        script = 'ulimit -f 200; exec "$0" build "$1" --to "$2" --json'
        done = subprocess.run(
            ["bash", "-c", script, str(PROGRAM), str(big), str(index)], capture_output=True, text=True
        )
        assert done.returncode == 18, done.stderr
        assert json.loads(done.stdout)["schema"] == "samespace/error/1"
        assert "larger than is allowed" in done.stderr
        assert "Traceback" not in done.stderr
        assert ok("check", index).out.startswith("ok")
        ok("build", "--to", index)
        assert digest_of(index) == before

    def test_stdout_is_full(self, index: Path) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "search", index, "otters"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 18
        assert "no space left" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr

    def test_a_run_that_cannot_be_written(self, index: Path, tmp_path: Path) -> None:
        put(tmp_path, {"file": "mine", "q.jsonl": '{"_id": "1", "text": "otters"}'})
        done = samespace("search", index, "--queries", tmp_path / "q.jsonl", "--run", tmp_path / "file" / "r.trec")
        assert done.code == 18
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize("step", ["write", "sync", "rename", "link"])
    def test_an_error_of_the_disk_at_a_step(
        self, step: str, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(now: str, path: Path) -> None:
            if now == step and "staging" not in path.parts and path.name != "LOCK":
                raise OSError(28, "No space left on device", str(path))

        before = digest_of(index)
        monkeypatch.setattr(fs, "on_step", fail)
        done = samespace("build", put(tmp_path / "more", {"a.txt": "more"}), "--to", index)
        assert done.code == 18
        assert str(index) in done.err
        assert "free some space" in done.err
        monkeypatch.undo()
        assert ok("check", index).out.startswith("ok ")
        assert ok("search", index, "otters", "--json").json["generation"] == 1
        shutil.rmtree(index / "staging")
        assert digest_of(index) == before


def test_two_things_on_stdout(index: Path) -> None:
    done = samespace("search", index, "otters", "--run", "-", "--json")
    assert (done.code, done.json["message"]) == (2, "--json and --run - both want stdout")


class TestModelTroubles:
    def test_vectors_that_are_no_numbers(self, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = HashingEncoder.embed

        def embed(self: HashingEncoder, texts: Any, side: Any) -> Any:
            vectors = honest(self, texts, side)
            for row, text in enumerate(texts):
                if "poison" in text:
                    vectors[row] = float("nan")
            return vectors

        monkeypatch.setattr(HashingEncoder, "embed", embed)
        done = samespace("build", put(tmp_path / "more", {"a.txt": "poison"}), "--to", index)
        assert done.code == 16
        assert "no numbers" in done.err
        assert ok("search", index, "otters", "--json").json["generation"] == 1

    def test_hnsw_that_is_not_installed(self, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "hnswlib", None)
        monkeypatch.delitem(sys.modules, "core.vectors.hnsw", raising=False)
        done = samespace("index", index, "--ann", "hnsw")
        assert done.code == 15
        assert "pip install hnswlib" in done.err
