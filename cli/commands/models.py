"""samespace models"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import IndexPath, Json
from cli.render import emit_json, fields, note, say, table, visible
from cli.waiting import waiting

if TYPE_CHECKING:
    from core.recommend import Candidate

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)
_SHOWN = 5  # recommendations, when not as JSON


@app.callback()
def models(ctx: typer.Context, json: Json = False) -> None:
    """List the models samespace knows by a short name; any sentence-transformers model works by hub name or folder.

    Example: samespace models
    """
    if ctx.invoked_subcommand:
        return
    from core.config import available, catalogue, find_model

    entries = [{"name": name, **entry, "available": available(find_model(name))} for name, entry in catalogue().items()]
    if json:
        emit_json("models", {"models": entries})
        return
    columns = ("name", "dimension", "max_tokens", "languages", "licence", "available", "about")
    rows = [[e.get(column, "") for column in columns] for e in entries]
    rows = [[" ".join(cell) if isinstance(cell, list) else cell for cell in row] for row in rows]
    table(("name", "dim", "tokens", "languages", "licence", "here", "about"), rows)
    note("any other: --model owner/name (downloaded on first use) or --model FOLDER")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `samespace models`, a hub name, or a folder.")],
    json: Json = False,
) -> None:
    """Show one model, and the space it makes where it is on this machine.

    Example: samespace models show minilm
    """
    from core.models import describe

    described = describe(name)
    if json:
        emit_json("models-show", described.to_json())
        return
    encoder, entry = described.encoder, described.entry
    rows: list[tuple[str, object]] = [("model", described.model.name), ("provider", described.model.provider)]
    keys = ["about", "licence", "hub", "package", "languages", "parameters", "matryoshka"]
    keys += [] if encoder else ["dimension", "max_tokens", "pooling", "prompts"]
    rows += [(key, entry[key]) for key in keys if key in entry]
    rows += [("here", described.here)]
    if encoder:
        identity = encoder.space.to_json()
        rows += [("space", encoder.space.id)]
        rows += [
            (f"  {key}", repr(part) if part == "" or "\n" in str(part) else part) for key, part in identity.items()
        ]
    fields((key, _text(value)) for key, value in rows)
    if described.missing:
        note(f"no space is shown: {described.missing}")
        note(f"  → {described.fix}")


def _text(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and value >= 1_000_000 else value


@app.command()
def recommend(index: IndexPath, json: Json = False) -> None:
    """Rank the models for the documents of an index, with reasons.

    Example: samespace models recommend sample.index
    """
    from core.language import in_words
    from core.recommend import recommend as rank_models

    found = rank_models(index)
    if json:
        emit_json("models-recommend", {"index": str(index), **found.to_json()})
        return
    corpus, own = found.corpus, found.own
    (middle, long), (short, whole) = corpus.tokens, corpus.document_characters
    fields(
        [
            ("documents", f"{corpus.documents:,}, half of them up to {short:,} characters, 95 % up to {whole:,}"),
            ("chunks", f"{corpus.chunks:,}, half of them up to about {middle:,} tokens, 95 % up to {long:,}"),
            ("languages", in_words(corpus.languages) or "no text"),
            ("model", f"{own.name}: {'right for these documents' if own.fits else _why(own)}"),
        ]
    )
    say()
    rows = [(rank, c.name, "yes" if c.fits else "no", _why(c)) for rank, c in enumerate(found.candidates[:_SHOWN], 1)]
    table(("", "name", "fits", "why"), rows)
    note(f"{len(found.candidates) - _SHOWN} more with --json")
    if not own.fits and found.candidates[0].fits:
        note(f"next: samespace build FOLDER --to NEW.index --model {visible(found.candidates[0].name)}")


def _why(candidate: Candidate) -> str:
    return "; ".join(candidate.reasons)


@app.command()
def prepare(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The model; else the one for Chinese and English.")
    ] = None,
    json: Json = False,
) -> None:
    """Do ahead what the first use of a model does: download or unpack it, try it. Done already, it changes nothing.

    Example: samespace models prepare minilm
    """
    from core.models import prepare as make_ready

    with waiting("preparing the model"):
        prepared = make_ready(name)
    folder = str(prepared.folder) if prepared.folder else None
    value = {"model": prepared.model.to_json(), "folder": folder, "space": prepared.space}
    if json:
        emit_json("models-prepare", {**value, "dimension": prepared.dimension, "runtimes": dict(prepared.runtimes)})
        return
    rows = [("model", prepared.model.name), ("folder", folder or "none: it has no files"), ("space", prepared.space)]
    fields([*rows, *((f"for {work}", runtime) for work, runtime in prepared.runtimes.items())])
