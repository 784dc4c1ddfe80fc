from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))
import perturbed_model


@pytest.fixture(scope="session")
def minilm() -> Path:
    return perturbed_model.minilm()


@pytest.fixture(scope="session")
def perturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """minilm with its weights slightly moved."""
    return perturbed_model.perturb(tmp_path_factory.mktemp("models") / "perturbed")
