from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from shell import ROOT, ok, put

NOTES: dict[str, str | bytes] = {
    "river.md": "# The river bank\n\nOtters dig their holes along the bank of the river.\n",
    "money.txt": "A bank lends money and pays interest on savings.\n",
    "银行.txt": "银行的利率上周又下调了。存款的人并不高兴。\n",
    "sub/茶.md": "# 龙井茶\n\n龙井茶用八十度的水泡，三分钟就好。\n",
    "with space.txt": "Snow fell on the mountain all night.\n",
    "long.txt": "\n\n".join(f"Paragraph {n} tells of the lighthouse keeper and his {n} lamps. " * 4 for n in range(40)),
}


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six documents; `long.txt` makes several chunks."""
    return put(tmp_path_factory.mktemp("corpus") / "notes", NOTES)


@pytest.fixture(scope="session")
def built_index(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = tmp_path_factory.mktemp("built") / "notes.index"
    ok("build", notes, "--to", index, "--model", "hashing")
    return index


@pytest.fixture
def index(built_index: Path, tmp_path: Path) -> Path:
    """An index of `notes` by the hashing model, for this test alone."""
    return Path(shutil.copytree(built_index, tmp_path / "notes.index"))


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sample_corpus` and its index by minilm, `sample.index`: where the examples are typed."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "sample_corpus").symlink_to(ROOT / "sample_corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("build", "sample_corpus", "--to", "sample.index", "--model", "minilm")
    return folder


@pytest.fixture
def beir(tmp_path: Path) -> tuple[Path, Path]:
    """A collection whose lexical ranking is plain to see, and its index: `a` before `b` before `c` for "apple"."""
    records = {"a": "apple apple apple", "b": "apple apple pear", "c": "apple pear plum", "d": "snow"}
    lines = "".join(json.dumps({"_id": id, "title": "", "text": text}) + "\n" for id, text in records.items())
    folder = put(
        tmp_path / "beir",
        {
            "corpus.jsonl": lines,
            "queries.jsonl": '{"_id": "1", "text": "apple"}\n{"_id": "2", "text": "snow"}\n{"_id": "3", "text": "x"}\n',
            "qrels/test.tsv": "query-id\tcorpus-id\tscore\n1\tb\t2\n1\tc\t1\n1\td\t1\n2\td\t1\n",
        },
    )
    index = tmp_path / "beir.index"
    ok("build", folder / "corpus.jsonl", "--to", index, "--model", "hashing", "--chunker", "none")
    return folder, index
