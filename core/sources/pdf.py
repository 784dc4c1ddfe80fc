"""PDF with a text layer."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pypdf
from pypdf.errors import DependencyError

from core.sources import Empty, Text, Unreadable
from core.sources.paragraphs import rejoin
from core.sources.text import clean, finish

_BETWEEN_PAGES = "\n\n"


class PdfReader:
    version = "1"

    def read(self, data: bytes, name: str) -> Text:
        """The pages' text; `meta["pages"]` says at which character each begins.

        Raises Unreadable: empty, encrypted, damaged, without a text layer.
        """
        if not data.strip():
            raise Empty
        try:
            with _quiet():
                title, pages = _pages(data)
        except Unreadable:
            raise
        except Exception as error:  # a damaged file makes pypdf raise nearly anything, RecursionError included
            raise Unreadable(f"damaged PDF: {str(error) or type(error).__name__}") from error
        if not any(page.strip() for page in pages):
            raise Unreadable("no text layer (a scanned PDF?)")
        return finish(title, _BETWEEN_PAGES.join(pages), name, pages=_starts(pages))


def _pages(data: bytes) -> tuple[str, list[str]]:
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted; a password is needed")
        pages = [rejoin(clean(page.extract_text())) for page in reader.pages]
    except DependencyError as error:
        raise Unreadable(f"encrypted in a way that needs another package: {error}") from error
    return _title(reader), pages


def _title(reader: pypdf.PdfReader) -> str:
    """The title in the file's properties; they are beside the point, so a damaged one costs only the title."""
    try:
        return str((reader.metadata and reader.metadata.title) or "")
    except Exception:
        return ""


def _starts(pages: list[str]) -> list[int]:
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + len(_BETWEEN_PAGES)
    return starts


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pypdf's remarks on odd files off the terminal: what matters is in the outcome."""
    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
