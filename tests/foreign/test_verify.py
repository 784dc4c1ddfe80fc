"""Whose vectors are they? Right models are accepted, others refused, mixtures and shuffled rows named; on the command line too."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import stores
from hypothesis import given
from hypothesis import strategies as st
from stores import TEXTS, Floats, vectors_of, write_texts

from core.config import open_encoder
from core.encoders.hashing import HashingEncoder
from core.errors import BackendError, SpaceMismatchError
from core.foreign import Foreign
from core.foreign.verify import TOLERANCE, most_others
from core.pipeline.foreign import identify, none_of_them, verify_foreign
from core.types import Side

sys.path += [str(Path(__file__).parents[1] / "cli"), str(Path(__file__).parents[1])]
from perturbed_model import minilm
from shell import ok, samespace

MANY = [f"Paragraph {n} tells of the lighthouse keeper and his {n * 7} lamps." for n in range(200)]
VECTORS = vectors_of(TEXTS)


def foreign(vectors: Floats, texts: Sequence[str], titles: Sequence[str] | None = None) -> Foreign:
    return Foreign("npy", "x.npy", vectors, texts=texts, titles=titles)


class TestVerdict:
    def test_its_own(self) -> None:
        verdict = verify_foreign(foreign(VECTORS, TEXTS), "hashing")
        assert verdict.accepted
        assert (verdict.sampled, verdict.agreeing, verdict.others_at_most) == (12, 12, 0.0)
        assert "hashing made these vectors: 12 of 12" in verdict.summary

    def test_direction_counts_and_lengths_are_reported(self) -> None:
        verdict = verify_foreign(foreign(VECTORS * 3, TEXTS), "hashing")
        assert verdict.accepted
        assert verdict.lengths == pytest.approx((3, 3, 1, 1), rel=1e-5)

    def test_float16_is_near_enough(self) -> None:
        kept = VECTORS.astype(np.float16).astype(np.float32)
        assert verify_foreign(foreign(kept, TEXTS), "hashing").worst_distance < TOLERANCE / 100

    def test_another_model(self) -> None:
        verdict = verify_foreign(foreign(VECTORS, TEXTS), "hashing-2")
        assert not verdict.accepted
        assert verdict.agreeing == verdict.elsewhere == 0
        assert verdict.mean_cosine < 0.5
        assert "did not make these vectors" in verdict.summary

    def test_turned_round(self) -> None:
        verdict = verify_foreign(foreign(-VECTORS, TEXTS), "hashing")
        assert not verdict.accepted
        assert verdict.negative == 1.0

    def test_another_dimension(self) -> None:
        with pytest.raises(SpaceMismatchError, match="64 dimensions, its have 128"):
            verify_foreign(foreign(VECTORS[:, :64], TEXTS), "hashing")

    def test_a_mixture(self) -> None:
        vectors = vectors_of(MANY)
        vectors[::4] = vectors_of(MANY[::4], "hashing-2")
        verdict = verify_foreign(foreign(vectors, MANY), "hashing", sample=64)
        assert not verdict.accepted
        assert "a mixture" in verdict.summary
        assert all(row % 4 == 0 for row in verdict.differing)
        assert 0.25 < verdict.others_at_most < 0.5

    def test_rows_in_another_order(self) -> None:
        verdict = verify_foreign(foreign(np.roll(VECTORS, 1, axis=0), TEXTS), "hashing")
        assert not verdict.accepted
        assert verdict.elsewhere == len(TEXTS)
        assert "belong to other rows" in verdict.summary

    def test_a_row_without_direction_does_not_agree(self) -> None:
        vectors = VECTORS.copy()
        vectors[5] = 0
        assert verify_foreign(foreign(vectors, TEXTS), "hashing").differing == (5,)

    @pytest.mark.parametrize("joint", [None, " ", "\n", ". "])
    def test_titles_in_every_form(self, joint: str | None) -> None:
        titles = [f"Title {n}" for n in range(len(TEXTS))]
        inputs = TEXTS if joint is None else [f"{a}{joint}{b}" for a, b in zip(titles, TEXTS, strict=True)]
        verdict = verify_foreign(foreign(vectors_of(inputs), TEXTS, titles), "hashing")
        assert verdict.accepted
        assert verdict.titles == (vectors_of(inputs)[0] != VECTORS[0]).any()

    def test_a_seed_gives_the_same_answer_and_another_seed_another_sample(self) -> None:
        vectors = vectors_of(MANY)
        vectors[::2] *= -1
        seeds = [verify_foreign(foreign(vectors, MANY), "hashing", sample=20, seed=n).differing for n in (1, 1, 2)]
        assert seeds[0] == seeds[1] != seeds[2]

    def test_a_runtime_that_comes_near_is_not_the_last_word(self, monkeypatch: pytest.MonkeyPatch) -> None:
        right = HashingEncoder.embed
        state = {"rough": True}

        def rough(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Floats:
            noise = np.random.default_rng(0).normal(scale=0.01, size=(len(texts), 128)) * state["rough"]
            return right(encoder, texts, side) + noise.astype(np.float32)

        def fall_back(encoder: HashingEncoder) -> bool:
            was, state["rough"] = state["rough"], False
            return was

        monkeypatch.setattr(HashingEncoder, "embed", rough)
        found = foreign(right(HashingEncoder(open_encoder("hashing").model), TEXTS, "passage"), TEXTS)
        assert not verify_foreign(found, "hashing").accepted
        state["rough"] = True
        monkeypatch.setattr(HashingEncoder, "fall_back", fall_back)
        assert verify_foreign(found, "hashing").accepted

    def test_a_runtime_that_cannot_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(encoder: HashingEncoder, texts: Sequence[str], side: Side) -> Floats:
            raise BackendError("no")

        monkeypatch.setattr(HashingEncoder, "embed", fails)
        with pytest.raises(BackendError):
            verify_foreign(foreign(VECTORS, TEXTS), "hashing")


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """minilm's files in a folder that says so."""
    folder = tmp_path_factory.mktemp("prompted")
    for path in minilm().rglob("*"):
        if path.is_file():
            (folder / path.relative_to(minilm())).parent.mkdir(exist_ok=True)
            (folder / path.relative_to(minilm())).symlink_to(path)
    settings = folder / "config_sentence_transformers.json"
    settings.unlink(missing_ok=True)
    settings.write_text(json.dumps({"prompts": {"query": "query: ", "document": "passage: "}}))
    return folder


