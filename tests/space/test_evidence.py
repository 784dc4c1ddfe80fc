"""What is learnt of a space later: adoption of an equal model, measured tolerances, and two indexes by their records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from handmade import all_files, built, generation, put
from numpy.typing import NDArray
from tiny_models import WORDS, rewrite, save_model

from core.check import check
from core.encoders.transformer import TransformerEncoder
from core.errors import CorruptError, InconclusiveError, LockedError, SpaceMismatchError
from core.index.collect import collect
from core.index.reader import open_index
from core.pipeline import adopt as adopt_module
from core.pipeline.adopt import adopt
from core.pipeline.against import compare_indexes
from core.pipeline.build import build
from core.pipeline.evidence import publish_evidence
from core.pipeline.measure import HARM, _between, measure
from core.pipeline.search import Search, SearchSettings
from core.pipeline.spaces import attestations, read_space, tolerances
from core.rollback import rollback
from core.space.against import compare_records
from core.space.canaries import SHORT, compare
from core.space.evidence import read_attestation, read_tolerances
from core.types import Query


def pages(count: int) -> dict[str, str | bytes | None]:
    rng = np.random.default_rng(5)
    return {f"{n:03d}.txt": " ".join(rng.choice(WORDS, size=12)) + "." for n in range(count)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 60 pages by the tiny model."""
    folder = tmp_path_factory.mktemp("made")
    built(folder / "my.index", put(folder / "notes", pages(60)), model=str(model), size=32)
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "my.index", tmp_path / "my.index"))


@pytest.fixture
def renamed(model: Path, tmp_path: Path) -> Path:
    """The same weights in another file: its tensors have other names."""
    copy = Path(shutil.copytree(model, tmp_path / "renamed"))
    return rewrite(copy, lambda name, tensor: (f"bert.{name}", tensor))


@pytest.fixture
def other(model: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(model, tmp_path / "other"))
    return rewrite(copy, lambda name, tensor: (name, tensor * np.float32(1.1)))


def answers(root: Path) -> list[str]:
    found = Search(open_index(root), SearchSettings(mode="dense")).search(Query("1", "otters dig along the river"))
    return [hit.chunk.document_id for hit in found.hits]


