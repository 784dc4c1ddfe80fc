"""samespace models"""

from __future__ import annotations

import typer

from cli.options import Json
from cli.render import emit_json, fields, note, table

app = typer.Typer(help="The models samespace knows by a short name.", invoke_without_command=True, rich_markup_mode=None)


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
        (e["name"], e.get("dimension", ""), e.get("max_tokens", ""), " ".join(e.get("languages", ())), e["available"], e.get("about", ""))
        for e in entries
    ]
    table(("name", "dim", "tokens", "languages", "here", "about"), rows)
    note("any other: --model owner/name (downloaded on first use) or --model FOLDER")


@app.command()
def show(name: str = typer.Argument(help="A name of `samespace models`, a hub name, or a folder."), json: Json = False) -> None:
    """Show one model and the space it makes.

    Example: samespace models show minilm
    """
    from core.config import catalogue, open_encoder

    encoder = open_encoder(name)
    value = {
        "model": encoder.model.to_json(),
        "catalogue": dict(catalogue().get(encoder.model.name, {})),
        "space": encoder.space.id,
        "identity": encoder.space.to_json(),
        "metric": encoder.metric,
    }
    if json:
        emit_json("models show", value)
        return
    rows: list[tuple[str, object]] = [("model", encoder.model.name), ("provider", encoder.model.provider)]
    rows += [(key, part) for key, part in catalogue().get(encoder.model.name, {}).items() if key in ("about", "licence", "hub")]
    rows += [("space", encoder.space.id), *((f"  {key}", repr(part) if part == "" else part) for key, part in value["identity"].items())]  # type: ignore[union-attr]
    fields(rows)