class TestPrompts:
    """A model that puts `query: ` or `passage: ` before a text; a tool may have done either or neither."""

    @pytest.mark.parametrize("prompt", ["passage: ", "query: ", ""])
    def test_every_prompt_is_found(self, prompt: str, prompted: Path) -> None:
        vectors = vectors_of([prompt + text for text in TEXTS], "minilm")
        verdict = verify_foreign(foreign(vectors, TEXTS), str(prompted))
        assert verdict.accepted
        assert verdict.prompt == prompt


class TestBound:
    def test_rule_of_three(self) -> None:
        assert most_others(0, 64, 10_000) == pytest.approx(1 - 0.05 ** (1 / 64), rel=1e-9)
        assert most_others(0, 300, 10**6) == pytest.approx(3 / 300, rel=0.01)
        assert most_others(3, 10, 10) == 0.3
        assert most_others(10, 10, 99) == 1.0

    @given(st.integers(1, 400), st.data())
    def test_it_is_the_share_at_which_so_few_are_one_in_twenty(self, n: int, data: st.DataObject) -> None:
        k = data.draw(st.integers(0, n - 1))
        p = most_others(k, n, n + 1)
        chance = math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))
        assert k / n < p < 1
        assert chance == pytest.approx(0.05, rel=1e-6)


class TestIdentify:
    def test_the_one_of_its_dimension(self) -> None:
        found = identify(foreign(VECTORS, TEXTS))
        assert found.verdict is not None
        assert found.verdict.model == "hashing"
        assert set(found.ruled_out.values()) == {"other dimension"}

    def test_another_that_was_named(self) -> None:
        found = identify(foreign(vectors_of(TEXTS, "hashing-7"), TEXTS), ["hashing-2", "hashing-7"])
        assert found.verdict is not None
        assert found.verdict.model == "hashing-7"
        assert found.ranking[0].model == "hashing-7"
        assert {one.model for one in found.ranking} == {"hashing-7", "hashing-2", "hashing"}

    def test_none_of_them(self) -> None:
        vectors = foreign(vectors_of(TEXTS, "hashing-7"), TEXTS)
        found = identify(vectors)
        assert found.verdict is None
        assert [one.model for one in found.ranking] == ["hashing"]
        assert "asked: hashing" in none_of_them(vectors, found).message

    def test_no_model_has_the_dimension(self) -> None:
        vectors = foreign(np.ones((12, 3), dtype=np.float32), TEXTS)
        assert "none has their dimension" in none_of_them(vectors, identify(vectors)).message

    def test_models_of_the_dimension_that_are_not_here_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here = {"minilm": "yes"}
        monkeypatch.setattr("core.pipeline.foreign.available", lambda model: here.get(model.name, "download"))
        vectors = foreign(np.random.default_rng(0).normal(size=(12, 384)).astype(np.float32), TEXTS)
        found = identify(vectors)
        assert [one.model for one in found.ranking] == ["minilm"]
        assert found.ruled_out["bge-small-en-v1.5"] == "not here: download"
        assert found.verdict is None
        assert "bge-small-en-v1.5" in none_of_them(vectors, found).fix

    def test_a_mixture_is_somebodys(self) -> None:
        vectors = vectors_of(MANY)
        vectors[::8] = vectors_of(MANY[::8], "hashing-2")
        found = identify(foreign(vectors, MANY), sample=100)
        assert found.verdict is not None
        assert (found.verdict.model, found.verdict.accepted, found.verdict.sampled) == ("hashing", False, 100)


