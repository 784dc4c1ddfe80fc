"""Nothing of a document, a file name or a message reaches a terminal that the terminal would obey."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import Done, ok, put, samespace, spawn
from typer.testing import CliRunner

from cli.render import emit_json, visible

OSC = "\x1b]52;c;ZXZpbA==\x07"
CLEAR = "\x1b[2J\x1b[H"
BIDI = "\u202eevil\u2066\u2069"
C1 = "\x9b31m\x9d0;title\x9c\x85"
MARKUP = "[/red] [link=https://evil.example]x[/link] [bold]"
TRAP = f"{CLEAR}{OSC}{BIDI}{C1}{MARKUP}\u200b\u2028\x7f"
PLAIN = "🦦 👩‍👩‍👧 שלום עולם مرحبا 河狸"

# What a terminal acts upon or hides, but for the newlines that we write ourselves.
DANGER = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def harmless(done: Done) -> Done:
    for text in (done.out, done.err):
        found = DANGER.search(text)
        assert found is None, f"{found[0]!r} in …{text[max(0, found.start() - 40) : found.end() + 10]!r}"
    return done


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents, titles, file names and reasons for failure that attack, and the index of what can be read of them."""
    folder = tmp_path_factory.mktemp("traps")
    name = TRAP.replace("/", "-")[:80]
    records = [{"_id": f"id {TRAP}", "title": f"Record {TRAP}", "text": f"otters of the record {TRAP} {PLAIN}"}]
    put(
        folder / f"notes {name}",
        {
            f"{name}.md": f"# Otters {TRAP}\n\nThe text of otters {TRAP} {PLAIN}.\n",
            f"failed {name}.pdf": b"%PDF-1.4 \x1b[2J",
            f"skipped.{name}": b"x",
            "corpus.jsonl": "\n".join(map(json.dumps, records)) + f"\n{TRAP}\n",
        },
    )
    return folder


@pytest.fixture(scope="module")
def attacked(traps: Path) -> tuple[Path, Path]:
    source, index = next(traps.iterdir()), traps / f"index {CLEAR}{BIDI}"
    harmless(ok("build", source, "--to", index, "--model", "hashing"))
    return source, index


class TestTraps:
    def test_ingest_and_build_reports(self, traps: Path, attacked: tuple[Path, Path], tmp_path: Path) -> None:
        source, _ = attacked
        for options in ([], ["--json"]):
            for command in ("ingest", "build"):
                index = tmp_path / f"{CLEAR}{command}{len(options)}"
                done = harmless(ok(command, source, "--to", index, "--model", "hashing", *options))
                assert "\\x1b[2J" in done.err or "\\u001b[2J" in done.out
                assert "failed" in done.all
                harmless(ok(command, "--to", index, *options))

    @pytest.mark.parametrize("options", [[], ["--explain"], ["--full"], ["--json"], ["--mode", "lexical"]])
    @pytest.mark.parametrize("command", ["search", "rerank"])
    def test_hits(self, attacked: tuple[Path, Path], command: str, options: list[str]) -> None:
        done = harmless(ok(command, attacked[1], f"otters {TRAP}", *options))
        assert "otters" in done.out
        assert "河狸" in done.out
        assert "שלום" in done.out
        assert "[/red]" in done.out

    def test_json_keeps_the_text_itself(self, attacked: tuple[Path, Path]) -> None:
        hits = ok("search", attacked[1], "otters", "--json").json["hits"]
        record = next(hit for hit in hits if hit["document"].startswith("id "))
        assert record["document"] == f"id {TRAP}"
        assert OSC in record["text"]
        assert "👩‍👩‍👧" in record["text"]

    def test_runs(self, attacked: tuple[Path, Path], tmp_path: Path) -> None:
        put(tmp_path, {"q.jsonl": json.dumps({"_id": f"q{TRAP}", "text": "otters"})})
        done = harmless(ok("search", attacked[1], "--queries", tmp_path / "q.jsonl"))
        assert {len(line.split()) for line in done.out.splitlines()} == {6}
        harmless(ok("search", attacked[1], "--queries", tmp_path / "q.jsonl", "--json"))
        (tmp_path / "r.trec").write_text(done.out)
        again = ok("rerank", attacked[1], "--run", tmp_path / "r.trec", "--queries", tmp_path / "q.jsonl")
        assert {line.split()[2] for line in again.out.splitlines()} == {
            line.split()[2] for line in done.out.splitlines()
        }

    @pytest.mark.parametrize("words", [["info"], ["check"], ["info", "--json"], ["check", "--json"], ["verify-space"]])
    def test_what_an_index_says_of_itself(self, attacked: tuple[Path, Path], words: list[str]) -> None:
        harmless(ok(words[0], attacked[1], *words[1:]))

    def test_eval(self, attacked: tuple[Path, Path], tmp_path: Path) -> None:
        put(tmp_path, {"queries.jsonl": json.dumps({"_id": f"q{CLEAR}", "text": "otters"})})
        put(tmp_path, {"qrels.tsv": f"q{CLEAR}\td{CLEAR}\t1\n"})
        done = harmless(ok("eval", attacked[1], tmp_path, "--per-query"))
        assert "one is d\\x1b[2J" in done.err
        harmless(ok("eval", attacked[1], tmp_path, "--per-query", "--json"))
        put(tmp_path, {"r.trec": f"q{CLEAR} Q0 d{CLEAR} 1 1 t\n"})
        harmless(ok("compare", tmp_path / "r.trec", attacked[1], "--queries", tmp_path / "queries.jsonl"))
        harmless(samespace("eval", attacked[1], tmp_path, "--at-least", f"RR{CLEAR}=1"))
        harmless(samespace("eval", attacked[1], tmp_path, "--not-below", tmp_path / "qrels.tsv"))

    def test_similar(self) -> None:
        done = harmless(ok("similar", TRAP, PLAIN, "--model", "hashing"))
        assert done.out.startswith("1. \\x1b[2J")
        harmless(ok("similar", TRAP, PLAIN, "--model", "hashing", "--json"))

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_error_messages(self, attacked: tuple[Path, Path], tmp_path: Path, options: list[str]) -> None:
        source, index = attacked
        evil = f"nowhere {TRAP}"
        for words in (
            ["search", evil, "q"],
            ["search", source, "q"],
            ["search", index, " "],
            ["search", index, "q", "--mode", evil],
            ["search", index, "q", "--model", evil],
            ["search", index, "q", "-k", evil],
            ["search", index, "q", "--fusion", evil],
            ["search", index, "q", f"--{evil}"],
            ["search", index, "--queries", evil],
            [evil],
            ["info", evil],
            ["build", evil, "--to", tmp_path / "i"],
            ["build", source, "--to", source],
            ["rerank", index, "q", "--reranker", evil],
            ["rerank", index, "--hits", evil],
            ["eval", index, evil],
            ["eval", index, tmp_path, "--metrics", evil],
            ["verify-space", index, "--model", "hashing-2"],
            ["models", "show", evil],
            ["models", evil],
        ):
            done = harmless(samespace(*words, *options))
            assert done.code in (2, 10, 13), (words, done)
            assert done.err

    def test_findings_of_damage(self, attacked: tuple[Path, Path], tmp_path: Path) -> None:
        damaged = Path(shutil.copytree(attacked[1], tmp_path / f"d{CLEAR}"))
        next(damaged.glob("documents/*")).unlink()
        put(damaged, {"staging/state.json": "{"})
        for words in (["check", damaged], ["check", damaged, "--json"], ["search", damaged, "q"], ["info", damaged]):
            assert harmless(samespace(*words)).code == 12


