"""samespace check"""

from __future__ import annotations

from dataclasses import asdict

import typer

from cli.options import IndexPath, Json
from cli.progress import progress
from cli.render import emit_json, say, visible
from core.errors import ExitCode


def check(index: IndexPath, json: Json = False) -> None:
    """Check every file of the published generation: digests, sizes, structure. Exit 12 when something is damaged.

    Example: samespace check sample.index
    """
    from core.check import check as check_index

    with progress() as bar:
        findings = check_index(index, bar)
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
