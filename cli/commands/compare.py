"""samespace compare"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Alpha, Depth, FusionName, Json, Mode, choose_fusion
from cli.progress import progress
from cli.render import emit_json, fields, note, number, say, visible

if TYPE_CHECKING:
    from core.evaluate.rankings import Comparison, Judged
    from core.pipeline.evaluate import Side


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="An index directory, or a TREC run.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='What indexes are asked: a line each, {"_id": "q1", "text": "…"}.'),
    ] = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="Judgements: say who wins how often.")] = None,
    metric: Annotated[str, typer.Option(help="What decides a win, by ir-measures' name.")] = "nDCG@10",
    k: Annotated[int, typer.Option("-k", help="How many documents count for the overlap.", min=1, max=10_000)] = 10,
    most: Annotated[int, typer.Option(help="How many of the queries that changed most are shown.", min=0)] = 5,
    mode: Mode = "hybrid",
    fusion: FusionName = "auto",
    alpha: Alpha = None,
    depth: Depth = 200,
    json: Json = False,
) -> None:
    """Compare two rankings of the same queries: overlap, rank correlation, what changed most, who wins by judgements.

    Rank-biased overlap weighs the first ranks most (p = 0.9); Kendall's tau is of the documents that both found.

    Example: samespace compare sample.index sample.index --queries sample_corpus/queries.jsonl
    """
    from core.evaluate import depth_of, parse_metrics, read_qrels
    from core.evaluate.rankings import compare_runs
    from core.pipeline.evaluate import rank_sides
    from core.pipeline.search import SearchSettings, read_queries

    deep = max(k, depth_of(parse_metrics([metric])))
    judgements = read_qrels(qrels) if qrels else []
    asked = read_queries(queries) if queries else None
    settings = SearchSettings(mode=mode, k=deep, depth=depth, unit="document", **choose_fusion(fusion, alpha))  # type: ignore[arg-type]
    with progress() as bar:
        sides = rank_sides([a, b], settings, asked, {qrel.document_id for qrel in judgements}, bar)
    found = compare_runs(sides[0].run, sides[1].run, k, judgements, metric)
    if json:
        emit_json("compare", _json(sides, found))
    else:
        _show(found, most)


def _json(sides: list[Side], found: Comparison) -> dict[str, Any]:
    names = [{"path": str(side.path), "generation": side.generation, "space": side.space} for side in sides]
    return {
        "a": names[0],
        "b": names[1],
        "k": found.k,
        "queries": len(found.changes),
        "only_a": found.only_a,
        "only_b": found.only_b,
        "overlap": found.overlap,
        "rbo": found.rbo,
        "tau": found.tau,
        "judged": None if found.judged is None else asdict(found.judged),
        "changes": [asdict(change) for change in found.changes],
    }


def _show(found: Comparison, most: int) -> None:
    tau = "no two documents in common" if found.tau is None else number(found.tau)
    rows: list[tuple[str, object]] = [
        ("queries", len(found.changes)),
        (f"overlap@{found.k}", number(found.overlap)),
        ("rank-biased overlap", number(found.rbo)),
        ("Kendall's tau", tau),
    ]
    fields(rows + (_judged(found.judged) if found.judged else []))
    changed = [change for change in found.changes if change.rbo < 1 - 1e-9]
    say(f"{len(changed)} queries are ranked differently")
    for change in changed[:most]:
        say(f"\n{visible(change.query)}  overlap {number(change.overlap)}, rank-biased {number(change.rbo)}")
        for name, ids in (("A", change.a), ("B", change.b)):
            say(f"  {name}  {', '.join(map(visible, ids)) or 'nothing'}")
    for name, count in (("A", found.only_a), ("B", found.only_b)):
        if count:
            note(f"{count:,} queries are only in {name}; they are not compared")


def _judged(judged: Judged) -> list[tuple[str, object]]:
    difference = judged.difference
    return [
        (judged.metric, f"A {number(judged.a)}, B {number(judged.b)} over {judged.queries} judged queries"),
        (
            "B - A",
            f"{difference.mean:+.4f}, 95 % {difference.low:+.4f} … {difference.high:+.4f}, p {number(difference.p)}",
        ),
        ("B against A", f"{judged.b_wins} won, {judged.ties} equal, {judged.a_wins} lost"),
    ]
