"""The analyzer for Chinese, English and mixed text: no dictionary, no model, nothing to load.

Text is folded (NFKC, then case) and cut into runs. A run of Han, Kana, Bopomofo or Hangul gives its characters and its
overlapping pairs, as words are not marked there. Any other run gives its words, stemmed, and is kept whole as well
when it is more than one word: `max_retry_count`, `v1.2.3` and `foo@example.com` are found exactly and by their parts.
Pairs: Nie, Gao, Zhang and Zhou, "On the Use of Words and N-grams for Chinese Information Retrieval" (2000).
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from itertools import chain
from operator import add
from unicodedata import normalize

import Stemmer

from core.lexical import identify
from core.text import folded, nfkc
from core.types import Json

# The default English stop words of Lucene (EnglishAnalyzer.ENGLISH_STOP_WORDS_SET).
_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

# Scripts whose words are not set apart by spaces, or are written as syllables that join freely: all of Han (planes 2
# and 3 hold nothing else), Kana, Bopomofo, Hangul. The middle dot between names (U+30FB) separates.
_DENSE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3041-\u309f\u30a1-\u30fa\u30fc-\u318f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
# Signs that continue a word but are no letters to `re`: Latin, Cyrillic, Hebrew and Arabic marks, Indic vowels.
_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
_JOINTS = "'\u2019_.@/:+#&=?%~-"


class _Patterns:
    """What cuts text into runs, names and words.

    `ascii` leaves out what cannot occur in ASCII text: it compiles ten times as fast, and a query waits for that.
    """

    def __init__(self, ascii: bool):
        self._dense, self._marks = ("", "") if ascii else (_DENSE, _MARKS)
        self.words = re.compile(self._joined("'\u2019"))  # don't, rock'n'roll
        self.names = re.compile(self._joined("'\u2019_.@-"))  # max_retry_count, v1.2.3, foo@example.com, E-1047
        runs = rf"{self._joined(_JOINTS)}(?:\+\+|#)?"  # URLs, code=E-1047, C++
        self.runs = re.compile(runs if ascii else rf"[{_DENSE}]++|{runs}")

    def _joined(self, by: str) -> str:
        """The pattern of letters and digits, joined by these characters; nothing in it can match twice in two ways."""
        letters = rf"[^\W_{self._dense}]++"
        ending = f"[{self._marks}]*+" if self._marks else ""
        return rf"{letters}(?:[{self._marks}{by}]++{letters})*+{ending}"


_patterns = cache(_Patterns)
_DIGIT = re.compile(r"\d")
# iPhone15 -> i Phone 15, HTTPServer -> HTTP Server, but APIs stays: where Lucene's WordDelimiterGraphFilter splits.
_SEAMS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})|(?<=\d)(?=\D)|(?<=\D)(?=\d)")

_LONGEST = 255  # characters of a token, as in Lucene; what follows is cut off
_MOST_PARTS = 6  # a word with more seams is a checksum or a key, whose parts mean nothing
_REMEMBERED = 1 << 16  # runs; some 20 MB


class MixedAnalyzer:
    """The default analyzer. Not to be shared between threads: it remembers what it has met."""

    def __init__(self) -> None:
        self._runs = _Runs()

    @cached_property
    def settings(self) -> Json:
        return {
            "name": "mixed",
            "version": 1,
            "fold": "nfkc+casefold",
            "dense_scripts": "characters+pairs",
            "stemmer": "porter",  # frozen by Snowball, unlike "english", which changes between releases
            "stop_words": sorted(STOP_WORDS),
            "compounds": "run+names+words+seams",
            "longest": _LONGEST,
            "most_parts": _MOST_PARTS,
        }

    @cached_property
    def identity(self) -> str:
        return identify(self.settings)

    def tokens(self, text: str) -> list[str]:
        """See Analyzer. A run of n dense characters gives them and its n - 1 pairs."""
        return list(
            chain.from_iterable(map(self._runs.__getitem__, _patterns(text.isascii()).runs.findall(nfkc(text))))
        )

    def fold(self, text: str) -> str:
        return folded(text).replace("\u2019", "'")

    def required(self, phrase: str) -> list[str]:
        """The pairs of dense runs and the whole words: compounds and parts of words depend on what stands around them."""
        found: list[str] = []
        for run in _patterns(phrase.isascii()).runs.findall(nfkc(phrase)):
            patterns = _patterns(run.isascii())
            if not patterns.words.match(run):
                found += [run] if len(run) == 1 else map(add, run, run[1:])
                continue
            found += [token for word in patterns.words.findall(run) if (token := self._runs.token(word))]
        return list(dict.fromkeys(found))

    def holds(self, text: str, phrase: str) -> bool:
        at = text.find(phrase) if phrase else -1
        while at >= 0:
            if _begins(text, at) and _ends(text, at + len(phrase)):
                return True
            at = text.find(phrase, at + 1)
        return False


def _begins(text: str, at: int) -> bool:
    """Whether no word goes on at this place of a folded text that began before it."""
    sign = _sign()
    if not (sign.match(text, at) or text[at] == "'"):
        return True
    while at and text[at - 1] == "'":  # they join words: the place may be within "don't"
        at -= 1
    return not (at and sign.match(text, at - 1))


def _ends(text: str, at: int) -> bool:
    """Whether no word goes on at this place of a folded text; a genitive's 's belongs to none, where it is the only one."""
    if not (_sign().match(text, at - 1) or text[at - 1] == "'"):
        return True
    genitive = text.startswith("'s", at) and text[at - 1] != "'" and not text.endswith("'s", 0, at)
    return _over(text, at) or (genitive and _over(text, at + 2))


def _over(text: str, at: int) -> bool:
    while text.startswith("'", at):
        at += 1
    return not _sign().match(text, at)


@cache
def _sign() -> re.Pattern[str]:
    """What words consist of where they are marked: letters, digits, and signs that continue them."""
    return re.compile(f"[^\\W_{_DENSE}]|[{_MARKS}]")


class _Runs(dict[str, list[str]]):
    """The tokens of a run. Words come back again and again, so they are remembered: that is most of the speed."""

    def __init__(self) -> None:
        super().__init__()
        self._stem = Stemmer.Stemmer("porter").stemWord

    def __missing__(self, run: str) -> list[str]:
        patterns = _patterns(run.isascii())
        if not patterns.words.match(run):  # then it is of a dense script
            return [*run, *map(add, run, run[1:])]
        tokens = self._split(run, patterns)
        if len(run) <= _LONGEST:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[run] = tokens
        return tokens

    def _split(self, run: str, patterns: _Patterns) -> list[str]:
        tokens = []
        names = patterns.names.findall(run)
        for name in names:
            words = patterns.words.findall(name)
            tokens += [token for word in words for token in map(self.token, _parts(word)) if token]
            if words != [name]:
                tokens.append(_fold(name))
        return tokens if names == [run] else [*tokens, _fold(run)]

    def token(self, word: str) -> str:
        """The token of a word or a part of one; "" for a stop word."""
        word = _fold(word)
        if word in STOP_WORDS:
            return ""
        # Porter's rules are made for words: they would strip "s" to nothing, and alter numbers and codes.
        return self._stem(word) if len(word) > 2 and not _DIGIT.search(word) else word


def _fold(text: str) -> str:
    """One token in the form in which it is compared. NFKC again, as folding case can undo it."""
    return normalize("NFKC", text[:_LONGEST].casefold()).replace("\u2019", "'").removesuffix("'s")


def _parts(word: str) -> list[str]:
    """The word, and what it consists of when its case or digits say so."""
    word = word[:_LONGEST]
    parts = _SEAMS.split(word)
    return [word, *parts] if 1 < len(parts) <= _MOST_PARTS else [word]
