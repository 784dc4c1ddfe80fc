"""Small facts about text that more than one layer needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize

HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
LETTER = re.compile(r"[^\W\d_]")
_PIECE = 1024  # NFKC takes quadratic time over a run of combining marks, so it sees this many characters at once


def encodable(text: str) -> str:
    """`text` with a question mark for each lone surrogate (a shell's argument that was no UTF-8): as long as before."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def nfkc(text: str) -> str:
    """NFKC, in linear time."""
    if text.isascii():
        return text
    return "".join(normalize("NFKC", text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))


def folded(text: str) -> str:
    """`text` without what one does not see or mean when comparing: forms of characters, case, white space. NFKC again, as
    folding case can undo it."""
    return " ".join(nfkc(nfkc(text).casefold()).split())


def han_share(text: str) -> float:
    """The share of Han characters among the letters of `text`; 0 when it has no letters."""
    letters = len(LETTER.findall(text))
    return len(HAN.findall(text)) / letters if letters else 0.0


def language_share(text: str, languages: Sequence[str]) -> float:
    """How much of `text` a model of these languages can know by its script: 1 when they are not known or many.

    Only Chinese and everything else are told apart: that is the difference which makes vectors meaningless.
    """
    if not languages or "multilingual" in languages or "zh" in languages:
        return 1.0
    return 1.0 - han_share(text)
