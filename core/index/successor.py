"""The generation after a published one, in which some files have other content and all else is what it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.index.generation import Generation
from core.index.reader import Index
from core.index.staging import Staging
from core.index.writer import NewFile, next_number, now, publish
from core.version import VERSION

DROPPED = "what was staged was made for the generation before and is dropped; build stages it again"


@dataclass(frozen=True, slots=True)
class Succession:
    """`names`: under which name each file of other content lies now; `notes`: what else it brought about."""

    generation: int
    names: Mapping[str, str]
    notes: tuple[str, ...]


def following(base: Generation, number: int, **changes: Any) -> Generation:
    """The generation of that number after `base`, which differs from it in `changes` alone."""
    return replace(base, generation=number, parent=base.generation, created=now(), tool=VERSION, **changes)


def publish_successor(index: Index, others: Mapping[str, bytes | Path]) -> Succession:
    """Publish the generation after the one of `index`, with `others` in the place of the files of these names.

    The caller holds the index for writing. What is staged goes: it was made for another base. Raises OSError.
    """
    generation, new_files, names = _succeed(index, others)
    published, notes = publish_over(index.root, generation, new_files)
    return Succession(published.generation, names, notes)


def publish_over(root: Path, generation: Generation, new_files: list[NewFile]) -> tuple[Generation, tuple[str, ...]]:
    """Publish a generation that was not staged, and drop what is staged for the one before; notes say so. Raises OSError."""
    staging = Staging(root)
    notes = (DROPPED,) if staging.state() is not None else ()
    published = publish(root, generation, new_files)
    staging.clear()
    return published, notes


def _succeed(index: Index, others: Mapping[str, bytes | Path]) -> tuple[Generation, list[NewFile], dict[str, str]]:
    """The next generation as `publish` takes it, its new files, and the new name of each of the `others`.

    Codes and graphs have the generation's number in their names. Postings and vectors are named by their segment alone, so
    theirs gets a new number, and all its other files a second name.
    """
    base, number = index.generation, next_number(index.root)
    renamed = {s.name for s in base.segments for view in base.views if set(s.files(view).values()) & set(others)}
    new_names = {name: f"{number + n:06d}" for n, name in enumerate(sorted(renamed))}
    names: dict[str, str] = {}  # of every file that gets another name
    for segment in base.segments:
        new = replace(segment, name=new_names.get(segment.name, segment.name))
        for view in base.views:
            if new != segment:
                pairs = zip(segment.files(view).values(), new.files(view).values(), strict=True)
                names.update(pairs)
            if (codes := segment.find("codes", view, base.files)) and (new != segment or codes in others):
                names[codes] = new.codes(view, number)
            if (graph := segment.find("hnsw", view, base.files)) and (new != segment or graph in others):
                names[graph] = new.graph(view, number)
    generation = following(
        base,
        number,
        segments=tuple(replace(part, name=new_names.get(part.name, part.name)) for part in base.segments),
        dead={new_names.get(name, name): rows for name, rows in base.dead.items()},
        files={name: digest for name, digest in base.files.items() if name not in names},
    )
    new_files = [NewFile(new, others.get(name, index.root / name)) for name, new in names.items()]
    return generation, new_files, {name: names[name] for name in others}
