"""tokens: how a model cuts a text, and where two models differ. Loads a tokenizer, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.encoders import Encoder, Token
from core.types import Side


@dataclass(frozen=True, slots=True)
class Cut:
    """One model's tokens of a text, prompt and special tokens included; `cut_off` of them are more than the model takes.
    `prompt`: characters that stand before the text."""

    model: str
    tokens: tuple[Token, ...]
    max_tokens: int
    prompt: int = 0

    @property
    def cut_off(self) -> int:
        return max(0, len(self.tokens) - self.max_tokens)

    def to_json(self) -> dict[str, Any]:
        tokens = [
            {"id": one.id, "token": one.piece, "start": one.start, "end": one.end, "special": one.special}
            for one in self.tokens
        ]
        return {
            "model": self.model,
            "count": len(tokens),
            "max_tokens": self.max_tokens,
            "cut_off": self.cut_off,
            "tokens": tokens,
        }


def tokens(text: str, encoder: Encoder, side: Side = "query") -> Cut:
    """How `encoder` cuts `text`. Raises UsageError for a model whose tokenizer is not here."""
    space = encoder.space
    prompt = space.query_prompt if side == "query" else space.passage_prompt
    return Cut(encoder.model.name, tuple(encoder.tokens(text, side)), space.max_tokens, len(prompt))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the text that both models cut out of it, or several (`equal`) tokens at the same places; special tokens and
    prompts left out."""

    text: str
    here: tuple[Token, ...]
    there: tuple[Token, ...]

    @property
    def equal(self) -> bool:
        return len(self.here) == len(self.there) == 1


def differing(text: str, here: Cut, there: Cut) -> list[Stretch]:
    """`text` in the shortest stretches at whose ends both models have a boundary."""
    mine, theirs = (_own(cut) for cut in (here, there))
    common = sorted({end for _, end, _ in mine} & {end for _, end, _ in theirs} | {len(text)})
    found: list[Stretch] = []
    start = 0
    for end in common:
        parts = (tuple(token for a, b, token in side if start <= a and b <= end and b > a) for side in (mine, theirs))
        found.append(Stretch(text[start:end], *parts))
        start = end
    return [stretch for stretch in found if stretch.here or stretch.there]


def _own(cut: Cut) -> list[tuple[int, int, Token]]:
    """The tokens of the text itself, with their places in it."""
    own = (token for token in cut.tokens if not token.special and token.end > cut.prompt)
    return [(max(0, token.start - cut.prompt), token.end - cut.prompt, token) for token in own]
