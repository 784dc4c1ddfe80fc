"""samespace models, and what the choice of a model looks like at the shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import ok, put, samespace

from core.config import catalogue


def test_show_works_for_every_entry() -> None:
    for name, entry in catalogue().items():
        value = ok("models", "show", name, "--json").json
        assert value["schema"] == "samespace/models-show/1"
        assert value["catalogue"] == dict(entry)
        assert bool(value["missing"]) == (value["space"] is None) == (value["identity"] is None)


@pytest.mark.parametrize(
    ("name", "missing", "fix"),
    [
        ("bge-m3", "pickled weights", "save_pretrained"),
        ("gte-multilingual-base", "code of its own", "needs none"),
        ("embed-english-v3.0", "the network of cohere", "runs here"),
        ("bge-small-en-v1.5", "not on this machine yet", "samespace models prepare bge-small-en-v1.5"),
        ("someone/somewhere", "not on this machine yet", "samespace models prepare someone/somewhere"),
    ],
)
def test_show_says_what_is_missing(
    name: str, missing: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    done = ok("models", "show", name)
    assert missing in done.err
    assert fix in done.err
    assert "space" not in done.out
    if name in catalogue():
        assert str(catalogue()[name]["dimension"]) in done.out


def test_show_a_preset() -> None:
    done = ok("models", "show", "minilm")
    assert "s-2f2c3ca3c022321a" in done.out
    assert "22,700,000" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bge-m3", "pickled weights"),
        ("Alibaba-NLP/gte-multilingual-base", "code of its own"),
        ("embed-multilingual-v3.0", "the network of cohere"),
    ],
)
@pytest.mark.parametrize("words", [["build", "notes", "--to", "new.index"], ["similar", "a", "b"]], ids=lambda w: w[0])
def test_what_is_refused_exits_15(
    words: list[str], name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "notes", {"a.txt": "Otters."})
    monkeypatch.chdir(tmp_path)
    done = samespace(*words, "--model", name, "--json")
    assert done.code == 15
    assert message in done.json["message"]
    assert done.json["fix"]
    assert not (tmp_path / "new.index").exists()


def test_prepare_is_the_same_again() -> None:
    first = ok("models", "prepare", "hashing", "--json").json
    assert first["schema"] == "samespace/models-prepare/1"
    assert first["folder"] is None
    assert ok("models", "prepare", "hashing", "--json").json == first
    assert first["space"] in ok("models", "prepare", "hashing").out


def test_prepare_what_cannot_be() -> None:
    done = samespace("models", "prepare", "bge-m3")
    assert done.code == 15
    assert "pickled weights" in done.err


def test_prepare_without_a_name_is_the_bilingual_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def stop(name: object, work: str) -> None:
        asked.append(name)
        raise KeyboardInterrupt

    monkeypatch.setattr("core.models.open_encoder", stop)
    assert samespace("models", "prepare").code == 130
    assert asked == ["multilingual-e5-small-q4"]


def test_recommend(sample: Path) -> None:
    done = ok("models", "recommend", sample / "sample.index")
    assert "minilm: does not know 50 % Chinese" in done.out
    assert done.out.count("\n1  multilingual-e5-small-q4  yes") == 1
    assert "--model multilingual-e5-small-q4" in done.err
    value = ok("models", "recommend", sample / "sample.index", "--json").json
    assert value["schema"] == "samespace/models-recommend/1"
    assert value["right"] is False
    assert value["corpus"]["languages"] == pytest.approx({"zh": 0.5, "en": 0.5}, abs=0.03)
    assert len(value["candidates"]) == len(catalogue()) - 1  # hashing is no model


def test_recommend_where_nothing_is(tmp_path: Path) -> None:
    assert samespace("models", "recommend", tmp_path / "none").code == 10


def test_recommend_when_the_own_model_is_right(tmp_path: Path) -> None:
    put(tmp_path / "notes", {"a.txt": "Otters dig their holes along the bank of the river."})
    built = ok("build", tmp_path / "notes", "--to", tmp_path / "my.index", "--json").json
    assert built["notes"] == ["auto: minilm, because the sampled text is English"]
    done = ok("models", "recommend", tmp_path / "my.index")
    assert "minilm: right for these documents" in done.out
    assert "next:" not in done.err
    shown = ok("info", tmp_path / "my.index")
    assert "auto: minilm, because the sampled text is English" in shown.out
    assert "100 % English" in shown.out
    assert shown.err == ""


def test_info_warns_of_other_languages(sample: Path) -> None:
    done = ok("info", sample / "sample.index")
    assert "50 % Chinese, which the model minilm does not know" in done.err
    (warning,) = ok("info", sample / "sample.index", "--json").json["warnings"]
    assert "samespace models recommend" in warning


def test_auto_is_for_new_indexes_only(sample: Path) -> None:
    done = samespace("search", sample / "sample.index", "otters", "--model", "auto")
    assert done.code == 2
    assert "leave --model out" in done.err


def test_similar_chooses_by_its_texts() -> None:
    assert ok("similar", "otters dig", "along the bank", "--json").json["model"] == "minilm"
