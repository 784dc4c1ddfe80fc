"""samespace check"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.options import IndexPath, Json, Quiet
from cli.progress import progress
from cli.render import emit_json, say, visible
from core.errors import ExitCode


def check(
    index: IndexPath,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Read every byte of every generation; trust nothing remembered.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Besides, make a sample again from the documents: chunks, words, vectors.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Check every file of the published generation: digests, sizes, structure. Exit 12 when something is damaged.

    Every finding says what to do. A file that was read whole before and looks unchanged is not read again.

    Example: samespace check sample.index
    """
    from core.check import check as check_index

    with progress() as bar:
        findings = check_index(index, bar, read_data=read_data, deep=deep)
    damaged = any(finding.severity == "error" for finding in findings)
    if json:
        emit_json(
            "check", {"index": str(index), "ok": not damaged, "findings": [asdict(finding) for finding in findings]}
        )
    else:
        for finding in findings:
            say(f"{finding.severity:<7}  {visible(finding.message)}")
            if finding.fix:
                say(f"         → {visible(finding.fix)}")
    if damaged:
        raise typer.Exit(int(ExitCode.CORRUPT))
