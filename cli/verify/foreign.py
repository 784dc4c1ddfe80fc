"""verify-space on vectors that another tool wrote: what it asks for, and how the answer is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.render import emit_json, fields, note, say, table, typed
from cli.waiting import waiting
from core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from core.foreign import Foreign
    from core.foreign.verify import ForeignVerdict
    from core.pipeline.foreign import Identification

Vectors = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Instead of an index: vectors of another tool. .npy, .npz, .safetensors, .parquet, a file of hnswlib, FAISS or llm, "
        "a folder of Chroma or LanceDB.",
    ),
]
TextsFile = Annotated[
    Path | None,
    typer.Option(
        "--texts", metavar="FILE", help="Their texts, one a row: JSON lines, or a .txt. Left out: those of the store."
    ),
]
Identify = Annotated[
    bool,
    typer.Option("--identify", help="With --vectors: ask every model of this machine; exit 1 when it is none of them."),
]
Format = Annotated[
    str | None, typer.Option("--format", metavar="NAME", help="With --vectors: the format, where it is not seen.")
]
Collection = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --vectors: the collection or table, where there are several.")
]
Column = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --vectors: the array or column, where there are several.")
]


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that belong to --vectors."""

    vectors: Path | None
    texts: Path | None
    identify: bool
    format: str | None
    collection: str | None
    column: str | None
    sample: int | None
    seed: int | None

    def check(self, index: Path | None) -> None:
        """Raises UsageError unless they ask for one thing: an index, or foreign vectors."""
        if self.vectors is not None and index is not None:
            raise UsageError("INDEX and --vectors were both given", fix="name one of them")
        given = [name for name in ("texts", "identify", "format", "collection", "column") if self._has(name)]
        if self.vectors is None and given:
            raise UsageError(f"--{given[0]} belongs to --vectors", fix="name the vectors: --vectors PATH")
        if self.vectors is None and index is None:
            raise UsageError("nothing to verify was named", fix="name an INDEX, or --vectors PATH")

    def _has(self, name: str) -> bool:
        return getattr(self, name) not in (None, False)


def answer_foreign(asked: Asked, model: str | None, json: bool) -> None:
    """Show the verdict on `model`, or which model it was. Raises SpaceMismatchError when it is refused."""
    from core.foreign import Choice, open_foreign
    from core.foreign.verify import SAMPLE, SEED
    from core.pipeline.foreign import identify, verify_foreign

    assert asked.vectors is not None
    if model is None and not asked.identify:
        raise UsageError("with which model?", fix="--model NAME, or --identify to ask every model of this machine")
    sample, seed = asked.sample or SAMPLE, SEED if asked.seed is None else asked.seed
    choice = Choice(asked.collection, asked.column)
    foreign = open_foreign(asked.vectors, texts=asked.texts, kind=asked.format, choice=choice)
    with waiting("embedding a sample of the texts"):
        if asked.identify:
            found = identify(foreign, [model] if model else [], sample=sample, seed=seed)
            verdict = found.verdict
        else:
            found, verdict = None, verify_foreign(foreign, model or "", sample=sample, seed=seed)
    if not json:
        _show(foreign, verdict, found)
    _end(foreign, verdict, found, json)


def _end(foreign: Foreign, verdict: ForeignVerdict | None, found: Identification | None, json: bool) -> None:
    """The exit code, and before it the one object on stdout. Raises SpaceMismatchError, typer.Exit."""
    from core.pipeline.foreign import mismatch, none_of_them

    if verdict is not None and not verdict.accepted:
        raise mismatch(foreign, verdict)
    if json:
        about: dict[str, object] = {
            "vectors": foreign.path,
            "format": foreign.kind,
            "metric": foreign.metric,
            "notes": list(foreign.notes),
            "rows": len(foreign.vectors),
            "dimension": foreign.vectors.shape[1],
        }
        said = {"accepted": False} if verdict is None else verdict.to_json()
        emit_json("verify-space", {**about, **said, **(found.to_json() if found else {})})
    if verdict is not None:
        note(f"accepted: {verdict.summary}")
    elif found is not None:
        error = none_of_them(foreign, found)
        note(f"{error.message}\n  → {error.fix}")
        raise typer.Exit(int(ExitCode.NO))


def _show(foreign: Foreign, verdict: ForeignVerdict | None, found: Identification | None) -> None:
    rows, dimension = foreign.vectors.shape
    about: list[tuple[str, object]] = [
        ("vectors", f"{typed(foreign.path)} ({foreign.kind}): {rows:,} rows of {dimension:,} dimensions")
    ]
    about += [("", line) for line in foreign.notes]
    if verdict is not None:
        least, most, models_least, models_most = verdict.lengths
        how = f"prompt {verdict.prompt!r}" if verdict.prompt else "no prompt"
        about += [
            ("model", f"{verdict.model} ({verdict.runtime})"),
            ("embedded as", how + (", titles before the texts" if verdict.titles else "")),
            ("sample", f"{verdict.agreeing:,} of {verdict.sampled:,} rows agree, mean cosine {verdict.mean_cosine:.6f}, "
             f"worst distance {verdict.worst_distance:.2e} (allowed {verdict.tolerance:g})"),
            ("lengths", f"{least:.4f} to {most:.4f}; by the model {models_least:.4f} to {models_most:.4f}"),
        ]  # fmt: skip
    fields(about)
    if found is not None:
        say()
        ranked = [
            (n, one.model, f"{one.agreeing}/{one.sampled}", f"{one.mean_cosine:.6f}", f"{one.worst_distance:.1e}")
            for n, one in enumerate(found.ranking, 1)
        ]
        out = [("", name, why, "", "") for name, why in found.ruled_out.items()]
        table(("", "model", "agree", "mean cosine", "worst"), [*ranked, *out])
