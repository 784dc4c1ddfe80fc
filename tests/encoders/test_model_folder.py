"""The identity of a model is read from its folder alone, and a folder that lies is found out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import perturbed_model
import pytest
from typer.testing import CliRunner

from cli.main import app
from core.config import open_encoder
from core.encoders.model_folder import ModelFolder
from core.errors import CorruptError, MissingError

pytestmark = pytest.mark.xdist_group("minilm")


DESCRIPTIONS = (
    "modules.json",
    "config.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
)


def run(*words: object) -> tuple[int, str]:
    """Exit code and everything said."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.output


def digest_of(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "LOCK")
    return hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in files)).hexdigest()


@pytest.fixture
def copy(minilm: Path, tmp_path: Path) -> Path:
    """A copy of the model whose small files may be changed; the weights are a link until they are replaced."""
    folder = tmp_path / "model"
    shutil.copytree(minilm, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.safetensors").symlink_to(minilm / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small index by minilm."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_text("Otters dig along the bank of the river.")
    assert run("build", folder / "docs", "--to", folder / "i")[0] == 0
    return folder / "i"


class TestIdentity:
    def test_a_copy_elsewhere_is_the_same_space(self, copy: Path) -> None:
        assert open_encoder(str(copy)).space.id == open_encoder("minilm").space.id

    def test_saved_again_it_is_the_same_space(self, minilm: Path, tmp_path: Path) -> None:
        from sentence_transformers import SentenceTransformer

        SentenceTransformer(str(minilm), device="cpu").save_pretrained(str(tmp_path / "saved"))
        assert open_encoder(str(tmp_path / "saved")).space.differences(open_encoder("minilm").space) == {}

    def test_perturbed_it_differs_in_its_weights_alone(self, perturbed: Path) -> None:
        differences = open_encoder("minilm").space.differences(open_encoder(str(perturbed)).space)
        assert list(differences) == ["weights"]

    def test_perturbing_is_deterministic_and_small(self, perturbed: Path, minilm: Path, tmp_path: Path) -> None:
        again = perturbed_model.perturb(tmp_path / "again")
        assert (again / "model.safetensors").read_bytes() == (perturbed / "model.safetensors").read_bytes()
        a, b = (open_encoder(str(folder)).embed(["the river bank"], "query")[0] for folder in (minilm, perturbed))
        assert 0.5 < a @ b < 0.9998

    @pytest.mark.parametrize(
        ("name", "change", "field"),
        [
            ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "pooling"),
            ("sentence_bert_config.json", {"max_seq_length": 128}, "max_tokens"),
            ("tokenizer_config.json", {"do_lower_case": False}, "tokenizer"),
            ("config_sentence_transformers.json", {"prompts": {"query": "q: "}}, "query_prompt"),
            ("config_sentence_transformers.json", {"prompts": {"document": "p: "}}, "passage_prompt"),
        ],
    )
    def test_what_decides(self, copy: Path, name: str, change: dict[str, object], field: str) -> None:
        before = open_encoder(str(copy)).space
        path = copy / name
        value = json.loads(path.read_text())
        value.pop("pooling_mode", None)
        path.write_text(json.dumps({**value, **change}))
        assert list(before.differences(open_encoder(str(copy)).space)) == [field]

    def test_what_does_not_decide(self, copy: Path) -> None:
        before = ModelFolder(copy)
        (copy / "README.md").write_text("another text")
        tokenizer = json.loads((copy / "tokenizer.json").read_text())
        (copy / "tokenizer.json").write_text(json.dumps({**tokenizer, "padding": None, "truncation": None}, indent=1))
        after = ModelFolder(copy)
        assert (before.weights, before.tokenizer) == (after.weights, after.tokenizer)

    def test_without_normalize(self, copy: Path) -> None:
        modules = json.loads((copy / "modules.json").read_text())
        (copy / "modules.json").write_text(json.dumps([m for m in modules if not m["type"].endswith("Normalize")]))
        assert list(open_encoder("minilm").space.differences(open_encoder(str(copy)).space)) == ["normalize"]


