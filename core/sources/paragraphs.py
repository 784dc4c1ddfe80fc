"""Paragraphs out of the lines of a printed page."""

from __future__ import annotations

import re
import unicodedata

from core.sources.text import is_cjk

_NARROWEST = 40  # columns; where lines are shorter (a table, a slide), their ends mean something
_FULL = 0.8  # of the usual width; a shorter line is the last of its paragraph
_STARTS = re.compile(  # what begins a line of its own: bullets, numbers, clauses of a law
    r"[•●▪◦‣·–-]\s|\(?\d{1,3}[.)、](?!\d)|[（(]?[一二三四五六七八九十]{1,3}[）)、]|第[〇零一二三四五六七八九十百千\d]+[编章节條条]"
)
_HYPHENATED = re.compile(r"[^\W\d_][-\u2010\u00ad]$")


def rejoin(text: str) -> str:
    """`text` with the lines of each paragraph joined, and paragraphs kept apart by a line end.

    A blank line, and a line much shorter than most, ends a paragraph.
    """
    lines = [line.strip() for line in text.split("\n")]
    full = _FULL * _usual_width(lines)
    paragraphs: list[str] = []
    goes_on = False
    for line in lines:
        if goes_on and line and not _STARTS.match(line):
            paragraphs[-1] = _joined(paragraphs[-1], line)
        else:
            paragraphs.append(line)
        goes_on = bool(line) and _width(line) >= full
    return re.sub(r"\n{3,}", "\n\n", "\n".join(paragraphs)).strip("\n")


def _usual_width(lines: list[str]) -> int:
    """The width that a tenth of the lines reach: one heading or one table row over the margin does not set it."""
    widths = sorted(_width(line) for line in lines if line)
    return max(_NARROWEST, widths[len(widths) * 9 // 10]) if widths else _NARROWEST


def _width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def _joined(left: str, right: str) -> str:
    if _HYPHENATED.search(left) and right[0].islower():
        return left[:-1] + right
    return left + right if is_cjk(left[-1]) or is_cjk(right[0]) else f"{left} {right}"
