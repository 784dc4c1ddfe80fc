"""python tests/perturbed_model.py OUT [--scale 0.02]: minilm with its weights slightly moved; another space, same shape.

The package's folder is copied and noise is added to every float tensor, in proportion to the tensor's own spread. The
same scale gives the same bytes every time.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from core.encoders.hub import locate


def minilm() -> Path:
    """The folder of the model that the package carries."""
    from core.config import find_model

    return locate(find_model("minilm"))[0]


def perturb(out: Path, scale: float = 0.02) -> Path:
    """Write the perturbed model to the folder `out`; what is there of an earlier one is replaced."""
    from safetensors.numpy import load_file, save_file

    source = minilm()
    shutil.copytree(source, out, dirs_exist_ok=True)
    random = np.random.default_rng(20260131)
    for path in sorted(source.rglob("*.safetensors")):
        tensors = load_file(path)
        for name in sorted(tensors):
            tensor = tensors[name]
            if np.issubdtype(tensor.dtype, np.floating):
                noise = random.standard_normal(tensor.shape, dtype=np.float32)
                tensors[name] = (tensor + noise * np.float32(scale * tensor.std())).astype(tensor.dtype)
        save_file(tensors, out / path.relative_to(source), metadata={"format": "pt"})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Copy minilm with noise on its weights.")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument("--scale", type=float, default=0.02, help="noise, in standard deviations of each tensor")
    options = parser.parse_args()
    perturb(options.out, options.scale)


if __name__ == "__main__":
    main()
