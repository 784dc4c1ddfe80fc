"""samespace tokens"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json
from cli.render import emit_json, note, one_line, say, table, visible

if TYPE_CHECKING:
    from core.tokens import Cut


def tokens(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text to cut.", show_default=False)],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME", help="The model; give it twice to see where two differ.", show_default="auto"
        ),
    ] = None,
    passage: Annotated[bool, typer.Option("--passage", help="Cut it as a passage; else as a query.")] = False,
    json: Json = False,
) -> None:
    """Show how a model cuts a text into tokens: pieces, ids, special tokens, and what is more than it takes.

    Example: samespace tokens "iPhone 15 的价格" --model minilm --model multilingual-e5-small-q4
    """
    from core.config import AUTO, choose_model, open_encoder
    from core.errors import UsageError
    from core.tokens import tokens as cut

    names = model or [AUTO]
    if len(names) > 2:
        raise UsageError("more than two models cannot be compared", fix="give --model once or twice")
    encoders = [open_encoder(choose_model([text]) if name == AUTO else name) for name in names]
    cuts = [cut(text, encoder, "passage" if passage else "query") for encoder in encoders]
    if json:
        emit_json("tokens", {"text": text, "models": [one.to_json() for one in cuts]})
        return
    for one in cuts:
        _show(one)
    if len(cuts) == 2:
        _compare(text, *cuts)


def _show(one: Cut) -> None:
    say(f"{one.model}: {len(one.tokens)} tokens, at most {one.max_tokens}")
    say("  " + " ".join(visible(token.piece) for token in one.tokens))
    say("  " + " ".join(str(token.id) for token in one.tokens))
    if one.cut_off:
        note(f"{one.model} does not see the last {one.cut_off} of them")


def _compare(text: str, a: Cut, b: Cut) -> None:
    from core.tokens import differing

    rows = [
        (
            one_line(part.text),
            "=" if part.equal else "≠",
            *(" ".join(visible(t.piece) for t in side) for side in (part.here, part.there)),
        )
        for part in differing(text, a, b)
    ]
    say()
    table(("text", "", a.model, b.model), rows)
