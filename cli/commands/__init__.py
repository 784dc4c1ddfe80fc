"""One command a module. A command is imported when it is called or described, so that each starts with what it needs."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from cli.options import add_no_wait

COMMANDS = (
    "build",
    "search",
    "ingest",
    "chunk",
    "embed",
    "index",
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
    "cache",
)


class Commands(MutableMapping[str, Any]):
    """Name -> command, in the order of `COMMANDS`, each made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _make(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _make(name: str) -> Any:
    """The command of the module `name`: its function of that name, or its `app` where it has commands of its own."""
    word = name.replace("-", "_")
    module = import_module(f"cli.commands.{word}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name)(getattr(module, word))
    command = get_command(app)
    command.name = name
    add_no_wait(command)
    return command
