"""samespace repair"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.options import IndexPath, Json, Quiet, Wait
from cli.progress import progress
from cli.render import emit_json, note, say, visible
from core.errors import ExitCode


def repair(
    index: IndexPath,
    untrusted: Annotated[
        bool, typer.Option("--untrusted", help="Make all derived files again, whatever their digests say.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    wait: Wait = 0.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make damaged postings, codes and graphs again from the documents and vectors. Exit 12 when something is lost.

    What cannot be made again is named, with what to do. Nothing that is whole is touched.

    Example: samespace repair sample.index
    """
    from core.repair import repair as repair_index

    with progress() as bar:
        report = repair_index(index, untrusted=untrusted, dry_run=dry_run, wait=wait, progress=bar)
    if json:
        emit_json("repair", {"index": str(index), "dry_run": dry_run, **asdict(report)})
    else:
        for line in report.notes:
            note(line)
        for name, new in report.repaired.items():
            word = "would be made again" if dry_run else "put back" if new == name else f"made again as {new}"
            say(f"{visible(name)}: {visible(word)}")
        for finding in report.lost:
            say(f"error    {visible(finding.message)}")
            say(f"         → {visible(finding.fix)}")
        if report.published:
            say(f"published generation {report.generation}")
        if not report.repaired and not report.lost:
            say("nothing to repair" if not report.notes else "nothing else to repair")
    if report.lost:
        raise typer.Exit(int(ExitCode.CORRUPT))
