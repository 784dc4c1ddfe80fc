"""What is typed into a search box: words, and operators that stand at the beginning of a word.

    "exact phrase"      a hit must hold it; also “…”, 「…」 and 『…』
    -word  -"a phrase"  a hit must not hold it
    path:docs  type:md  language:zh  date:>2025-06      what the hit's document must be; -type:pdf: must not be

Everything else is text: `e-mail`, `-5`, `C++:`, `12:30`, `http://…`, a quotation mark that nothing closes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from core.types import Json

FIELDS = ("path", "type", "language", "date")
_CLOSING = {'"': '"', "“": "”", "「": "」", "『": "』"}
_OPERATOR = re.compile(rf"(-?)(?:({'|'.join(FIELDS)})[:：])?")
_WORD = re.compile(r"\S+")
_SPACE = re.compile(r"\s*")
_STOPS = ".,;!?，。；！？、"  # they end a sentence, not a word that is to be left out


@dataclass(frozen=True, slots=True)
class Excluded:
    """What a hit must not hold. A `quoted` one is meant to the letter, a word in all its forms."""

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """What a hit's document must be, or must not be."""

    field: str
    value: str
    excluded: bool = False

    def __str__(self) -> str:
        return f"{'-' if self.excluded else ''}{self.field}:{self.value}"


@dataclass(frozen=True, slots=True)
class Parsed:
    """`text` is what is looked for by words and by meaning: all that was typed, without operators; a phrase's words stay."""

    text: str
    phrases: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    filters: tuple[Filter, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def operators(self) -> int:
        return len(self.phrases) + len(self.excluded) + len(self.filters)

    def to_json(self) -> Json:
        return {
            "text": self.text,
            "phrases": list(self.phrases),
            "excluded": [term.text for term in self.excluded],
            "filters": [str(one) for one in self.filters],
        }


def parse(typed: str) -> Parsed:
    """Raises nothing and takes linear time. A text without operators comes back as it is."""
    reader = _Reader(typed)
    reader.read()
    phrases, excluded = tuple(dict.fromkeys(reader.phrases)), tuple(dict.fromkeys(reader.excluded))
    filters = tuple(dict.fromkeys(reader.filters))
    text = " ".join("".join(reader.text).split()) if phrases or excluded or filters else typed
    notes = ("a quotation mark is not closed, so it was taken as text",) if reader.unclosed else ()
    return Parsed(text, phrases, excluded, filters, notes)


@dataclass(slots=True)
class _Reader:
    typed: str
    text: list[str] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    unclosed: set[str] = field(default_factory=set)  # quotation marks after which nothing closes: not looked for again

    def read(self) -> None:
        at = 0
        while at < len(self.typed):
            if match := _SPACE.match(self.typed, at):
                self.text.append(match[0])
                at = match.end()
            at = self._operator(at) or self._word(at)

    def _word(self, at: int) -> int:
        match = _WORD.match(self.typed, at)
        self.text.append(match[0] if match else "")
        return match.end() if match else len(self.typed)

    def _operator(self, at: int) -> int:
        """Where the operator ends that begins here; 0 where none does."""
        match = _OPERATOR.match(self.typed, at)
        assert match is not None  # it matches nothing, too
        minus, name, after = match[1] == "-", match[2], match.end()
        value, end = self._quoted(after)
        quoted = bool(value)
        if not quoted and (name or (minus and self.typed[after : after + 1].isalpha())):
            word = _WORD.match(self.typed, after)
            value, end = (word[0], word.end()) if word else ("", 0)
        if not value:
            return 0
        if name:
            self.filters.append(Filter(name, value, minus))
        elif minus:
            self.excluded.append(Excluded(value if quoted else value.rstrip(_STOPS), quoted))
        elif quoted:
            self.phrases.append(value)
            self.text.append(value)
        else:
            return 0
        if (
            quoted and end < len(self.typed) and not self.typed[end].isspace()
        ):  # what adjoins the quotation mark is text
            self.text.append(" " if self.typed[end].isalnum() else "")
            end = self._word(end)
        return end

    def _quoted(self, at: int) -> tuple[str, int]:
        """What stands in the quotation marks that open here, and where they are closed; nothing where that is nothing."""
        opening = self.typed[at : at + 1]
        closing = _CLOSING.get(opening)
        if closing is None or opening in self.unclosed:
            return "", 0
        end = self.typed.find(closing, at + 1)
        if end < 0:
            self.unclosed.add(opening)
            return "", 0
        return self.typed[at + 1 : end].strip(), end + 1
