"""What the user sees. Text from documents is data: nothing of it reaches a terminal that the terminal would obey."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

# C0 and C1 controls, DEL, bidirectional controls, zero-width and tag characters, line and paragraph separators.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def visible(text: str, keep: str = "") -> str:
    """`text` with every character that a terminal would obey or hide written out, e.g. \\x1b; those in `keep` stay."""

    def name(match: re.Match[str]) -> str:
        code = ord(match[0])
        if match[0] in keep:
            return match[0]
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return _UNSAFE.sub(name, text)


def one_line(text: str) -> str:
    """`text` on one line: white space collapsed, the rest made visible."""
    return visible(" ".join(text.split()))


def say(line: str = "") -> None:
    """One line of result, on stdout. The caller has made foreign text visible."""
    typer.echo(line)


def note(line: str) -> None:
    """One line for people, on stderr."""
    typer.echo(line, err=True)


def emit_json(command: str, value: Mapping[str, Any]) -> None:
    """The one object on stdout. Unsafe characters stay escaped, so that a terminal may show it too."""
    text = json.dumps({"schema": f"samespace/{command}/1", **value}, ensure_ascii=False, allow_nan=False)
    typer.echo(_UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text))


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Aligned `name  value` lines."""
    rows = [(name, str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        say(f"{name:<{width}}  {visible(value)}")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; cells are made visible, wide characters counted, nothing is cut when it goes to a file."""
    from rich.cells import cell_len

    cells = [[visible(str(cell)) for cell in row] for row in [header, *rows]]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        say("  ".join(padded).rstrip())


def number(value: float) -> str:
    return f"{value:.4f}"


def terminal_width(default: int = 100) -> int:
    import shutil

    return min(shutil.get_terminal_size((default, 24)).columns, 120) if sys.stdout.isatty() else default
