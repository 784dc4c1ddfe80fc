"""One table a seam: name -> "module:attribute", imported on use, so that nothing heavy is loaded before it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from core.errors import MissingError, UsageError


class Registry(Mapping[str, str]):
    """The implementations of one seam.

    `seam` is the word users know ("reranker"). A module that needs an optional package names it in `extras`.
    """

    def __init__(self, seam: str, table: Mapping[str, str], extras: Mapping[str, str] | None = None):
        self.seam = seam
        self._table = dict(table)
        self._extras = dict(extras or {})

    def __getitem__(self, name: str) -> str:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def load(self, name: str) -> Any:
        """The class or function registered as `name`.

        Raises UsageError for an unknown name, MissingError when the package it needs is not installed.
        """
        if name not in self._table:
            raise UsageError(f"there is no {self.seam} called {name!r}", fix=f"choose one of: {', '.join(self._table)}")
        module, _, attribute = self._table[name].partition(":")
        try:
            return getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            package = self._extras.get(name, error.name or "")
            raise MissingError(
                f"{self.seam} {name!r} needs the package {package}, which is not installed",
                fix=f"pip install {package}",
            ) from error
