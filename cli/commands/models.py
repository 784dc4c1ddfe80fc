"""samespace models"""

from __future__ import annotations

import typer

from cli.options import Json
from cli.render import emit_json, fields, note, table

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def models(ctx: typer.Context, json: Json = False) -> None:
    """List the models samespace knows by a short name; any sentence-transformers model works by hub name or folder.

    Example: samespace models
    """
    if ctx.invoked_subcommand:
        return
    from core.config import available, catalogue

    entries = [{"name": name, **entry, "available": available(name)} for name, entry in catalogue().items()]
    if json:
        emit_json("models", {"models": entries})
        return
    rows = [
        (
            e["name"],
            e.get("dimension", ""),
            e.get("max_tokens", ""),
            " ".join(e.get("languages", ())),
            e["available"],
            e.get("about", ""),
        )
        for e in entries
    ]
    table(("name", "dim", "tokens", "languages", "here", "about"), rows)
    note("any other: --model owner/name (downloaded on first use) or --model FOLDER")


@app.command()
def show(
    name: str = typer.Argument(metavar="NAME", help="A name of `samespace models`, a hub name, or a folder."),
    json: Json = False,
) -> None:
    """Show one model and the space it makes.

    Example: samespace models show minilm
    """
    from core.config import catalogue, open_encoder

    encoder = open_encoder(name)
    identity, entry = encoder.space.to_json(), dict(catalogue().get(encoder.model.name, {}))
    if json:
        value = {"model": encoder.model.to_json(), "catalogue": entry, "space": encoder.space.id, "identity": identity}
        emit_json("models-show", {**value, "metric": encoder.metric})
        return
    rows: list[tuple[str, object]] = [("model", encoder.model.name), ("provider", encoder.model.provider)]
    rows += [(key, entry[key]) for key in ("about", "licence", "hub") if key in entry]
    rows += [("space", encoder.space.id)]
    rows += [(f"  {key}", repr(part) if part == "" or "\n" in str(part) else part) for key, part in identity.items()]
    fields(rows)
