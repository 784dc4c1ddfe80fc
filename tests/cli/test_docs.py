"""What is written for people is true: README, help, examples, exit codes, version."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shell import ROOT, ok, put, samespace

from core import errors
from core.errors import ExitCode, SamespaceError
from core.version import VERSION

sys.path.append(str(ROOT / "tests"))
from update_readme import commands, exit_codes, help_of, updated

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(commands())


class TestReadme:
    def test_updating_it_changes_nothing(self) -> None:
        """If this fails: make readme."""
        assert updated(README) == README

    def test_every_exit_code_stands_in_its_table(self) -> None:
        rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, re.M)
        assert [(int(number), text) for number, text in rows] == [(int(code), code.meaning) for code in ExitCode]

    @pytest.mark.parametrize("words", COMMANDS)
    def test_every_command_has_its_heading_and_help(self, words: str) -> None:
        assert f"### `samespace {words}`\n\n```text\n{help_of(words)}\n```\n" in README

    def test_a_mark_that_is_missing_is_said(self) -> None:
        with pytest.raises(SystemExit, match="help"):
            updated("# nothing here\n")
        marked = updated("<!-- help -->\nas it was\n<!-- /help -->\n<!-- exit-codes -->\n<!-- /exit-codes -->\n")
        assert "as it was" not in marked
        assert exit_codes() in marked


def example_of(command: Any) -> str:
    last = (command.callback.__doc__ or "").strip().splitlines()[-1].strip()
    assert last.startswith("Example: samespace "), last
    return last.removeprefix("Example: samespace ")


class TestExamples:
    @pytest.mark.parametrize("words", COMMANDS)
    def test_every_command_ends_its_help_with_an_example(self, words: str) -> None:
        example = example_of(COMMANDS[words])
        assert example.startswith(words)
        assert f"Example: samespace {example}" in " ".join(help_of(words).split())

    def test_they_run_in_the_order_of_the_work(
        self, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In the folder of the sample: first those on the finished index, then the stages, on an index of their own."""
        examples = {words: shlex.split(example_of(command)) for words, command in COMMANDS.items()}
        monkeypatch.chdir(sample)
        for words in (
            "build",
            "search",
            "rerank",
            "verify-space",
            "eval",
            "compare",
            "similar",
            "tokens",
            "info",
            "stats",
            "history",
            "diff",
            "check",
            "repair",
            "gc",
            "rollback",
            "models",
            "models show",
            "models recommend",
            "models prepare",
            "cache",
            "cache stats",
            "cache prune",
        ):
            assert ok(*examples.pop(words)).out.strip(), words
        (tmp_path / "sample_corpus").mkdir()
        put(
            tmp_path / "sample_corpus",
            {"a.txt": "Otters dig along the bank.", "b.txt": "Longjing tea wants water of eighty degrees."},
        )
        monkeypatch.chdir(tmp_path)
        for words in ("ingest", "chunk", "embed", "index"):
            assert ok(*examples.pop(words)).out.strip(), words
        assert not examples
        hits = ok("search", "sample.index", "otters", "--json").json["hits"]
        assert hits[0]["document"] == "sample_corpus/a.txt"


def tree(error: type[SamespaceError]) -> Iterator[type[SamespaceError]]:
    for child in error.__subclasses__():
        yield child
        yield from tree(child)


class TestErrors:
    def test_every_error_has_an_exit_code_and_stands_in_the_drawing(self) -> None:
        drawn = dict(re.findall(r"[├└]── (\w+) +(\d+)", errors.__doc__ or ""))
        direct = {error.__name__: str(int(error.exit_code)) for error in SamespaceError.__subclasses__()}
        assert drawn == direct
        assert {error.exit_code for error in tree(SamespaceError)} <= set(ExitCode)

    def test_every_code_has_a_meaning(self) -> None:
        assert all(code.meaning for code in ExitCode)
        assert len({code.meaning for code in ExitCode}) == len(ExitCode)


class TestVersion:
    def test_it_is_the_packages(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["version"] == VERSION
        assert samespace("--version").out == f"samespace {VERSION}\n"

    def test_the_changelog_begins_with_it_or_what_is_to_come(self) -> None:
        first = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
        assert first is not None
        assert VERSION in first[1] or "unreleased" in first[1].lower()
