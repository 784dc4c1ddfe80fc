"""The command line as the tests use it: in this process through Typer's runner, or as a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("samespace")
SAMPLE = ROOT / "sample_corpus"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout. Fails when there is anything else."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


def samespace(*words: object, input: str | bytes | None = None) -> Done:
    """Run a command in this process. What the boundary lets through is raised here, as a traceback would be shown."""
    result = CliRunner().invoke(app, [str(word) for word in words], input=input, catch_exceptions=False)
    assert "Traceback" not in result.output
    return Done(result.exit_code, result.stdout, result.stderr)


def ok(*words: object, input: str | bytes | None = None) -> Done:
    done = samespace(*words, input=input)
    assert done.code == 0, done.all
    return done


def spawn(*words: object, **options: Any) -> subprocess.Popen[Any]:
    """The same as a process. Its output comes as bytes through pipes unless told otherwise."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([str(PROGRAM), *map(str, words)], **options)


def python(code: str, *words: object) -> Done:
    """Python code in a fresh process, with `words` as its arguments."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, timeout=120, cwd=ROOT, env={**os.environ}
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def digest_of(folder: Path) -> str:
    """A digest of every name and byte below `folder`, but for the lock, which says only who wrote last."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.name != "LOCK":
            total.update(f"{path.relative_to(folder)}\0".encode())
            total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()
