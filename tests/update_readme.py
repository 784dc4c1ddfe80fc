"""python tests/update_readme.py: write the help of every command and the table of exit codes into README.md.

What stands between `<!-- help -->` and `<!-- /help -->`, and between the same marks of `exit-codes`, is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from typer.testing import CliRunner

from cli.main import app
from core.errors import ExitCode

README = Path(__file__).parent.parent / "README.md"


def commands() -> Iterator[tuple[str, Any]]:
    """(words, command) of every command, in the order of `samespace --help`; subcommands after their own."""
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        yield name, command
        for inner, subcommand in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", subcommand


def help_of(words: str) -> str:
    """What `samespace WORDS --help` prints on a terminal of 100 columns."""
    result = CliRunner().invoke(app, [*words.split(), "--help"], terminal_width=100, catch_exceptions=False)
    return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())


def help_text() -> str:
    blocks = (f"### `samespace {words}`\n\n```text\n{help_of(words)}\n```\n" for words, _ in commands())
    return "\n".join(blocks)


def exit_codes() -> str:
    rows = (f"| {int(code)} | {code.meaning} |" for code in ExitCode)
    return "\n".join(["| code | meaning |", "| ---: | --- |", *rows, ""])


def updated(text: str) -> str:
    """README's `text` with both parts made anew. Raises SystemExit when a mark is missing."""
    for mark, content in (("help", help_text()), ("exit-codes", exit_codes())):
        pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        text, count = pattern.subn(lambda match, new=content: f"{match[1]}\n{new}\n{match[2]}", text)
        if count != 1:
            raise SystemExit(f"README.md: <!-- {mark} --> … <!-- /{mark} --> stands there {count} times, not once")
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
