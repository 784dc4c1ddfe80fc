"""Marked-up text set as plain lines: white space as a browser shows it, blocks apart, cells side by side."""

from __future__ import annotations

import re

from core.sources.text import is_cjk

_SPACE = re.compile(r"[ \t\n\f\r]+")  # a no-break space is none of these: the author meant it
_CELLS = " | "


class Flow:
    """Takes text and boundaries in the order of the document.

    What lies between two pieces of text (line ends, a space, a list's mark) is only remembered until the next piece
    comes, so nothing is ever written that later has to be taken back.
    """

    def __init__(self) -> None:
        self.verbatim = 0  # how many <pre> are open
        self._parts: list[str] = []
        self._ends = 0  # line ends owed before the next text: 1 ends a line, 2 a paragraph
        self._gap = ""  # white space owed on the same line
        self._mark = ""  # written at the start of the next line
        self._joining = False  # a table's cell has begun, and the next text belongs on the line of the one before
        self._lines = 0  # lines ended so far
        self._cells: list[int | None] = []  # for each open cell: lines ended before its first word, if it has one

    def text(self) -> str:
        return "".join(self._parts)

    def end(self, lines: int) -> None:
        """`lines` 1 ends the line, 2 the paragraph, 0 nothing."""
        if lines and not self._joining:
            self._ends = max(self._ends, lines)
            self._gap = ""

    def mark(self, mark: str) -> None:
        self._mark = mark

    def cell(self) -> None:
        self._joining = bool(self._parts) and self._ends == 0
        self._cells.append(None)

    def end_cell(self) -> None:
        """A cell of one line stands beside the next, though its paragraph ended; a longer one stays a block."""
        self._joining = False
        if self._cells and self._cells.pop() == self._lines:
            self._ends = 0

    def write(self, text: str) -> None:
        if self.verbatim:
            self._put(text)
            return
        for place, word in enumerate(_SPACE.split(text)):
            if place:
                self._owe(text)
            if word:
                self._put(word)

    def _owe(self, text: str) -> None:
        self._gap = self._gap or ("\n" if "\n" in text else " ")

    def _put(self, text: str) -> None:
        self._parts += [self._between(text), text]
        self._ends, self._gap, self._joining = 0, "", False
        if self._cells and self._cells[-1] is None:
            self._cells[-1] = self._lines

    def _between(self, text: str) -> str:
        if not self._parts:
            return self._take_mark()
        if self._joining:
            return _CELLS
        if self._ends:
            self._lines += self._ends
            return "\n" * self._ends + self._take_mark()
        if self._gap == "\n" and is_cjk(text[0]) and is_cjk(self._parts[-1][-1]):
            return ""  # the source was wrapped between two Chinese characters
        return " " if self._gap else ""

    def _take_mark(self) -> str:
        mark, self._mark = self._mark, ""
        return mark
