"""Files and records become documents.

A reader turns one file's bytes into text; `scan` walks a source, gives each file to its reader, and says of
everything it met what became of it. Readers are loaded on use, so an unused format costs no import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.registry import Registry


class Unreadable(Exception):
    """A file or record cannot be read. The message is the reason, in words for people."""


class Empty(Unreadable):
    """There is nothing to read: no bytes, or only white space."""

    def __init__(self) -> None:
        super().__init__("empty")


@dataclass(frozen=True, slots=True)
class Text:
    """What a reader made of a file. `text` and `title` hold no NUL, no lone surrogate and no carriage return."""

    title: str
    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)


class Reader(Protocol):
    """One file format. A new `version` makes unchanged files be read again."""

    version: str

    def read(self, data: bytes, name: str) -> Text:
        """The text of a file called `name`. Raises Unreadable, and nothing else."""
        ...


READERS = Registry(
    "reader",
    {
        "txt": "core.sources.txt:TxtReader",
        "md": "core.sources.md:MdReader",
        "html": "core.sources.html:HtmlReader",
        "pdf": "core.sources.pdf:PdfReader",
        "docx": "core.sources.docx:DocxReader",
    },
    extras={"html": "beautifulsoup4", "pdf": "pypdf", "docx": "python-docx"},
)

SUFFIXES: Mapping[str, str] = {
    ".txt": "txt",
    ".text": "txt",
    ".md": "md",
    ".markdown": "md",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
}