class TestCommand:
    @pytest.fixture
    def named(self, tmp_path: Path) -> list[object]:
        texts = write_texts(tmp_path / "texts.jsonl", TEXTS)
        return ["verify-space", "--vectors", stores.npy(tmp_path, VECTORS, TEXTS), "--texts", texts]

    def test_accepted(self, named: list[object]) -> None:
        done = ok(*named, "--model", "hashing")
        assert "12 of 12 rows agree" in done.out
        assert "accepted: hashing made these vectors" in done.err
        value = ok(*named, "--model", "hashing", "--json", "--sample", 5, "--seed", 3).json
        assert value["schema"] == "samespace/verify-space/1"
        assert (value["accepted"], value["sampled"], value["rows"], value["format"]) == (True, 5, 12, "npy")

    def test_refused(self, named: list[object]) -> None:
        done = samespace(*named, "--model", "hashing-2", "--json")
        assert done.code == 13
        assert (done.json["error"], done.json["details"]["agreeing"]) == ("SpaceMismatchError", 0)
        done = samespace(*named, "--model", "minilm")
        assert done.code == 13
        assert "384" in done.err

    def test_identified(self, named: list[object]) -> None:
        assert ok(*named, "--identify", "--json").json["identified"] == "hashing"
        assert "other dimension" in ok(*named, "--identify").out

    def test_none_of_them(self, tmp_path: Path) -> None:
        path = stores.llm(tmp_path, vectors_of(TEXTS, "hashing-7"), TEXTS)
        done = samespace("verify-space", "--vectors", path, "--identify", "--json")
        assert (done.code, done.json["identified"], done.json["accepted"]) == (1, None, False)
        assert samespace("verify-space", "--vectors", path, "--identify").code == 1

    def test_a_mixture_is_refused(self, tmp_path: Path) -> None:
        vectors = vectors_of(MANY)
        vectors[::8] = vectors_of(MANY[::8], "hashing-2")
        done = samespace(
            "verify-space", "--vectors", stores.llm(tmp_path, vectors, MANY), "--identify", "--sample", 100
        )
        assert done.code == 13
        assert "a mixture" in done.err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--model", "hashing"], "nothing to verify"),
            (["--vectors", "x.npy"], "with which model"),
            (["some.index", "--vectors", "x.npy"], "both given"),
            (["some.index", "--identify"], "--identify belongs to --vectors"),
            (["some.index", "--texts", "t"], "--texts belongs to --vectors"),
            (["--vectors", "x.npy", "--model", "hashing"], "no such file"),
            (["--vectors", "x.npy", "--model", "hashing", "--sample", "0"], "--sample"),
        ],
    )
    def test_what_does_not_fit(
        self, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = samespace("verify-space", *words)
        assert done.code == 2
        assert said in done.err

    def test_bad_files_by_their_exit_codes(self, tmp_path: Path) -> None:
        texts = write_texts(tmp_path / "texts.jsonl", TEXTS[:4])
        wrong = VECTORS[:4].copy()
        wrong[1, 1] = np.nan
        whole = stores.npy(tmp_path, VECTORS[:4], TEXTS[:4]).read_bytes()
        np.save(tmp_path / "nan.npy", wrong)
        np.save(tmp_path / "flat.npy", wrong[0])
        np.save(tmp_path / "object.npy", np.array([[None]]), allow_pickle=True)
        (tmp_path / "cut.npy").write_bytes(whole[:-1])
        write_texts(tmp_path / "three.jsonl", TEXTS[:3])
        codes = {"nan": 12, "flat": 2, "object": 2, "cut": 12}
        for name, code in codes.items():
            done = samespace(
                "verify-space", "--vectors", tmp_path / f"{name}.npy", "--texts", texts, "--model", "hashing"
            )
            assert done.code == code, (name, done.err)
        words = ["--vectors", tmp_path / "vectors.npy", "--texts", tmp_path / "three.jsonl", "--model", "hashing"]
        done = samespace("verify-space", *words)
        assert (done.code, "3 texts for 4 rows" in done.err) == (2, True)

    def test_names_in_a_store_are_data(self, tmp_path: Path) -> None:
        path = stores.llm(tmp_path, VECTORS, TEXTS)
        import sqlite3

        with sqlite3.connect(path) as db:
            db.execute("UPDATE collections SET name = ?, model = ?", ["\x1b[2J", "\x9b31m"])
        done = ok("verify-space", "--vectors", path, "--model", "hashing")
        assert "\x1b" not in done.all
        assert "\x9b" not in done.all
        assert json.loads(ok("verify-space", "--vectors", path, "--model", "hashing", "--json").out)["notes"]
