"""Word documents (.docx)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import docx
from docx.oxml.ns import qn

from core.sources import Empty, Text, Unreadable
from core.sources.text import clean, finish

_LARGEST = 200 * 10**6  # bytes unpacked
_RATIO, _SLACK = 200, 10 * 10**6  # times the file's size, and some: ordinary XML packs 10 to 50 times smaller
_OLE = b"\xd0\xcf\x11\xe0"
_HEADING = re.compile(r"(?:heading|标题|標題) ?([1-9])", re.I)
_PARAGRAPH, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_WRITTEN = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_TEXT, _STYLE, _STYLE_ID = qn("w:t"), f"{qn('w:pPr')}/{qn('w:pStyle')}", qn("w:val")
_COPIES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_NOT_TEXT = (_COPIES, qn("w:moveFrom"), qn("w:tabs"))  # the last are tab stops, and called like tabs


class DocxReader:
    version = "1"

    def read(self, data: bytes, name: str) -> Text:
        """Paragraphs and tables in their order; headings are marked with "#".

        Raises Unreadable: empty, encrypted, damaged, or unpacking to far more than its size allows.
        """
        if not data.strip():
            raise Empty
        _guard(data)
        try:
            document = docx.Document(io.BytesIO(data))
            blocks = list(_blocks(document.element.body, _levels(document)))
            title = document.core_properties.title
        except Exception as error:  # missing parts, XML that is none: zipfile, lxml and python-docx each have their own
            raise Unreadable(f"damaged Word file: {str(error) or type(error).__name__}") from error
        headings = (line.lstrip("# ") for line in blocks if line.startswith("#"))
        return finish(title or next(headings, ""), clean("\n\n".join(blocks)), name)


def _guard(data: bytes) -> None:
    """Refuse, before anything is unpacked, what is no zip and what would unpack to a flood."""
    if data.startswith(_OLE):
        raise Unreadable("encrypted, or an old Word file (.doc): save it as .docx without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except Exception as error:
        raise Unreadable(f"damaged Word file: {error}") from error
    if unpacked > min(_LARGEST, _RATIO * len(data) + _SLACK):
        raise Unreadable(f"unpacks to {unpacked:,} bytes, far more than its size allows (a zip bomb?)")


def _levels(document: Any) -> dict[str, int]:
    """Style id -> heading level, for styles that are headings or are based on one."""
    levels: dict[str, int] = {}
    for style in document.styles:
        ancestor, steps = style, 0
        while ancestor is not None and steps < 10:  # a damaged file may base a style on itself
            if match := _HEADING.fullmatch(ancestor.name or ""):
                levels[style.style_id] = int(match[1])
                break
            ancestor, steps = getattr(ancestor, "base_style", None), steps + 1
        if style.name == "Title":
            levels[style.style_id] = 1
    return levels


def _blocks(body: Any, levels: dict[str, int]) -> Iterator[str]:
    for element in body.iterchildren():
        if element.tag == _PARAGRAPH:
            block = _paragraph(element, levels)
        elif element.tag == _TABLE:
            block = "\n".join(filter(None, map(_row, element.iter(_ROW))))
        elif element.tag == _COPIES:
            continue
        else:  # a content control or the like: what it wraps belongs to the text
            yield from _blocks(element, levels)
            continue
        if block:
            yield block


def _paragraph(paragraph: Any, levels: dict[str, int]) -> str:
    text = _text(paragraph)
    style = paragraph.find(_STYLE)
    level = 0 if style is None else levels.get(style.get(_STYLE_ID), 0)
    return f"{'#' * level} {' '.join(text.split())}" if text and level else text


def _row(row: Any) -> str:
    """One line. The rows of a table within a cell are lines of their own, and no part of this one."""
    cells = (" ".join(_cell(cell).split()) for cell in row.iter(_CELL) if next(cell.iterancestors(_ROW)) is row)
    return " | ".join(filter(None, cells))


def _cell(cell: Any) -> str:
    own = (each for each in cell.iter(_PARAGRAPH) if next(each.iterancestors(_PARAGRAPH, _CELL)) is cell)
    return "\n".join(map(_text, own))


def _text(paragraph: Any) -> str:
    """Text wherever it stands in a paragraph (links, insertions, text boxes), but deleted text and second copies."""
    parts: list[str] = []
    pending = [paragraph]
    while pending:
        element = pending.pop()
        if element.tag == _TEXT:
            parts.append(element.text or "")
        elif element.tag in _WRITTEN:
            parts.append(_WRITTEN[element.tag])
        elif element.tag not in _NOT_TEXT:
            if element.tag == _PARAGRAPH and parts:  # a text box's, within the paragraph it is anchored to
                parts.append("\n")
            pending.extend(reversed(element))
    return "".join(parts).strip()
