"""Markdown, kept as it was written, so that the lines of the text are the lines of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.sources import Text
from core.sources.decode import decode
from core.sources.text import finish

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$")


class MdReader:
    version = "1"

    def read(self, data: bytes, name: str) -> Text:
        """The whole file. Raises Unreadable: empty, binary, of unknown encoding."""
        text, encoding = decode(data)
        return finish(_title(text), text, name, encoding=encoding)


def _title(text: str) -> str:
    """The title that the front matter declares, else the first heading of level one."""
    body = text
    if front := _FRONT_MATTER.match(text):
        if declared := _FRONT_TITLE.search(front[1]):
            return declared[2]
        body = text[front.end() :]
    headings = (match[1] for line in _prose(body) if (match := _HEADING.match(line)))
    return next(headings, "")


def _prose(text: str) -> Iterator[str]:
    """The lines outside fenced code, where "# " begins a comment of a shell script and no heading."""
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        elif not fence:
            yield line
