"""Plain text in whatever encoding."""

from __future__ import annotations

from core.sources import Text
from core.sources.decode import decode
from core.sources.text import finish

_HEADING_LENGTH = 80


class TxtReader:
    version = "1"

    def read(self, data: bytes, name: str) -> Text:
        """The whole file. Raises Unreadable: empty, binary, of unknown encoding."""
        text, encoding = decode(data)
        return finish(_title(text), text, name, encoding=encoding)


def _title(text: str) -> str:
    """The first line when it stands alone as a heading does: short, with a blank line or nothing but it after."""
    first, _, rest = text.lstrip().partition("\n")
    alone = not rest.partition("\n")[0].strip()
    return first if alone and len(first) <= _HEADING_LENGTH else ""