class TestRefused:
    def test_everywhere_with_what_differs_and_what_to_do(self, built: Path, perturbed: Path) -> None:
        before = digest_of(built)
        for words in (
            ["search", built, "otters"],
            ["verify-space", built],
            ["build", "--to", built],
            ["ingest", "--to", built],
        ):
            code, said = run(*words, "--model", perturbed)
            assert code == 13, said
            assert "weights" in said
            assert f"--to NEW.index --model {perturbed}" in said
        assert digest_of(built) == before

    def test_the_same_weights_anywhere_are_accepted(self, built: Path, copy: Path) -> None:
        for words in (["search", built, "otters"], ["verify-space", built], ["build", "--to", built]):
            assert run(*words, "--model", copy)[0] == 0

    def test_a_folder_that_lies(self, minilm: Path, perturbed: Path, tmp_path: Path) -> None:
        """The same path, other weights since the build: searching and embedding are refused, and nothing is written."""
        model, index, docs = tmp_path / "model", tmp_path / "i", tmp_path / "docs"
        shutil.copytree(minilm, model, copy_function=os.link)
        docs.mkdir()
        (docs / "a.txt").write_text("Otters dig along the bank.")
        assert run("build", docs, "--to", index, "--model", model)[0] == 0
        (model / "model.safetensors").unlink()
        os.link(perturbed / "model.safetensors", model / "model.safetensors")
        published = {path: path.read_bytes() for path in index.rglob("*") if path.is_file() and path.name != "LOCK"}

        code, said = run("search", index, "otters")
        assert code == 13, said
        assert "weights" in said
        assert "changed under its name" in said
        (docs / "b.txt").write_text("A new text.")
        code, said = run("build", "--to", index)
        assert code == 13, said
        assert "changed under its name" in said
        assert {path: path.read_bytes() for path in published} == published
        assert not list((index / "staging").rglob("parts/*/*"))
        assert run("search", index, "otters", "--mode", "lexical")[0] == 0

        (model / "model.safetensors").unlink()
        os.link(minilm / "model.safetensors", model / "model.safetensors")
        assert run("build", "--to", index)[0] == 0

    def test_a_folder_that_is_gone(self, copy: Path, tmp_path: Path) -> None:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "a.txt").write_text("Otters")
        assert run("build", tmp_path / "docs", "--to", tmp_path / "i", "--model", copy)[0] == 0
        copy.rename(tmp_path / "moved")
        code, said = run("search", tmp_path / "i", "otters")
        assert (code, "is gone" in said, "--model FOLDER" in said) == (15, True, True)
        assert run("search", tmp_path / "i", "otters", "--model", tmp_path / "moved")[0] == 0


