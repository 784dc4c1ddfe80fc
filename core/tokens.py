"""tokens: how a model cuts a text, and where two models differ. Loads a tokenizer, no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from core.encoders import Encoder, Token
from core.types import Side


@dataclass(frozen=True, slots=True)
class Cut:
    """One model's tokens of a text, prompt and special tokens included; `cut_off` of them are more than the model takes."""

    model: str
    tokens: tuple[Token, ...]
    max_tokens: int

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
    return Cut(encoder.model.name, tuple(encoder.tokens(text, side)), encoder.space.max_tokens)


def differing(a: Sequence[Token], b: Sequence[Token]) -> list[tuple[Sequence[Token], Sequence[Token], bool]]:
    """Both cuts side by side, in runs that are equal (by piece) and runs that are not."""
    matcher = SequenceMatcher(None, [one.piece for one in a], [one.piece for one in b], autojunk=False)
    return [(a[i:j], b[k:n], tag == "equal") for tag, i, j, k, n in matcher.get_opcodes()]