class TestAdopt:
    def test_a_renamed_model_is_the_indexs_own_from_then_on(
        self, root: Path, renamed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, files = answers(root), generation(root).files
        done = adopt(root, str(renamed))
        assert done.published
        assert (done.sample.compared, done.sample.foreign) == (60, ())
        assert done.attestation.canaries > 40
        after = generation(root)
        assert after.model["name"] == str(renamed)
        assert {name: after.files[name] for name in files} == files
        record = read_space(open_index(root))
        assert record.model.name == str(renamed)
        assert attestations(open_index(root)) == [done.attestation]
        asked: list[int] = []
        real = TransformerEncoder.embed

        def embed(encoder: TransformerEncoder, texts: Any, side: Any) -> NDArray[np.float32]:
            asked.append(len(texts))
            return real(encoder, texts, side)

        monkeypatch.setattr(TransformerEncoder, "embed", embed)
        assert answers(root) == before
        assert asked[0] == len(SHORT)  # it is believed: the few canaries that ride with every query are enough
        assert not any(finding.severity == "error" for finding in check(root, read_data=True))

    def test_new_documents_are_embedded_by_it(self, root: Path, made: Path, renamed: Path) -> None:
        adopt(root, str(renamed))
        folder = put(root.parent / "more", {"new.txt": "The lamp keeper fell in the snow."})
        build(root, [str(folder)], model=str(renamed))  # named or not, it is the index's own
        assert generation(root).model["name"] == str(renamed)
        assert len(attestations(open_index(root))) == 1  # evidence stays with every later generation
        collect(root, 1)
        assert len(attestations(open_index(root))) == 1

    def test_once_is_enough(self, root: Path, renamed: Path) -> None:
        first = adopt(root, str(renamed))
        files = all_files(root)
        again = adopt(root, str(renamed))
        assert not again.published
        assert again.generation.generation == first.generation.generation == 2
        assert all_files(root) == files

    def test_the_way_back(self, root: Path, renamed: Path, model: Path) -> None:
        adopt(root, str(renamed))
        rollback(root, 1)
        assert read_space(open_index(root)).model.name == str(model)
        assert not attestations(open_index(root))

    def test_another_model_is_not_adopted(self, root: Path, other: Path) -> None:
        files = all_files(root)
        with pytest.raises(SpaceMismatchError) as caught:
            adopt(root, str(other))
        assert caught.value.details["diagnosis"]["cause"]
        assert all_files(root) == files

    def test_not_when_stored_rows_are_others(self, root: Path, renamed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real: Callable[..., Any] = adopt_module.compare_sample

        def compare(*words: Any) -> Any:
            patch = pytest.MonkeyPatch()
            patch.setattr(TransformerEncoder, "embed", lambda self, texts, side: -real_embed(self, texts, side))
            try:
                return real(*words)
            finally:
                patch.undo()

        real_embed = TransformerEncoder.embed
        monkeypatch.setattr(adopt_module, "compare_sample", compare)
        with pytest.raises(SpaceMismatchError, match="of 60 sampled chunks 60 do not lie") as caught:
            adopt(root, str(renamed))
        assert len(caught.value.details["rows"]["foreign"]) == 60
        assert generation(root).generation == 1


class TestMeasure:
    def test_between_noise_and_harm(self, root: Path) -> None:
        done = measure(root)
        assert done.generation.generation == 2
        assert {one.runtime for one in done.tolerances.runtimes} >= {"numpy, float32", "sentence-transformers, float32"}
        for one in done.tolerances.runtimes:
            assert one.noise < one.tolerance < one.harm
            assert one.margin > 1
        assert [level for level, _, _ in done.curve] == sorted(level for level, _, _ in done.curve)
        assert min(overlap for *_, overlap in done.curve) < HARM
        record = read_space(open_index(root))
        assert record.tolerances == {one.runtime: one.tolerance for one in done.tolerances.runtimes}
        assert tolerances(open_index(root)) == done.tolerances
        verdict = Search(open_index(root), SearchSettings(mode="dense")).verdict
        assert verdict is not None
        assert verdict.agreement.tolerance == record.tolerances["numpy, float32"] != record.tolerance
        assert not any(finding.severity == "error" for finding in check(root, read_data=True))

    @pytest.mark.parametrize(("noise", "harm"), [(1e-4, 3e-4), (2e-3, 1e-1), (6e-4, 1.0)])
    def test_what_could_not_be_read_again_is_not_published(self, noise: float, harm: float) -> None:
        """Noise next to harm, or beyond what an index may allow: no tolerance, not one that its reader refuses."""
        with pytest.raises(InconclusiveError, match="no tolerance tells them apart"):
            _between("x", noise, harm, "y")
        good = _between("x", 4.5e-5, 4.4e-3, "y")
        assert 4.5e-5 * 2 < good.tolerance < 4.4e-3 / 2

    def test_a_model_that_cannot_be_altered(self, tmp_path: Path) -> None:
        built(tmp_path / "my.index", put(tmp_path / "notes", pages(5)), model="hashing")
        with pytest.raises(InconclusiveError, match="cannot be changed here"):
            measure(tmp_path / "my.index")
        assert generation(tmp_path / "my.index").generation == 1


class TestPublishing:
    def test_another_generation_came_meanwhile(self, root: Path, renamed: Path) -> None:
        base = generation(root)
        adopt(root, str(renamed))
        with pytest.raises(LockedError, match="another generation was published meanwhile"):
            publish_evidence(root, base, "tolerances", b"{}")

    def test_damage_is_found(self, root: Path, renamed: Path) -> None:
        adopt(root, str(renamed))
        (name,) = (name for name in generation(root).files if "/attestations/" in name)
        (root / name).write_bytes(b"{}")
        assert any(finding.severity == "error" for finding in check(root))
        with pytest.raises(CorruptError):
            answers(root)

    @pytest.mark.parametrize(
        "data",
        [b"", b"[]", b'{"kind": "attestations"}', b'{"kind": "tolerances", "runtimes": [1]}', b"[" * 9999],
        ids=len,
    )
    def test_what_is_no_evidence(self, data: bytes) -> None:
        for read in (read_attestation, read_tolerances):
            with pytest.raises(CorruptError):
                read(data, "here")


class TestAgainst:
    def test_a_copy_and_another_model(self, root: Path, tmp_path: Path) -> None:
        pair, *_ = compare_indexes(root, root)
        assert pair.verdict.accepted
        assert pair.others == {}
        built(tmp_path / "a.index", put(tmp_path / "notes", pages(5)), model="hashing")
        built(tmp_path / "b.index", put(tmp_path / "notes", pages(5)), model="hashing-2")
        built(tmp_path / "c.index", put(tmp_path / "notes", pages(5)), model="hashing", chunker="none")
        assert not compare_indexes(tmp_path / "a.index", tmp_path / "b.index")[0].verdict.accepted
        same = compare_indexes(tmp_path / "a.index", tmp_path / "c.index")[0]
        assert same.verdict.accepted
        assert list(same.others) == ["chunking"]
        far = compare_indexes(tmp_path / "a.index", root)[0]
        assert not far.verdict.accepted
        assert "dimension" in far.verdict.differences
        assert json.dumps(far.to_json())

    def test_nothing_in_common_is_no_verdict(self, root: Path) -> None:
        record = read_space(open_index(root))
        strange = replace(record.canaries, texts=tuple(f"{text}!" for text in record.canaries.texts))
        with pytest.raises(InconclusiveError, match="no canaries in common"):
            compare_records(record, replace(record, canaries=strange))

    def test_by_those_in_common(self, root: Path) -> None:
        record = read_space(open_index(root))
        texts = record.canaries.texts
        half = replace(record.canaries, texts=(*texts[:9], *(f"{text}!" for text in texts[9:])))
        assert compare_records(record, replace(record, canaries=half)).agreement.texts == 18
        few = replace(record.canaries, texts=(*texts[:5], *(f"{text}!" for text in texts[5:])))
        with pytest.raises(InconclusiveError, match="5 canaries in common"):
            compare_records(record, replace(record, canaries=few))


class TestForged:
    """What somebody wrote by hand, digests and all."""

    TOLERANCE: ClassVar[dict[str, Any]] = {
        "runtime": "x",
        "noise": 1e-7,
        "harm": 1e-3,
        "nearest": "y",
        "tolerance": 1e-5,
    }
    ATTESTATION: ClassVar[dict[str, Any]] = {
        "kind": "attestations", "created": "", "tool": "", "model": {"name": "x", "provider": "hashing"}, "space": "s",
        "runtime": "r", "canaries": 54, "sampled": 300, "worst_distance": 1e-6, "tolerance": 2e-4,
    }  # fmt: skip

    @pytest.mark.parametrize(
        "change",
        [
            {"tolerance": 0.09, "harm": 1}, {"tolerance": 1e-5, "noise": 1e-4}, {"tolerance": float("nan")},
            {"noise": float("inf")}, {"tolerance": 10**400}, {"harm": 1e-6}, {"runtime": 7}, {"nearest": None}, {"more": 1},
        ],
        ids=str,
    )  # fmt: skip
    def test_tolerances(self, change: dict[str, Any]) -> None:
        value = {"kind": "tolerances", "created": "", "tool": "", "variations": 1, "runtimes": [self.TOLERANCE]}
        assert read_tolerances(json.dumps(value).encode(), "here").runtimes[0].tolerance == 1e-5
        for forged in ({**value, "runtimes": [{**self.TOLERANCE, **change}]}, {**value, "runtimes": []}):
            with pytest.raises(CorruptError):
                read_tolerances(json.dumps(forged).encode(), "here")
        with pytest.raises(CorruptError):
            read_tolerances(json.dumps({**value, "variations": float("inf")}).encode(), "here")

    @pytest.mark.parametrize(
        "change",
        [
            {"canaries": 0}, {"canaries": float("inf")}, {"sampled": -5}, {"worst_distance": float("nan")}, {"tolerance": 0.09},
            {"worst_distance": 1e-3}, {"model": {"name": "x", "provider": "hashing", "languages": "en"}},
            {"model": {"name": "x", "provider": "hashing", "why": {}}}, {"model": {"name": "x"}}, {"space": 7},
        ],
        ids=str,
    )  # fmt: skip
    def test_attestations(self, change: dict[str, Any]) -> None:
        assert read_attestation(json.dumps(self.ATTESTATION).encode(), "here").canaries == 54
        with pytest.raises(CorruptError):
            read_attestation(json.dumps({**self.ATTESTATION, **change}).encode(), "here")

    def test_a_record_without_canaries_proves_nothing(self, root: Path) -> None:
        record = read_space(open_index(root))
        none = replace(record.canaries, texts=(), contexts=(), query=np.zeros((0, 32), np.float32),
                       passage=np.zeros((0, 32), np.float32), tokens={})  # fmt: skip
        assert not compare({"query": none.query}, {"query": none.query}, 1.0).agrees
        with pytest.raises(InconclusiveError):
            compare_records(record, replace(record, canaries=none))

    def test_an_index_that_was_emptied_is_not_measured(self, root: Path, made: Path) -> None:
        (folder,) = (source.root for source in generation(root).sources)
        moved = Path(folder).rename(Path(folder).with_name("gone"))
        try:
            Path(folder).mkdir()
            build(root, yes=True)
            with pytest.raises(InconclusiveError, match="no chunks"):
                measure(root)
        finally:
            Path(folder).rmdir()
            moved.rename(folder)
