"""Any file of a published index, damaged in any way: the same answers or an error that says so, and `check` reports it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from children import ended, value_of
from handmade import QUERIES
from lab import Scene, checked, must, state_of, survived

from core.check import check
from core.errors import SamespaceError
from core.index.reader import Index, reading
from core.pipeline.search import MODES, Search, SearchSettings
from core.types import Query

Damage = Callable[[Path, random.Random, Path], list[Path]]  # of an index's file; returns all that it changed


def _bytes(change: Callable[[bytearray, random.Random], bytes | bytearray]) -> Damage:
    def damage(path: Path, rng: random.Random, root: Path) -> list[Path]:
        path.write_bytes(change(bytearray(path.read_bytes()), rng))
        return [path]

    return damage


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _zero(data: bytearray, rng: random.Random) -> bytearray:
    """A block of zeros, of some size, where a block begins."""
    size = min(rng.choice((64, 512, 4096)), len(data))
    start = rng.randrange(len(data)) // size * size
    end = min(start + size, len(data))
    data[start:end] = bytes(end - start)
    return data


def _cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def _extend(data: bytearray, rng: random.Random) -> bytearray:
    return data + rng.choice((b"\0", b"\n", bytes(data[:512]), bytes(4096)))


def _swap(path: Path, rng: random.Random, root: Path) -> list[Path]:
    """With a file of the same kind: another segment's, or another generation's. Where there is none, with any."""
    others = [other for other in path.parent.iterdir() if other.is_file() and other != path]
    other = rng.choice(others or [other for other in root.rglob("*") if other.is_file() and other != path])
    aside = root.parent / "aside"
    path.rename(aside)
    other.rename(path)
    aside.rename(other)
    return [path, other]


def _remove(path: Path, rng: random.Random, root: Path) -> list[Path]:
    path.unlink()
    return [path]


def _folder(path: Path, rng: random.Random, root: Path) -> list[Path]:
    path.unlink()
    path.mkdir()
    return [path]


DAMAGES: dict[str, Damage] = {
    "a bit": _bytes(_flip), "a block of zeros": _bytes(_zero), "cut short": _bytes(_cut), "made longer": _bytes(_extend),
    "emptied": _bytes(lambda data, rng: b""), "swapped": _swap, "removed": _remove, "a folder": _folder,
}  # fmt: skip


def damaged(scene: Scene, folder: Path, name: str, how: str, rng: random.Random) -> str:
    """The file `name` of the scene's index, damaged; asked, checked, built upon, and put back."""
    root = scene.copied(folder)
    whole = Path(shutil.copytree(root, folder / "whole"))
    changed = [path.relative_to(root) for path in DAMAGES[how](root / name, rng, root)]
    is_whole = all(_content(root / path) == _content(whole / path) for path in changed)
    if "answers" not in scene.kept:
        scene.kept["answers"] = value_of(ended(lambda: _asked(scene, scene.root)))
    right, found = scene.kept["answers"], value_of(ended(lambda: _asked(scene, root)))
    wrong = [key for key, answer in found.items() if answer != "refused" and answer != right[key]]
    must(not wrong, "wrong answers", f"{how} of {name}: {wrong}")
    refused = "refused" in found.values()
    reported = value_of(ended(lambda: _reported(scene, root)))
    must(reported or not refused, "check", f"{how} of {name} is refused by a search and found whole by check")
    named = any(path.as_posix() in _named(scene) for path in changed)
    must(reported or is_whole or not named, "check", f"{how} of {name} is found whole by check")
    is_refused = _build_upon(scene, root) == "refused"
    for path in changed:
        if (root / path).is_dir():
            (root / path).rmdir()
        if is_refused:  # else the next generation does without it
            shutil.copyfile(whole / path, root / path)
    survived(root, scene)
    return "refused" if refused else "the same answers"


def damage(rng: random.Random, scene: Scene, folder: Path) -> str:
    return damaged(scene, folder, rng.choice(scene.needed), rng.choice(list(DAMAGES)), rng)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _named(scene: Scene) -> set[str]:
    """The files that the published generation names: of these `check` must miss nothing."""
    if "named" not in scene.kept:
        scene.kept["named"] = set(reading(scene.root, lambda index: tuple(index.generation.files)))
    return scene.kept["named"]  # type: ignore[no-any-return]


def _asked(scene: Scene, root: Path) -> dict[str, Any]:
    """Every query's answer by itself, and the documents: what was found, or "refused"."""

    def documents(index: Index) -> Any:
        return sorted(repr(segment.document(row)) for segment, row in index.live_documents())

    def query(text: str, mode: Any) -> Callable[[Index], Any]:
        return lambda index: repr(Search(index, SearchSettings(mode=mode)).search(Query("q", text)).hits)

    asked = {f"{mode}: {text}": query(text, mode) for mode in MODES for text in QUERIES}
    answers = {}
    with scene.settings():
        for key, use in {"documents": documents, **asked}.items():
            try:
                answers[key] = reading(root, use)
            except SamespaceError as error:
                must(bool(error.fix and error.path), "crash", f"an error without a path or a way out: {error!r}")
                answers[key] = "refused"
    return answers


def _reported(scene: Scene, root: Path) -> bool:
    try:
        return any(finding.severity == "error" for finding in check(root))
    except SamespaceError:
        return True


def _build_upon(scene: Scene, root: Path) -> str:
    """The next build refuses the damage, or leaves it behind and publishes what is whole."""

    def work() -> str:
        try:
            scene.build(root)
        except SamespaceError:
            return "refused"
        return "done"

    said = str(value_of(ended(work)))
    if said == "done":
        must(state_of(root, scene) == "new", "wrong answers", "built upon damage, and not the new state")
        checked(root, scene, read_data=False)  # an older generation may still be damaged
    return said
