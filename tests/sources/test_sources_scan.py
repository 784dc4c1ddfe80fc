from __future__ import annotations

from pathlib import Path

import pytest
from samples import CHINESE, documents, items, outcomes, pdf, word

from core.sources import READERS
from core.types import Document, Outcome


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    return folder


def _id(item: Document | Outcome) -> str:
    return item.id if isinstance(item, Document) else item.path


def test_every_format_in_the_order_of_the_paths(root: Path) -> None:
    (root / "子").mkdir()
    (root / "z.TXT").write_bytes(CHINESE.encode("gb18030"))
    (root / "子" / "会议.docx").write_bytes(word())
    (root / "a b.pdf").write_bytes(pdf("text", "more"))
    (root / "b.md").write_text("# H")
    (root / "b.htm").write_text("<p>x")
    found = items(root)
    assert [_id(item) for item in found] == [
        f"corpus/{name}" for name in ("a b.pdf", "b.htm", "b.md", "z.TXT", "子/会议.docx")
    ]
    assert [item.meta for item in found if isinstance(item, Document)] == [
        {"format": "pdf", "pages": [0, 6]},
        {"format": "html", "encoding": "utf-8"},
        {"format": "md", "encoding": "utf-8"},
        {"format": "txt", "encoding": "gb18030"},
        {"format": "docx"},
    ]
    assert {item.source for item in found if isinstance(item, Document)} == {"corpus"}


def test_a_single_file_is_called_by_the_name_of_the_source(root: Path) -> None:
    file = root / ".hidden.md"
    file.write_text("# H")
    assert list(documents(file)) == [".hidden.md"]


def test_what_is_known_is_not_parsed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.txt").write_text("one")
    (root / "b.txt").write_text("two")
    known = {name: document.sha256 for name, document in documents(root).items()}
    (root / "b.txt").write_text("changed")
    parsed: list[str] = []
    reader = READERS.load("txt")
    original = reader.read
    monkeypatch.setattr(reader, "read", lambda self, data, name: parsed.append(name) or original(self, data, name))
    assert outcomes(root, known) == {"corpus/a.txt": ("unchanged", "")}
    assert parsed == ["b.txt"]


def test_a_new_version_of_a_reader_changes_the_digest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.txt").write_text("one")
    before = documents(root)["corpus/a.txt"].sha256
    monkeypatch.setattr(READERS.load("txt"), "version", "999")
    assert documents(root)["corpus/a.txt"].sha256 != before


def test_what_is_skipped_and_what_failed(root: Path) -> None:
    for name, data in {
        "binary.txt": b"\x7fELF\0\0\1\2",
        "damaged.docx": b"PK\x03\x04 no zip",
        "damaged.pdf": b"%PDF-1.4 and no more",
        "empty.md": b"",
        "large.txt": b"x" * 2000,
        "other.jsonl": b"{}",
        "picture.PNG": b"x",
        "README": b"x",
        "sound.txt": b"sound",
    }.items():
        (root / name).write_bytes(data)
    found = outcomes(root, limit=1000)
    assert list(documents(root))[-1] == "corpus/sound.txt"
    assert {path.removeprefix("corpus/"): status for path, (status, _) in found.items()} == {
        "binary.txt": "failed",
        "damaged.docx": "failed",
        "damaged.pdf": "failed",
        "empty.md": "skipped",
        "large.txt": "skipped",
        "other.jsonl": "skipped",
        "picture.PNG": "skipped",
        "README": "skipped",
    }
    assert found["corpus/picture.PNG"][1] == "a .png is not read"
    assert found["corpus/empty.md"][1] == "empty"
    assert "larger than the limit" in found["corpus/large.txt"][1]
    assert "corpus.jsonl" in found["corpus/other.jsonl"][1]
