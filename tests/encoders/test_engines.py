"""Our engines give what the reference gives, for every pooling and architecture they take, and nothing else is run by them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import rewrite, save_model

from core.config import open_encoder
from core.encoders.bert import POOLINGS, Floats, Ids, Unsupported, batches, pool
from core.encoders.engines import ENGINES
from core.encoders.engines import probe as probe_module
from core.encoders.engines.numpy import NumpyEngine, _gelu
from core.encoders.engines.probe import Way, fastest_way, ways
from core.encoders.fast import Fast
from core.encoders.model_folder import ModelFolder
from core.encoders.remembered import remembered
from core.errors import CorruptError
from core.space.canaries import canary_texts
from core.space.record import record_space
from core.space.verify import guard, prove

pytestmark = pytest.mark.xdist_group("engines")

TEXTS = [
    "The river bank.",
    "银行的利率上周又下调了。",
    "",
    "otters " * 100,
    "x",
    "a lamp, a keeper & the light of v1.2.3",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny") / "bert")


def vectors(folder: Path, work: Any, side: Any = "passage") -> Floats:
    return open_encoder(str(folder), work).embed(TEXTS, side)


def agree(folder: Path, work: Any) -> None:
    encoder = open_encoder(str(folder), work)
    ours, reference = encoder.embed(TEXTS, "passage"), vectors(folder, "reference")
    assert isinstance(encoder._runtime, Fast)  # type: ignore[attr-defined]
    tolerance = 0.02 if "bfloat16" in encoder.runtime_name else 2e-6
    assert np.abs(ours - reference).max() <= tolerance * np.abs(reference).max()


class TestAgainstTheReference:
    @pytest.mark.parametrize("work", ["queries", "documents"])
    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_every_pooling(self, tmp_path: Path, pooling: str, work: str) -> None:
        agree(save_model(tmp_path / "model", pooling=pooling, normalize=pooling in ("mean", "cls")), work)

    @pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert"])
    def test_other_architectures_of_the_family(self, tmp_path: Path, kind: str) -> None:
        agree(save_model(tmp_path / "model", kind=kind), "queries")
        agree(tmp_path / "model", "documents")

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_weights(self, tmp_path: Path, folder: Path, dtype: str) -> None:
        import torch
        from transformers import AutoModel

        model = save_model(tmp_path / "model")
        AutoModel.from_pretrained(model).to(getattr(torch, dtype)).save_pretrained(model)
        ours = vectors(model, "queries")
        assert np.abs(ours - vectors(folder, "queries")).max() < (0.01 if dtype == "float16" else 0.1)
        assert np.abs(ours - vectors(folder, "queries")).max() > 0  # the weights were rounded

    def test_names_of_old_checkpoints(self, tmp_path: Path, folder: Path) -> None:
        def old(name: str, tensor: Any) -> tuple[str, Any]:
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            return f"bert.{name}", tensor

        renamed = rewrite(save_model(tmp_path / "model"), old)
        assert np.array_equal(vectors(renamed, "queries"), vectors(folder, "queries"))

    def test_what_is_not_of_the_family_is_left_to_the_reference(self, tmp_path: Path, folder: Path) -> None:
        for name, options in {
            "distilbert": {"kind": "distilbert"},
            "gelu": {"hidden_act": "gelu_new"},
        }.items():
            encoder = open_encoder(str(save_model(tmp_path / name, **options)), "queries")  # type: ignore[arg-type]
            assert encoder.embed(TEXTS, "query").shape == (len(TEXTS), 32)
            assert encoder.runtime_name == "sentence-transformers, float32"
            assert len(encoder.passed_over) == 1

    def test_a_tensor_of_another_shape_is_not_run(self, tmp_path: Path) -> None:
        def cut(name: str, tensor: Any) -> tuple[str, Any]:
            return name, tensor[:, :-1] if name == "encoder.layer.1.output.dense.weight" else tensor

        model = rewrite(save_model(tmp_path / "model"), cut)
        with pytest.raises(Unsupported, match=r"encoder\.layer\.1\.output\.dense\.weight is \(32, 63\)"):
            ModelFolder(model).bert()

    def test_a_tokenizer_of_another_model(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model", vocab_size=20)
        with pytest.raises(CorruptError, match="tokenizer does not fit its weights"):
            open_encoder(str(model), "queries").embed(["the lamp keeper"], "query")

    @pytest.mark.parametrize("work", ["queries", "documents"])
    def test_token_vectors(self, folder: Path, work: Any) -> None:
        ours = open_encoder(str(folder), work).token_vectors(TEXTS, "query")
        for one, other in zip(ours, open_encoder(str(folder), "reference").token_vectors(TEXTS, "query"), strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() < 0.03


class TestEngines:
    @pytest.mark.parametrize("engine", list(ENGINES))
    def test_groups_come_back_in_order_and_a_reader_may_stop(self, folder: Path, engine: str) -> None:
        running = ENGINES.load(engine)(ModelFolder(folder).bert(), "float32")
        texts = [np.array([2, *([7 + n] * n), 3], dtype=np.int32) for n in range(1, 12)]
        groups = [[text] for text in texts]
        found = [hidden[0] for hidden in running.run(iter(groups))]
        assert [len(hidden) for hidden in found] == [len(text) for text in texts]
        together = next(iter(running.run([texts])))
        assert all(np.abs(a - b).max() < 1e-4 for a, b in zip(found, together, strict=True))
        rest = running.run(iter(groups))
        assert np.allclose(next(rest)[0], found[0], atol=1e-5)
        rest.close()

    def test_a_query_is_not_moved_by_what_else_is_embedded(self, folder: Path) -> None:
        alone = open_encoder(str(folder)).embed(["otters dig"], "query")
        record = record_space(open_encoder(str(folder)))
        encoder = open_encoder(str(folder))
        guard(record, encoder, path="x", short=True)
        assert np.array_equal(encoder.embed(["otters dig"], "query"), alone)

    @given(st.lists(st.floats(-12, 12, width=32), min_size=1, max_size=40))
    def test_gelu(self, values: list[float]) -> None:
        x = np.array(values, dtype=np.float32)
        exact = [float(v) * 0.5 * (1 + math.erf(float(v) / math.sqrt(2))) for v in x]
        assert np.abs(_gelu(x.copy()) - exact).max() < 1e-5

    @given(st.lists(st.integers(1, 300), max_size=120), st.integers(64, 2000))
    def test_batches(self, lengths: list[int], budget: int) -> None:
        found = batches(lengths, budget)
        assert sorted(n for group in found for n in group) == list(range(len(lengths)))
        for group in found:
            width, tokens = lengths[group[0]], sum(lengths[n] for n in group)
            assert width == max(lengths[n] for n in group)
            assert len(group) == 1 or width * len(group) <= budget
            before = tokens - lengths[group[-1]]
            assert len(group) == 1 or before <= 64 or width * len(group) - tokens <= 0.05 * width * len(group)

    def test_pooling_of_one_token(self) -> None:
        one = np.arange(4, dtype=np.float32)[None]
        for how in POOLINGS:
            assert np.allclose(pool(one, how), one[0])


class TestProbe:
    def test_the_fastest_is_found_once_and_remembered(self) -> None:
        asked: list[Way] = []

        def seconds(way: Way) -> float:
            asked.append(way)
            return 1 / way.budget + way.streams

        best = fastest_way(["x"], seconds)
        assert best == min(ways(), key=lambda way: 1 / way.budget + way.streams)
        assert asked == ways()
        assert fastest_way(["x"], seconds) == best
        assert asked == ways()
        fastest_way(["another model"], seconds)
        assert len(asked) == 2 * len(ways())

    @pytest.mark.parametrize("damage", [b"", b"[9999, 1]", b'{"a": 1}', b"[1]", b"\xff"])
    def test_what_is_remembered_may_be_damaged(self, cache: Path, damage: bytes) -> None:
        best = fastest_way(["x"], lambda way: way.budget)
        (path,) = (cache / "probes").iterdir()
        path.write_bytes(damage)
        assert fastest_way(["x"], lambda way: way.budget) == best

    def test_it_changes_how_batches_are_run_and_nothing_else(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = vectors(folder, "documents")
        monkeypatch.setattr("core.encoders.engines.openvino._MANY", 1)
        monkeypatch.setattr(probe_module, "ways", lambda: [Way(2, 256)])
        encoder = open_encoder(str(folder), "documents")
        assert np.abs(encoder.embed(TEXTS, "passage") - before).max() < 0.02
        assert encoder._runtime._engine.budget == 256  # type: ignore[attr-defined]


class TestFallingBack:
    def test_an_engine_that_is_wrong_is_not_used(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        record = record_space(open_encoder(str(folder)))
        run = NumpyEngine.run

        def wrong(engine: NumpyEngine, groups: Iterator[Sequence[Ids]]) -> Iterator[list[Floats]]:
            for hidden in run(engine, groups):
                yield [np.roll(one, 1, axis=1) for one in hidden]

        monkeypatch.setattr(NumpyEngine, "run", wrong)
        encoder = open_encoder(str(folder))
        verdict = guard(record, encoder, path="x", short=True)
        assert verdict.accepted
        assert verdict.runtime == encoder.runtime_name == "sentence-transformers, float32"
        assert encoder.passed_over == ["numpy, float32 does not agree with the canaries here"]

    def test_there_is_an_end_to_it(self, folder: Path) -> None:
        encoder = open_encoder(str(folder), "documents")
        names = [encoder.runtime_name]
        while encoder.fall_back():
            names.append(encoder.runtime_name)
        assert names[-3:] == ["openvino, float32", "sentence-transformers, float32", "numpy, float32"]
        assert not encoder.fall_back()
        assert encoder.embed(["otters"], "query").any()

    def test_without_openvino(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ENGINES._table, "openvino", "no_such_module:Engine")
        assert open_encoder(str(folder), "documents").runtime_name == "sentence-transformers, float32"


class TestEnginesThatFail:
    def test_openvino_that_cannot_compile_here(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import openvino

        def unknown(*call: Any) -> None:
            raise RuntimeError("unknown processor")

        monkeypatch.setattr(openvino.Core, "compile_model", unknown)
        encoder = open_encoder(str(folder), "documents")
        assert encoder.embed(["otters"], "passage").any()
        assert encoder.runtime_name == "sentence-transformers, float32"
        assert "OpenVINO cannot run it here (unknown processor)" in encoder.passed_over[0]

    def test_a_library_that_cannot_be_loaded(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(name: str) -> None:
            raise ImportError("libx.so: cannot open shared object file")

        monkeypatch.setattr(ENGINES, "load", broken)
        assert open_encoder(str(folder), "documents").runtime_name == "sentence-transformers, float32"

    def test_an_engine_that_starts_and_cannot_run(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        record = record_space(open_encoder(str(folder)))

        def fails(engine: NumpyEngine, groups: Any) -> Iterator[list[Floats]]:
            raise RuntimeError("illegal instruction")
            yield []

        monkeypatch.setattr(NumpyEngine, "run", fails)
        encoder = open_encoder(str(folder))
        assert guard(record, encoder, path="x", short=True).runtime == "sentence-transformers, float32"

    def test_a_runtime_that_differs_is_not_used_without_an_index_either(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from typer.testing import CliRunner

        from cli.main import app
        from core.models import prepare

        before = CliRunner().invoke(app, ["similar", "otters dig", "snow fell", "--model", str(folder), "--json"])
        run = NumpyEngine.run
        monkeypatch.setattr(
            NumpyEngine, "run", lambda engine, groups: ([np.roll(h, 1, 1) for h in g] for g in run(engine, groups))
        )
        now = CliRunner().invoke(app, ["similar", "otters dig", "snow fell", "--model", str(folder), "--json"])
        first, second = (json.loads(done.stdout)["vectors"] for done in (before, now))
        assert np.allclose(first, second, atol=1e-5)
        assert prepare(str(folder)).runtimes["queries"] == "sentence-transformers, float32"


class TestRemembered:
    def test_a_copy_that_is_run_differently_does_not_speak_for_the_real_one(self, tmp_path: Path) -> None:
        """Weights, tokenizer and pooling are the same; the number of heads is in none of them."""
        real, copy = save_model(tmp_path / "real"), save_model(tmp_path / "copy")
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "num_attention_heads": 2}))
        assert open_encoder(str(copy)).space == open_encoder(str(real)).space
        other = record_space(open_encoder(str(copy)))
        mine, verdict = prove(open_encoder(str(real), "documents"))
        assert verdict.accepted
        assert np.abs(other.canaries.query - mine.canaries.query).max() > 0.01

    @pytest.mark.parametrize("damage", [b"{}", b"[]", b"", b"[" * 100_000, b'{"files": 1, "digest": "x"}'])
    def test_a_damaged_memory_is_made_anew(self, tmp_path: Path, cache: Path, damage: bytes) -> None:
        (tmp_path / "file").write_bytes(b"x")
        assert remembered("x", [tmp_path / "file"], lambda: "right") == "right"
        (path,) = (cache / "digests").iterdir()
        changed = path.read_bytes().replace(b"right", b"wrong")
        for content in (damage, changed):
            path.write_bytes(content)
            assert remembered("x", [tmp_path / "file"], lambda: "right") == "right"

    def test_the_references_canaries_are_embedded_once(
        self, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = record_space(open_encoder(str(folder)))
        assert first.runtime["engine"] == "sentence-transformers"
        monkeypatch.setattr("core.encoders.reference.Reference.embed", None)  # not asked again
        again = record_space(open_encoder(str(folder)))
        assert np.array_equal(again.canaries.query, first.canaries.query)
        assert again.canaries.texts == tuple(canary_texts(open_encoder(str(folder))))
        monkeypatch.undo()
        (path,) = (cache / "canaries").iterdir()
        data = bytearray(path.read_bytes())
        data[-5] ^= 64
        path.write_bytes(data)
        assert np.array_equal(record_space(open_encoder(str(folder))).canaries.passage, first.canaries.passage)

    def test_a_changed_file_is_read_again(self, tmp_path: Path) -> None:
        file = tmp_path / "weights"
        file.write_bytes(b"one")
        calls: list[str] = []

        def compute() -> str:
            calls.append(file.read_text())
            return calls[-1]

        assert [remembered("x", [file], compute), remembered("x", [file], compute)] == ["one", "one"]
        file.write_bytes(b"two")
        assert remembered("x", [file], compute) == "two"
        assert calls == ["one", "two"]
        assert remembered("y", [file], compute) == "two"

    def test_no_cache_can_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "file" / "cache"))
        record = record_space(open_encoder(str(folder)))
        assert guard(record, open_encoder(str(folder), "documents"), path="x").accepted

    def test_a_model_changed_in_place_is_another_space(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model")
        before = open_encoder(str(model)).space
        rewrite(model, lambda name, tensor: (name, tensor * np.float32(1.01)))
        assert list(before.differences(open_encoder(str(model)).space)) == ["weights"]
