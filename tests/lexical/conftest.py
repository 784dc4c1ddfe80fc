from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from spaces import Spaces

from core.index.columns import Column, Table, write_columns
from core.lexical.postings import Postings, count

Write = Callable[[Mapping[str, Column]], Postings]


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Columns to an opened segment, by way of a file."""
    folder = tmp_path_factory.mktemp("postings")

    def write(columns: Mapping[str, Column]) -> Postings:
        path: Path = folder / "segment"
        path.unlink(missing_ok=True)  # a map of the one before stays valid
        path.write_bytes(b"".join(write_columns(columns)))
        return Postings(Table(path))

    return write


@pytest.fixture(scope="session")
def segment(write: Write) -> Callable[[Sequence[str]], Postings]:
    """Texts of space-separated tokens to a segment."""
    return lambda texts: write(count(Spaces(), texts))
