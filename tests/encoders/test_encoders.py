from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoder_contract import EncoderContract

from core.config import catalogue, find_model, open_encoder
from core.encoders import Encoder
from core.errors import UsageError


@pytest.fixture(scope="module")
def loaded() -> Encoder:
    """minilm, loaded once."""
    return open_encoder("minilm")


class TestHashing(EncoderContract):
    @pytest.fixture
    def encoder(self) -> Encoder:
        return open_encoder("hashing")

    def test_another_seed_is_another_space_of_the_same_dimension(self, encoder: Encoder) -> None:
        other = open_encoder("hashing-2")
        assert list(encoder.space.differences(other.space)) == ["weights"]
        assert abs(encoder.embed(["otters"], "query")[0] @ other.embed(["otters"], "query")[0]) < 0.9

    def test_its_vectors_stay_what_they_are(self, encoder: Encoder) -> None:
        """Golden indexes hold them."""
        vector = encoder.embed(["river 河"], "passage")[0]
        assert encoder.space.id == "s-a83ed90f5c07209b"
        assert np.flatnonzero(vector).size >= 8
        assert float(encoder.embed(["RIVER 河"], "query")[0] @ vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.xdist_group("minilm")
class TestMinilm(EncoderContract):
    @pytest.fixture
    def encoder(self, loaded: Encoder) -> Encoder:
        return loaded

    def test_meaning(self, encoder: Encoder) -> None:
        a, b, c = encoder.embed(["a small dog", "a little puppy", "interest rates fell"], "passage")
        assert a @ b > 0.6 > 0.3 > a @ c

    def test_the_catalogue_tells_the_truth(self, encoder: Encoder) -> None:
        entry = catalogue()["minilm"]
        assert (encoder.space.dimension, encoder.space.max_tokens) == (entry["dimension"], entry["max_tokens"])
        assert encoder.space.pooling == entry["pooling"]
        assert encoder.model.languages == ("en",)


@pytest.mark.parametrize(
    "name", ["", "minlm", "a/b/c", "./nowhere", "hashing-x", "no such", "../x", "~nobody-here/x", "x" * 5000]
)
def test_a_name_that_means_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where nothing lies beside or above
    with pytest.raises(UsageError, match="there is no model") as caught:
        find_model(name)
    assert "minilm" in caught.value.fix


def test_the_hub_name_of_a_catalogue_model_brings_its_prompts() -> None:
    model = find_model("BAAI/bge-small-zh-v1.5")
    assert model == find_model("bge-small-zh-v1.5")
    assert model.options["prompts"]["query"].startswith("为这个句子")
