"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from cli.render import be_quiet


def _remember(ctx: typer.Context, value: bool) -> bool:
    """So that the boundary answers an error in JSON as well."""
    ctx.find_root().obj = {"json": value}
    return value


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout.", callback=_remember, is_eager=True)
]


def _quiet(value: bool) -> bool:
    be_quiet(value)
    return value


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Say nothing but errors and files that failed; --json still prints its object.",
        callback=_quiet,
        is_eager=True,
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        help="Wait so long for another writer to finish.",
        min=0.0,
        show_default=False,
    ),
]
IndexPath = Annotated[Path, typer.Argument(metavar="INDEX", help="The index directory.", show_default=False)]
GenerationWord = Annotated[
    str, typer.Argument(metavar="GEN", help="A generation: its number, or current.", show_default=False)
]
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
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="The model of a new index is behind a server that speaks this provider's way: openai. The texts are sent to it.",
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="The server of the model, up to /embeddings; a key only in SAMESPACE_API_KEY or OPENAI_API_KEY.",
    ),
]
Dimensions = Annotated[
    int | None, typer.Option("--dimensions", help="Ask the server for vectors of so many.", min=1, max=1 << 16)
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

Literal = Annotated[
    bool, typer.Option("--literal", help="Take the query as text: quotation marks, -word and path: mean nothing.")
]
MaxPerDocument = Annotated[
    int | None, typer.Option("--max-per-document", metavar="N", help="At most N chunks of a document.", min=1)
]
Fold = Annotated[
    bool | None,
    typer.Option(
        "--fold/--no-fold",
        help="Fold near-duplicates into the best of them, and say how many.",
        show_default="fold where people read, not with --json, --run or --queries",
    ),
]
Mmr = Annotated[
    float | None,
    typer.Option(
        "--mmr",
        metavar="WEIGHT",
        help="Diversity: the weight of relevance against likeness to the hits before.",
        min=0,
        max=1,
    ),
]
Passages = Annotated[bool, typer.Option("--passages", help="Join hits that are neighbours in their document.")]


def add_no_wait(command: Any) -> None:
    """Give a command that has `--wait` its default by name, `--no-wait`: of the two, the later one counts."""

    def forget(ctx: Any, option: Any, asked: bool) -> None:
        if asked:
            ctx.params["wait"] = 0.0

    names = [option.name for option in command.params]
    if "wait" in names:
        no_wait = TyperOption(
            param_decls=["--no-wait"],
            is_flag=True,
            expose_value=False,
            callback=forget,
            help="Do not wait for another writer: exit 11 at once.",
        )
        command.params.insert(names.index("wait") + 1, no_wait)


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


def named_model(
    model: str | None, provider: str | None, base_url: str | None, dimensions: int | None
) -> dict[str, Any]:
    """The arguments `model` and `base_url` of the core's functions. The catalogue is not read where it is not needed."""
    if provider is None and base_url is None and dimensions is None:
        return {"model": model, "base_url": None}
    from core.config import name_model, name_server

    url = None if base_url is None else name_server(base_url)
    return {"model": name_model(model, provider, url, dimensions), "base_url": url}
