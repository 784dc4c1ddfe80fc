"""The README's tour is run: every `$ samespace …` line of it, in order, in a fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [
    line[2:]
    for block in re.findall(r"<!-- tour[^>]*-->\n```console\n(.*?)```\n<!-- /tour -->", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tour")
    (folder / "sample_corpus").symlink_to(ROOT / "sample_corpus")
    return folder


def test_the_tour_shows_every_command() -> None:
    commands = set(re.findall(r"samespace ([a-z-]+)", "\n".join(LINES)))
    assert commands >= {"build", "ingest", "chunk", "embed", "index", "search", "rerank", "eval"}
    assert commands >= {"similar", "verify-space", "info", "check"}


@pytest.mark.xdist_group("tour")
@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:60])
def test_line_of_the_tour(line: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    command, _, comment = line.partition("#")
    expected = int(re.search(r"exits (\d+)", comment)[1]) if "exits" in comment else 0
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "SAMESPACE_CACHE": str(folder / "cache")}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() or "--run" in command
