"""Small indexes by the hashing model, and what a reader sees in one. Shared by the suites of the index and its stages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from core.errors import NoIndexError
from core.index import fs
from core.index.generation import Generation, current_line
from core.index.reader import Index, open_index, reading
from core.pipeline.build import BuildReport, build
from core.pipeline.search import Mode, Search, SearchSettings
from core.types import Query

FIRST = {
    "cat.md": "# The cat\n\nThe cat sat on the mat and looked at the river.\n\n猫坐在垫子上。\n",
    "river.txt": "The river bank was muddy after the rain.\n\nA bank of clouds hung over the water.\n",
    "银行.txt": "银行的利率上周又下调了。存款的人并不高兴，他们去了河边散步。\n",
    "sub/python.md": "# Python 3.12\n\n用 venv 建立虚拟环境，再安装依赖 v1.2.3。\n\nThe snake is another python.\n",
    "gone.txt": "This page about thunder will be removed.\n",
}
SECOND = {  # changed, removed, added
    "cat.md": "# The dog\n\nThe dog chased the cat off the mat.\n\n狗把猫赶下了垫子。\n",
    "gone.txt": None,
    "new.txt": "新的一页：河边的银行开门了。The bank opened on a mat by the river.\n",
}
QUERIES = ("cat on the mat", "银行 利率", "the river bank", "python 虚拟环境", "thunder")
Files = Mapping[str, str | bytes | None]


def put(folder: Path, files: Files) -> Path:
    """Write `files` below `folder`; None removes one."""
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def built(root: Path, *sources: Path, **options: object) -> BuildReport:
    return build(root, [str(source) for source in sources], **{"model": "hashing", **options})  # type: ignore[arg-type]


def for_small_segments(patch: pytest.MonkeyPatch) -> None:
    """Codes and graphs for segments of any size, as they would be there for large ones."""
    patch.setattr("core.vectors.plan.WORTH", 1)
    patch.setattr("core.vectors.plan.graph_pays", lambda *sizes: True)


def without_merges(patch: pytest.MonkeyPatch) -> None:
    """Every build leaves a segment of its own, however small, and the dead stay where they are."""
    patch.setattr("core.index.policy.STEP", 0.0)
    patch.setattr("core.index.policy.MOST_DEAD", 1.0)


@dataclass(frozen=True)
class Seen:
    """Everything a reader can learn of an index: its documents, and the answers to some queries."""

    documents: Mapping[str, tuple[str, str, str]]
    answers: tuple[tuple[str, str, tuple[tuple[str, int, str, float], ...]], ...]

    def alike(self, other: Seen) -> bool:
        """The same, but that scores may differ by the 1e-5 that float32 is allowed."""
        if self.documents != other.documents or len(self.answers) != len(other.answers):
            return False
        for (_, _, mine), (_, _, theirs) in zip(self.answers, other.answers, strict=True):
            if [hit[:3] for hit in mine] != [hit[:3] for hit in theirs]:
                return False
            if any(abs(a[3] - b[3]) > 1e-5 for a, b in zip(mine, theirs, strict=True)):
                return False
        return True


def see(index: Index, modes: tuple[Mode, ...] = ("lexical", "hybrid")) -> Seen:
    documents = {}
    for segment, row in index.live_documents():
        document = segment.document(row)
        assert document.id not in documents, f"{document.id} lives twice"
        documents[document.id] = (document.title, document.text, document.sha256)
    answers = []
    for mode in modes:
        search = Search(index, SearchSettings(mode=mode))
        for query in QUERIES:
            hits = search.search(Query("q", query)).hits
            found = tuple((hit.chunk.document_id, hit.chunk.ordinal, hit.chunk.text, hit.score) for hit in hits)
            answers.append((mode, query, found))
    return Seen(documents, tuple(answers))


def seen(root: Path) -> Seen:
    return reading(root, see)


def seen_or_nothing(root: Path) -> Seen | None:
    try:
        return seen(root)
    except NoIndexError:
        return None


def generation(root: Path) -> Generation:
    return open_index(root).generation


def rewritten(root: Path, **changes: object) -> None:
    """The current generation with `changes`, its own digest and CURRENT put right: as an attacker would."""
    current = generation(root)
    data = replace(current, **changes).to_bytes()  # type: ignore[arg-type]
    (root / f"generations/{current.generation:06d}.json").write_bytes(data)
    (root / "CURRENT").write_bytes(current_line(current.generation, hashlib.sha256(data).hexdigest()))


def all_files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def published_files(root: Path) -> set[str]:
    """The files that belong into the index: what every generation so far names, and the three at the top."""
    names = {"samespace.json", "CURRENT", "LOCK"}
    for path in (root / "generations").iterdir():
        names |= {f"generations/{path.name}", *Generation.from_bytes(path.read_bytes(), path).files}
    return names


def at_step(number: int, act: Callable[[], None]) -> Callable[[str, Path], None]:
    """An `on_step` that calls `act` at the `number`-th step (from 0) and counts on."""
    count = 0

    def on_step(step: str, path: Path) -> None:
        nonlocal count
        if count == number:
            count += 1
            act()
        count += 1

    return on_step


def steps_of(work: Callable[[], object]) -> list[str]:
    """The names of the steps that `work` takes."""
    steps: list[str] = []
    before, fs.on_step = fs.on_step, lambda step, path: steps.append(f"{step} {path.name}")
    try:
        work()
    finally:
        fs.on_step = before
    return steps
