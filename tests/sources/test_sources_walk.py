from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path

import pytest
from samples import documents, items, outcomes

from core.errors import StorageError, UsageError
from core.sources.scan import scan
from core.types import Source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    return folder


def test_hidden_files_and_folders_are_passed_over(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git" / "a.txt").write_text("x")
    (root / ".b.txt").write_text("x")
    assert items(root) == []


def test_a_hidden_folder_given_itself_is_read(tmp_path: Path) -> None:
    root = tmp_path / ".notes"
    root.mkdir()
    (root / "a.txt").write_text("x")
    assert list(documents(root)) == [".notes/a.txt"]


def test_pipes_and_sockets_are_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe.txt")
    monkeypatch.chdir(root)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.txt")
        found = outcomes(root)
    assert {path: status for path, (status, _) in found.items()} == {
        "corpus/pipe.txt": "skipped",
        "corpus/socket.txt": "skipped",
    }
    assert outcomes(root / "pipe.txt")["pipe.txt"][0] == "skipped"


def test_links(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("outside")
    (root / "sub").mkdir()
    (root / "sub" / "real.txt").write_text("inside")
    (root / "inside.txt").symlink_to("sub/real.txt")
    (root / "outside.txt").symlink_to("../secret.txt")
    (root / "nowhere.txt").symlink_to("gone.txt")
    (root / "itself.txt").symlink_to("itself.txt")
    (root / "sub" / "loop").symlink_to("..")
    assert list(documents(root)) == ["corpus/inside.txt", "corpus/sub/real.txt"]
    assert outcomes(root) == {
        "corpus/itself.txt": ("failed", "a link that leads nowhere"),
        "corpus/nowhere.txt": ("failed", "a link that leads nowhere"),
        "corpus/outside.txt": ("skipped", "a link that leads out of the source"),
        "corpus/sub/loop": ("skipped", "a link to a folder"),
    }


def test_a_root_that_is_a_link_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "a.txt").write_text("x")
    (tmp_path / "link").symlink_to(root)
    assert list(documents(tmp_path / "link")) == ["link/a.txt"]


def test_a_file_or_folder_without_permission_fails_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.txt").write_text("x")
    (root / "locked.txt").write_text("x")
    (root / "shut").mkdir()
    deny = PermissionError(13, "Permission denied")
    open_file, list_folder = Path.open, os.scandir

    def opening(self: Path, *args: object) -> object:  # simulated: for root no file is closed
        if self.name == "locked.txt":
            raise deny
        return open_file(self, *args)  # type: ignore[call-overload]

    def listing(path: Path) -> object:
        if Path(path).name == "shut":
            raise deny
        return list_folder(path)

    monkeypatch.setattr(Path, "open", opening)
    monkeypatch.setattr(os, "scandir", listing)
    assert list(documents(root)) == ["corpus/a.txt"]
    assert outcomes(root) == {
        "corpus/locked.txt": ("failed", "permission denied"),
        "corpus/shut": ("failed", "permission denied"),
    }
    with pytest.raises(StorageError, match="permission denied"):
        scan(Source("shut", str(root / "shut")), {}.get)


@pytest.mark.parametrize("missing", ["gone", "a.txt/below", "nul\0"])
def test_a_missing_root_is_told_at_once(root: Path, missing: str) -> None:
    (root / "a.txt").write_text("x")
    with pytest.raises(UsageError) as caught:
        scan(Source("x", str(root / missing)), {}.get)
    assert caught.value.path
    assert caught.value.fix


def test_names_are_one_spelling_of_unicode(root: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café.txt") for form in ("NFC", "NFD"))
    (root / decomposed).write_text("x")
    assert list(documents(root)) == [f"corpus/{composed}"]
    (root / composed).write_text("y")
    assert len(documents(root)) == 1
    assert [reason for _, reason in outcomes(root).values()] == [f"the same id as corpus/{decomposed}"]


def test_names_that_are_no_unicode_are_shown_by_their_bytes(root: Path) -> None:
    (root / os.fsdecode(b"bad\xff.txt")).write_text("a\n\nb")
    (root / os.fsdecode(b"x.\xfe")).write_text("x")
    assert list(documents(root)) == ["corpus/bad\\xff.txt"]
    assert outcomes(root) == {"corpus/x.\\xfe": ("skipped", "a .\\xfe is not read")}