def on_a_terminal(*words: object) -> tuple[int, str]:
    """Exit code and everything a real terminal would get, of stdout and stderr alike."""
    main, end = pty.openpty()
    process = spawn(*words, stdin=end, stdout=end, stderr=end, env={**os.environ, "TERM": "xterm", "COLUMNS": "70"})
    os.close(end)
    data = b""
    try:
        while block := os.read(main, 65536):
            data += block
    except OSError:  # Linux says EIO when the last writer is gone
        pass
    os.close(main)
    return process.wait(), data.decode()


# What our own progress bars and spinners send: colours, cursor up, erase line, hide and show the cursor.
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]|\r")


@pytest.mark.parametrize("command", ["build", "search", "info", "error"])
def test_on_a_real_terminal(attacked: tuple[Path, Path], tmp_path: Path, command: str) -> None:
    source, index = attacked
    words: dict[str, list[object]] = {
        "build": ["build", source, "--to", tmp_path / f"new {CLEAR}", "--model", "hashing"],
        "search": ["search", index, f"otters {OSC}", "--explain", "--full"],
        "info": ["info", index],
        "error": ["search", index, "q", "--mode", f"{OSC}{CLEAR}"],
    }
    code, text = on_a_terminal(*words[command])
    assert code == (2 if command == "error" else 0), text
    left = OURS.sub("", text)
    assert DANGER.search(left) is None, left
    assert "\\x1b" in left


def test_lines_fit_a_terminal(attacked: tuple[Path, Path], tmp_path: Path) -> None:
    """Chinese characters take two columns, and long words are broken."""
    from rich.cells import cell_len

    text = "银行的利率上周又下调了，" * 30 + " iPhone15 " + "x" * 200
    ok("build", put(tmp_path / "n", {"a.txt": text}), "--to", tmp_path / "i", "--model", "hashing")
    code, shown = on_a_terminal("search", tmp_path / "i", "利率", "--mode", "lexical")
    assert code == 0
    lines = [line.rstrip("\r") for line in shown.split("\n") if "│" in line]
    assert len(lines) > 3
    assert max(map(cell_len, lines)) <= 70


@given(st.text())
def test_visible_text_is_harmless_and_stays_so(text: str) -> None:
    shown = visible(text)
    assert DANGER.search(shown) is None
    assert "\n" not in shown
    assert visible(shown) == shown
    if DANGER.search(text) is None and "\n" not in text and text.isprintable():
        assert shown == text


@given(st.text(), st.sampled_from(["\n", "\t", "\n\t"]))
def test_visible_keeps_what_it_is_told(text: str, keep: str) -> None:
    assert all(visible(text + character, keep=keep).endswith(character) for character in keep)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "schema"), JSON, max_size=5))
def test_json_is_harmless_and_comes_back(value: dict[str, object]) -> None:
    import typer

    app = typer.Typer()
    app.command()(lambda: emit_json("test", value))
    result = CliRunner().invoke(app, catch_exceptions=False)
    line = result.stdout.removesuffix("\n")
    assert DANGER.search(line) is None
    assert "\n" not in line
    assert json.loads(line) == {"schema": "samespace/test/1", **value}
