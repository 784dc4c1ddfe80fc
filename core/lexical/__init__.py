"""Lexical search: an analyzer turns text into tokens, postings count them, BM25 scores the counts at query time.

Nothing here imports more than NumPy and the stemmer, so a lexical query starts as fast as the process does.
"""

from __future__ import annotations

from typing import Protocol

from core.canonical import make_id
from core.registry import Registry
from core.types import Json


class Analyzer(Protocol):
    """Text to tokens, the same for documents and queries."""

    @property
    def settings(self) -> Json:
        """Everything that decides tokens, as JSON: the analyzer's name, its version, its options."""

    @property
    def identity(self) -> str:
        """`identify(self.settings)`; names the folder of the postings that were made with it."""

    def tokens(self, text: str) -> list[str]:
        """The tokens of any text, in order, repeats kept: never empty, no white space, no lone surrogates.

        Takes time linear in the text and raises nothing; a text without words gives [].
        """

    def fold(self, text: str) -> str:
        """`text` in the form in which phrases are compared: what the tokens do not tell apart but for their stems."""

    def required(self, phrase: str) -> list[str]:
        """Tokens that every text has which `holds` the phrase; [] where no token is certain."""

    def holds(self, text: str, phrase: str) -> bool:
        """Whether a text holds a phrase, both folded: whole words of it, and any characters where words are not marked."""


def identify(settings: Json) -> str:
    """ "a-" and 16 hex digits that stand for the settings."""
    return make_id("a", settings)


ANALYZERS = Registry("analyzer", {"mixed": "core.lexical.mixed:MixedAnalyzer"})
