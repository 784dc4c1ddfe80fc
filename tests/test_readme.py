"""The README's tour is run: every `$ samespace …` line of it, in order, in a fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [
    line[2:]
    for block in re.findall(r"<!-- tour[^>]*-->\n```console\n(.*?)```\n<!-- /tour -->", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]


def test_the_tour_shows_every_command() -> None:
    commands = set(re.findall(r"samespace ([a-z-]+)", "\n".join(LINES)))
    assert commands >= {"build", "ingest", "chunk", "embed", "index", "search", "rerank", "eval"}
    assert commands >= {"similar", "verify-space", "info", "check"}
    assert commands >= {"stats", "history", "diff", "rollback", "gc"}


def test_every_line_of_the_tour_works(tmp_path: Path) -> None:
    (tmp_path / "sample_corpus").symlink_to(ROOT / "sample_corpus")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "SAMESPACE_CACHE": str(tmp_path / "cache")}
    for line in LINES:
        command, _, comment = line.partition("#")
        exits = re.search(r"exits (\d+)", comment)
        bash = ["bash", "-o", "pipefail", "-c", command]
        done = subprocess.run(bash, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == (int(exits[1]) if exits else 0), f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr, line
        assert done.stdout.strip() or "--run" in command, line
