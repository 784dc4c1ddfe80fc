"""What all readers share: characters that never survive, titles, and which characters are written without spaces."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from core.sources import Empty, Text

TITLE_LENGTH = 120

_NEVER = re.compile("[\0\ud800-\udfff]")
_CJK = "\u2e80-\u30ff\u3100-\u312f\u31a0-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
CJK = re.compile(f"[{_CJK}]")


def clean(text: str) -> str:
    """`text` without NULs and lone surrogates, its lines ended by "\\n" alone."""
    return _NEVER.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def is_cjk(character: str) -> bool:
    """Is this a character of a script that puts no spaces between words (Chinese, Japanese; not Korean)?"""
    return CJK.match(character) is not None


def stem(name: str) -> str:
    return clean(PurePosixPath(name).stem).strip() or "untitled"


def finish(title: str, text: str, name: str, **meta: Any) -> Text:
    """A reader's result; a file without a title of its own is called by its stem. Raises Empty."""
    if not text or text.isspace():
        raise Empty
    line = " ".join(clean(title).split())[:TITLE_LENGTH].rstrip()
    return Text(line or stem(name), text, meta)
