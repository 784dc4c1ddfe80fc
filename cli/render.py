"""What the user sees. Text from documents is data: nothing of it reaches a terminal that the terminal would obey."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import typer

from core.errors import StorageError, from_os_error

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


_quiet = False  # --quiet of the command that runs


def be_quiet(asked: bool) -> None:
    """From now on `say` and `note` say nothing, or everything again. `complain` and `emit_json` always do."""
    global _quiet
    _quiet = asked


def is_quiet() -> bool:
    return _quiet


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether somebody looks at it; False where it was closed (`2>&-`)."""
    return stream is not None and stream.isatty()


def _print(text: str) -> None:
    """One piece of result. Whoever reads it may have enough (`| head`): then the command goes on in silence, so that its exit
    code stays its answer. Raises StorageError where it cannot be written."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        silence_stdout()
    except OSError as error:
        silence_stdout()
        raise StorageError(
            f"the result could not be written: {from_os_error(error).message}",
            path="standard output",
            fix="write it to a place with room and run the command again",
        ) from error


def silence_stdout() -> None:
    """Nothing more can be said there, at exit neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str = "") -> None:
    """One line of result, on stdout. What a terminal would obey is made visible; a caller does it first where lines count."""
    if not _quiet:
        _print(visible(line, keep="\n"))


def note(line: str) -> None:
    """One line for people, on stderr, made visible like `say`."""
    if not _quiet:
        complain(line)


def complain(line: str) -> None:
    """What went wrong, on stderr: a line that --quiet does not hold back."""
    with contextlib.suppress(OSError):  # nobody listens
        typer.echo(visible(line, keep="\n"), err=True)


def emit_json(command: str, value: Mapping[str, Any]) -> None:
    """The one object on stdout. Unsafe characters stay escaped, so that a terminal may show it too."""
    whole = {"schema": f"samespace/{command}/1", **value}
    try:
        text = json.dumps(whole, ensure_ascii=False, allow_nan=False)
    except ValueError:  # a figure that is no number: JSON has none of these
        text = json.dumps(_finite(whole), ensure_ascii=False, allow_nan=False)
    _print(_UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text))


def _finite(value: Any) -> Any:
    """`value` with null for NaN and infinities."""
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Aligned `name  value` lines."""
    rows = [(visible(name), visible(str(value))) for name, value in pairs]
    width = max((_cells(name) for name, _ in rows), default=0)
    for name, value in rows:
        say(f"{name}{' ' * (width - _cells(name))}  {value}")


def _cells(text: str) -> int:
    """The columns of a terminal that `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; cells are made visible, wide characters counted, nothing is cut when it goes to a file."""
    cells = [[visible(str(cell)) for cell in row] for row in [header, *rows]]
    widths = [max(_cells(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        padded = (cell + " " * (width - _cells(cell)) for cell, width in zip(row, widths, strict=True))
        say("  ".join(padded).rstrip())


def typed(path: object) -> str:
    """`path` as it is typed into a shell."""
    return shlex.quote(str(path))


def number(value: float) -> str:
    return f"{value:.4f}"


def duration(seconds: float) -> str:
    """In words, to the two largest units: `2 h 5 min`."""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def terminal_width(default: int = 100) -> int:
    import shutil

    if not is_terminal(sys.stdout):
        return default
    return max(20, min(shutil.get_terminal_size((default, 24)).columns, 120))
