"""A digest of a model's weights, read from its safetensors files alone: what is in them, not how they are named or split."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptError, MissingError

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class _Tensor(NamedTuple):
    dtype: str
    shape: list[int]
    path: Path
    start: int
    end: int


def weights_digest(folders: Sequence[Path]) -> str:
    """The sha256 over every floating-point tensor of a model's modules, in their order: name, dtype, shape, bytes.

    `folders`: one a module. Raises MissingError when a module has only pickled weights or the first has none,
    CorruptError when a file is damaged.
    """
    tensors: dict[str, _Tensor] = {}
    for number, folder in enumerate(folders):
        for path in weight_files(folder, needed=number == 0):
            # Integers are buffers such as position_ids, which come and go with the version that saved the model.
            tensors |= {
                f"{number}/{name}": t for name, t in _tensors(path).items() if t.dtype[0] in "FB" and t.dtype != "BOOL"
            }
    if not tensors:
        raise MissingError("this model's weights are empty", path=folders[0], fix="fetch the model again")
    total = hashlib.sha256()
    maps: dict[Path, mmap.mmap] = {}
    for name, tensor in sorted(tensors.items()):
        if tensor.path not in maps:
            with tensor.path.open("rb") as file:
                maps[tensor.path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if not 0 <= tensor.start <= tensor.end <= len(maps[tensor.path]):
            raise CorruptError("the model's weights are cut short", path=tensor.path, fix="fetch the model again")
        total.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
        with memoryview(maps[tensor.path]) as view:
            total.update(view[tensor.start : tensor.end])
    return total.hexdigest()


def weight_files(folder: Path, needed: bool = True) -> list[Path]:
    """The safetensors files of a module. Raises MissingError when it has pickled ones only, or none although `needed`."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        _refuse_pickled(folder, needed)
    return files


def map_tensors(folder: Path) -> dict[str, NDArray[Any]]:
    """Every floating-point tensor of a module by its name, mapped read-only: float32 and float16 as they lie there,
    bfloat16 widened to float32 in memory. Raises MissingError, CorruptError.
    """
    found: dict[str, NDArray[Any]] = {}
    for path in weight_files(folder):
        data = np.memmap(path, mode="r", dtype=np.uint8)
        for name, (dtype, shape, _, start, end) in _tensors(path).items():
            if dtype not in _DTYPES:
                continue
            if not 0 <= start <= end <= len(data):
                raise CorruptError("the model's weights are cut short", path=path, fix="fetch the model again")
            try:
                values = np.asarray(data[start:end]).view(_DTYPES[dtype]).reshape(shape)
            except (ValueError, TypeError) as error:
                raise CorruptError(
                    f"the tensor {name} is not of its shape", path=path, fix="fetch the model again"
                ) from error
            found[name] = (values.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else values
    return found


def _refuse_pickled(folder: Path, needed: bool) -> None:
    """A module without safetensors may have no weights at all (pooling), but no pickled ones."""
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLED)
    if pickled:
        raise MissingError(
            f"this model has only pickled weights ({pickled[0]}), which can run code when they are loaded",
            path=folder,
            fix="use a revision with .safetensors, or convert it once where you trust it: "
            "SentenceTransformer(NAME).save_pretrained(FOLDER)",
        )
    if needed:
        raise MissingError("this model has no .safetensors weights", path=folder, fix="fetch the model again")


def _tensors(path: Path) -> dict[str, _Tensor]:
    """Every tensor of a safetensors file by its name."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > 100_000_000:
                raise ValueError("the header is too long")
            header: dict[str, Any] = json.loads(file.read(size))
        header.pop("__metadata__", None)
        found = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            if not (isinstance(entry["dtype"], str) and entry["dtype"] and isinstance(entry["shape"], list)):
                raise ValueError(f"the tensor {name} is not described")
            if type(begin) is not int or type(end) is not int:
                raise ValueError(f"the tensor {name} has no place")
            found[name] = _Tensor(entry["dtype"], entry["shape"], path, 8 + size + begin, 8 + size + end)
        return found
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise CorruptError(f"no safetensors file ({error})", path=path, fix="fetch the model again") from error
