"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer


def _remember(ctx: typer.Context, value: bool) -> bool:
    """So that the boundary answers an error in JSON as well."""
    ctx.find_root().obj = {"json": value}
    return value


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout.", callback=_remember, is_eager=True)
]
IndexPath = Annotated[Path, typer.Argument(metavar="INDEX", help="The index directory.", show_default=False)]
To = Annotated[Path, typer.Option("--to", metavar="INDEX", help="The index directory; made when it is not there.")]
Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="Files or folders to read. None: every source the index knows.",
        show_default=False,
    ),
]
NewModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The model of a new index: a name of `samespace models`, a hub name, a folder, or auto: by the documents' language.",
        show_default="auto",
    ),
]
OtherModel = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Use this model instead of the index's own, if it is the same space."),
]
SourceName = Annotated[
    str | None, typer.Option("--name", help="Name of the source, the first part of its documents' ids.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Accept that a source lost all its documents.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 when a file could not be read.")]
Chunker = Annotated[str | None, typer.Option("--chunker", help="recursive, or none: one chunk a document.")]
Size = Annotated[int | None, typer.Option("--size", help="Tokens a chunk, at most.", min=1)]
Overlap = Annotated[int | None, typer.Option("--overlap", help="Tokens a chunk repeats of the one before.", min=0)]
Ann = Annotated[str | None, typer.Option("--ann", help="How vectors are searched: auto, exact, binary or hnsw.")]
Mode = Annotated[str, typer.Option("--mode", help="hybrid, dense or lexical.")]
K = Annotated[int, typer.Option("-k", help="How many hits.", min=1, max=10_000)]
Depth = Annotated[int, typer.Option("--depth", help="Candidates a side before fusion.", min=1, max=100_000)]
FusionName = Annotated[str, typer.Option("--fusion", help="How hybrid joins its sides: auto, weighted or rrf.")]
Alpha = Annotated[
    float | None,
    typer.Option("--alpha", help="Weight of the vectors, 0 to 1; given, the fusion is `weighted`.", show_default="0.7"),
]


def unknown_language(texts: Iterable[str], model: str, languages: Sequence[str]) -> str:
    """What to say when `texts` are mostly in languages that the model does not know; nothing when it knows them."""
    from core.language import language_shares, names_of, unknown

    strange = unknown(language_shares(texts), languages)
    if sum(strange.values()) < 0.5:
        return ""
    return f"the model {model} does not know {names_of(strange)}, so these numbers say little; `samespace models` lists others"


def choose_fusion(fusion: str, alpha: float | None) -> dict[str, Any]:
    """`--alpha` alone means the weighted fusion; `auto` takes it only as its starting point when asked for by name."""
    from core.fusion import DEFAULT_ALPHA

    if alpha is None:
        return {"fusion": fusion, "alpha": DEFAULT_ALPHA}
    return {"fusion": "weighted" if fusion == "auto" else fusion, "alpha": alpha}
