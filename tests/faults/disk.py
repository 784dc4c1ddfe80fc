"""A disk that loses what was not synced: a build is recorded, and replayed up to any moment at which the power fails.

A file's content is safe once the file was synced, a name once its folder was. Of the rest nothing is promised: content
is lost, halved, zeroed or there; each folder has taken up none, some or all of its changes since, in their order.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = tuple[Any, ...]  # (what, name[, other name or content]); names are relative to the recorded folder
DATA = ("lost", "halved", "zeroed", "kept", "any")
NAMES = ("old", "new", "any")
_DESCRIPTORS = {"os.link": 2, "os.rename": 2, "os.remove": 1, "os.mkdir": 2, "os.rmdir": 1}  # where their dir_fd stands


def record(work: Callable[[], object], folder: Path) -> list[Event]:
    """Every change that `work` makes below `folder`. Call it in a child: what listens cannot be taken away again."""
    folder = folder.resolve()
    events: list[Event] = []
    synced: set[tuple[int, int]] = set()  # files elsewhere
    is_on = True

    def name_of(path: Any) -> str | None:
        path = Path(os.path.abspath(os.fsdecode(path)))
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else None

    def behind(descriptor: int) -> Path | None:
        asked = os.fstat(descriptor)
        return next((path for path in (folder, *folder.rglob("*")) if os.path.samestat(path.lstat(), asked)), None)

    def listen(event: str, args: tuple[Any, ...]) -> None:
        if not is_on or (event != "open" and event not in _DESCRIPTORS) or isinstance(args[0], int):
            return
        if event == "open":
            name = name_of(args[0])
            if name is not None and args[2] & (os.O_WRONLY | os.O_RDWR):
                events.append(("open", name, bool(args[2] & os.O_EXCL)))
            return
        if (descriptor := args[_DESCRIPTORS[event]]) != -1:
            if behind(descriptor) is None:
                return
            raise NotImplementedError(f"{event} in a folder's descriptor cannot be replayed")
        names = [name_of(path) for path in args[: 2 if event in ("os.link", "os.rename") else 1]]
        if None not in names:
            events.append((event, *names))
        elif event == "os.link" and names[1] is not None:
            source = os.stat(args[0])
            if source.st_dev == folder.stat().st_dev:  # else it fails
                is_synced = (source.st_dev, source.st_ino) in synced
                events.append(("link in", names[1], Path(args[0]).read_bytes(), is_synced))
        elif any(names):
            raise NotImplementedError(f"{event} from or to another place cannot be replayed")

    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal is_on
        real(descriptor)
        is_on = False
        if path := behind(descriptor):
            content = None if path.is_dir() else path.read_bytes()
            events.append(("sync", path.relative_to(folder).as_posix(), content))
        else:
            asked = os.fstat(descriptor)
            synced.add((asked.st_dev, asked.st_ino))
        is_on = True

    sys.addaudithook(listen)
    os.fsync = fsync  # type: ignore[assignment]
    try:
        work()
    finally:
        os.fsync, is_on = real, False
    return events


@dataclass(eq=False)
class File:
    synced: bytes
    opened: int = -1  # the event by which it was opened for writing last
    coming: bytes | None = None  # what is written into it, until that is synced


@dataclass(eq=False)
class Folder:
    now: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def change(self, names: dict[str, File | Folder | None]) -> None:
        self.pending.append(names)
        _apply(names, self.now)

    def sync(self) -> None:
        self.synced, self.pending = dict(self.now), []


def _apply(names: dict[str, File | Folder | None], to: dict[str, File | Folder]) -> None:
    for name, node in names.items():
        if node is None:
            to.pop(name, None)
        else:
            to[name] = node


def _is_empty(node: File | Folder | None) -> bool:
    return isinstance(node, Folder) and not node.now


def _read(path: Path) -> Folder:
    folder = Folder()
    for child in path.iterdir():
        folder.now[child.name] = _read(child) if child.is_dir() else File(child.read_bytes())
    folder.sync()
    return folder


class Disk:
    """What is known to be on the disk, and what may be, after the events so far."""

    def __init__(self, before: Path, contents: dict[int, bytes]):
        """`before`: the recorded folder as it was. `contents`: by event, what an opened file was synced with in the end;
        it fills as events are replayed."""
        self._root, self._contents = _read(before), contents

    def replay(self, events: list[Event]) -> Disk:
        for number, (what, name, *more) in enumerate(events):
            self._replay(number, what, name, more)
        return self

    def _replay(self, number: int, what: str, name: str, more: list[Any]) -> None:
        node, (folder, last) = self._find(name), self._parent(name)
        if what == "sync" and isinstance(node, Folder):
            node.sync()
        elif what == "sync" and node is not None:
            node.synced, node.coming = more[0], None
            self._contents[node.opened] = more[0]
        elif what == "open" and not (node and more[0]):
            if node is None:
                node = File(b"")
                folder.change({last: node})
            assert isinstance(node, File)
            node.opened, node.coming = number, self._contents.get(number, b"never synced")
        elif what == "link in" and node is None:
            content, is_synced = more
            folder.change({last: File(content) if is_synced else File(b"", coming=content)})
        elif what == "os.mkdir" and node is None:
            folder.change({last: Folder()})
        elif (what == "os.remove" and isinstance(node, File)) or (what == "os.rmdir" and _is_empty(node)):
            folder.change({last: None})
        elif what in ("os.link", "os.rename") and node is not None:
            other, new = self._parent(more[0])
            if what == "os.link":
                if new not in other.now:
                    other.change({new: node})
            elif other is folder:
                folder.change({last: None, new: node})
            else:
                other.change({new: node})
                folder.change({last: None})

    def _find(self, name: str) -> File | Folder | None:
        node: File | Folder | None = self._root
        for part in Path(name).parts:
            node = node.now.get(part) if isinstance(node, Folder) else None
        return node

    def _parent(self, name: str) -> tuple[Folder, str]:
        folder = self._find(Path(name).parent.as_posix())
        if not isinstance(folder, Folder):  # an operation that failed for that reason
            folder = Folder()
        return folder, Path(name).name

    def crash(self, target: Path, rng: random.Random, data: str, names: str) -> None:
        """Lay down in `target` what is there after the power has failed now."""
        self._lay(self._root, target, {}, rng, data, names)

    def _lay(
        self, folder: Folder, target: Path, laid: dict[File, bytes], rng: random.Random, data: str, names: str
    ) -> None:
        target.mkdir(parents=True, exist_ok=True)
        entries, pending = dict(folder.synced), len(folder.pending)
        for change in folder.pending[: {"old": 0, "new": pending}.get(names, rng.randint(0, pending))]:
            _apply(change, entries)
        for name, node in entries.items():
            if isinstance(node, Folder):
                self._lay(node, target / name, laid, rng, data, names)
                continue
            if node not in laid:
                laid[node] = _content(node, rng.choice(DATA[:-1]) if data == "any" else data)
            (target / name).write_bytes(laid[node])


def _content(file: File, data: str) -> bytes:
    if file.coming is None or data == "lost":
        return file.synced
    coming = file.coming
    return {"halved": coming[: len(coming) // 2], "zeroed": bytes(len(coming)), "kept": coming}[data]