class TestDamaged:
    def refused(self, folder: Path, code: int, *words: str) -> None:
        """`models show` and `build` refuse the model; no index is left behind."""
        (folder.parent / "docs").mkdir(exist_ok=True)
        (folder.parent / "docs" / "a.txt").write_text("text")
        index = folder.parent / "none.index"
        for command in (
            ["models", "show", folder],
            ["build", folder.parent / "docs", "--to", index, "--model", folder],
        ):
            found, said = run(*command)
            assert found == code, said
            for word in words:
                assert word in said
        assert not index.exists()

    def test_weights_cut_short(self, copy: Path, minilm: Path) -> None:
        (copy / "model.safetensors").unlink()
        (copy / "model.safetensors").write_bytes((minilm / "model.safetensors").read_bytes()[:1_000_000])
        self.refused(copy, 12, "cut short", "fetch the model again")

    @pytest.mark.parametrize(
        "data", [b"", b"1234567", b"\xff" * 100, b"\x05\0\0\0\0\0\0\0[1,2]", b"\x02\0\0\0\0\0\0\0{}"]
    )
    def test_no_safetensors_at_all(self, copy: Path, data: bytes) -> None:
        (copy / "model.safetensors").unlink()
        (copy / "model.safetensors").write_bytes(data)
        with pytest.raises((CorruptError, MissingError)):
            open_encoder(str(copy))

    @pytest.mark.parametrize(
        "entry",
        ["null", '{"dtype":"F32"}', '{"dtype":"F32","shape":[1],"data_offsets":[0]}',
         '{"dtype":"F32","shape":[1],"data_offsets":["a","b"]}', '{"dtype":7,"shape":[1],"data_offsets":[0,4]}'],
    )  # fmt: skip
    def test_a_header_that_makes_no_sense(self, copy: Path, entry: str) -> None:
        header = f'{{"w":{entry}}}'.encode()
        (copy / "model.safetensors").unlink()
        (copy / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
        self.refused(copy, 12, "model.safetensors", "fetch the model again")

    def test_only_pickled_weights(self, copy: Path) -> None:
        (copy / "model.safetensors").unlink()
        (copy / "pytorch_model.bin").write_bytes(b"\x80\x04")
        self.refused(copy, 15, "only pickled weights (pytorch_model.bin)", "save_pretrained")

    def test_no_weights(self, copy: Path) -> None:
        (copy / "model.safetensors").unlink()
        self.refused(copy, 15, "no .safetensors weights")

    def test_a_folder_of_other_things(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        self.refused(tmp_path / "model", 15, "holds no sentence-transformers model")

    @pytest.mark.parametrize("name", DESCRIPTIONS)
    @pytest.mark.parametrize("content", ["{", "[1]"])
    def test_a_damaged_description(self, copy: Path, name: str, content: str) -> None:
        (copy / name).write_text(content)
        self.refused(copy, 12, "fetch the model again")

    def test_weights_of_another_shape(self, copy: Path, tmp_path: Path) -> None:
        """The description fits itself, so only loading it shows the damage."""
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 7}))
        code, said = run("similar", "a", "b", "--model", copy)
        assert code == 12, said
        assert "cannot load this model" in said

    def test_no_tokenizer(self, copy: Path) -> None:
        for name in ("tokenizer.json", "vocab.txt"):
            (copy / name).unlink()
        self.refused(copy, 15, "no tokenizer files")


class Answer404(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


class TestHub:
    @pytest.fixture
    def hub(self) -> Iterator[str]:
        server = HTTPServer(("127.0.0.1", 0), Answer404)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()

    def show(self, endpoint: str, cache: Path) -> tuple[int, str]:
        env = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        env |= {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
        command = [str(Path(sys.executable).with_name("samespace")), "models", "prepare", "nobody/nothing"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def test_a_hub_that_has_no_such_model(self, hub: str, tmp_path: Path) -> None:
        code, said = self.show(hub, tmp_path)
        assert code == 15, said
        assert "no model 'nobody/nothing'" in said
        assert "samespace models" in said

    def test_a_hub_that_does_not_answer(self, hub: str, tmp_path: Path) -> None:
        with HTTPServer(("127.0.0.1", 0), Answer404) as closed:
            endpoint = f"http://127.0.0.1:{closed.server_port}"
        code, said = self.show(endpoint, tmp_path)
        assert code == 16, said
        assert "does not answer" in said
        assert "--model FOLDER" in said


def test_a_module_with_folders_of_its_own_is_refused(copy: Path) -> None:
    """A Router holds modules within modules: pickles and weights that the identity would not see."""
    modules = json.loads((copy / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "9_R", "type": "sentence_transformers.models.Router"})
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(MissingError, match="Router"):
        open_encoder(str(copy))


def test_a_tokenizer_that_is_none(copy: Path) -> None:
    (copy / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(CorruptError, match="tokenizer"):
        open_encoder(str(copy)).token_starts("text")
