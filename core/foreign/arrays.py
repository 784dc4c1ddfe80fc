"""Arrays in files: NumPy's .npy (mapped) and .npz, and .safetensors. Pickled objects inside are refused."""

from __future__ import annotations

import errno
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from core.errors import UsageError
from core.foreign import Choice, Foreign, choose, damaged, pickled

_MOST_RATIO = 100  # a member that is packed smaller than this is no vectors, and would fill the memory


def read_npy(path: Path, choice: Choice) -> Foreign:
    """Raises UsageError for pickled objects, CorruptError for what is no whole .npy."""
    try:
        array = npy.open_memmap(path, mode="r")
    except Exception as error:  # a header is parsed as Python, and a wrong one raises whatever comes to pass
        if "Python objects" in str(error):
            raise pickled(path) from None
        raise _damage(path, error) from None
    return Foreign("npy", str(path), array)


def _damage(path: Path, error: Exception) -> Exception:
    """The same error where the disk or the permissions are to blame; a place that cannot be sought to is the file's fault."""
    return error if isinstance(error, OSError) and error.errno != errno.EINVAL else damaged(path, error)


def read_npz(path: Path, choice: Choice) -> Foreign:
    """The array `choice.column`, else the only one of rows of floats. Raises as read_npy does."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            headers = {}
            for name, info in members.items():
                if info.filename.endswith(".npy"):
                    with archive.open(info) as file:
                        headers[name] = _header(file)
            usual = [name for name, (shape, dtype) in headers.items() if len(shape) == 2 and dtype.kind == "f"]
            wanted = choice.column if choice.column is not None or usual or len(headers) != 1 else next(iter(headers))
            name = choose(list(headers) if wanted is not None else usual, wanted, path, "array", "--column")
            shape, dtype = headers[name]
            if dtype.hasobject:
                raise pickled(path)
            info = members[name]
            size = math.prod(shape) * dtype.itemsize
            if min(shape, default=1) < 0 or size > info.file_size or size > _MOST_RATIO * path.stat().st_size:
                raise ValueError("an array is larger than its file can be")
            with archive.open(info) as file:
                array = npy.read_array(file, allow_pickle=False)
    except UsageError:
        raise
    except Exception as error:  # as above; besides, what zlib and zipfile raise
        raise _damage(path, error) from None
    return Foreign("npz", str(path), array, notes=(f"array {name}",))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    read: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def read_safetensors(path: Path, choice: Choice) -> Foreign:
    """The tensor `choice.column`, else the only one of two dimensions. Raises UsageError, CorruptError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            names = sorted(file.keys())
            flat = [name for name in names if len(file.get_slice(name).get_shape()) == 2]
            wanted = choice.column if choice.column is not None or flat or len(names) != 1 else names[0]
            name = choose(names if wanted is not None else flat, wanted, path, "tensor", "--column")
            kind = file.get_slice(name).get_dtype()
            if kind not in ("F16", "F32", "F64"):
                fix = "vectors are read as F16, F32 or F64; convert them to F32"
                raise UsageError(f"the tensor {name} is of type {kind}", path=path, fix=fix)
            array = file.get_tensor(name)
    except (SafetensorError, ValueError, TypeError) as error:
        raise damaged(path, error) from error
    return Foreign("safetensors", str(path), array, notes=(f"tensor {name}",))
