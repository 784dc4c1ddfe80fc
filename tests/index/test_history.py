"""history, diff and stats say what a reader finds when it reads every document of every generation."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from handmade import FIRST, SECOND, built, generation, put, without_merges
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import CorruptError, NoIndexError, UsageError
from core.history import Changes, compare, diff, history
from core.index import reader
from core.index.collect import collect
from core.index.columns import Strings
from core.index.generation import generation_name
from core.index.kept import number_of, read_generation, read_kept
from core.index.reader import Index, open_index
from core.index.writer import create
from core.lexical import ANALYZERS
from core.stats import _age, stats


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    source, root = put(folder / "notes", FIRST), folder / "my.index"
    with pytest.MonkeyPatch.context() as patch:
        without_merges(patch)
        for files in ({}, SECOND, {"new.txt": None, "cat.md": FIRST["cat.md"], "gone.txt": FIRST["gone.txt"]}):
            put(source, files)
            built(root, source)
    return root


@pytest.fixture
def root(three: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(three, tmp_path / "my.index"))


def documents(root: Path, number: int) -> dict[str, str]:
    """Id -> sha256 of every live document, read one by one."""
    index = Index(root, read_generation(root, number))
    found = (segment.document(row) for segment, row in index.live_documents())
    return {document.id: document.sha256 for document in found}


def by_hand(old: dict[str, str], new: dict[str, str]) -> Changes:
    same = {id for id in old.keys() & new.keys() if old[id] == new[id]}
    return Changes(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted((old.keys() & new.keys()) - same)),
        tuple(sorted(old.keys() - new.keys())),
        len(same),
    )


# diff


@pytest.mark.parametrize("old", [1, 2, 3])
@pytest.mark.parametrize("new", [1, 2, 3])
def test_diff_is_what_reading_everything_finds(root: Path, old: int, new: int) -> None:
    found = diff(root, old, new)
    assert (found.old, found.new) == (old, new)
    assert found.changes == by_hand(documents(root, old), documents(root, new))


def test_diff_of_the_second_build(root: Path) -> None:
    """`cat.md` was changed, `gone.txt` removed and `new.txt` added; the other three stayed."""
    changes = diff(root, 1, 2).changes
    assert changes == Changes(("notes/new.txt",), ("notes/cat.md",), ("notes/gone.txt",), 3)
    assert diff(root, 1, 3).changes == Changes(unchanged=5)  # as they were, though stored in other segments


@settings(max_examples=15)
@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2"])), min_size=2, max_size=4))
def test_diff_of_any_history(versions: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, root = put(Path(folder) / "notes", {"always.txt": "here"}), Path(folder) / "my.index"
        held: dict[int, dict[str, str]] = {}
        for version in versions:
            for path in source.glob("[a-f].txt"):
                path.unlink()
            put(source, {f"{name}.txt": text for name, text in version.items()})
            number = built(root, source).index.generation
            held[number] = {"notes/always.txt": "here", **{f"notes/{name}.txt": text for name, text in version.items()}}
        for old in held:
            for new in held:
                assert diff(root, old, new).changes == by_hand(held[old], held[new])
        for entry in history(root):
            expected = by_hand(held[entry.parent], held[entry.number]) if entry.parent else Changes(tuple(held[1]))
            assert (entry.added, entry.changed, entry.removed) == tuple(
                map(len, (expected.added, expected.changed, expected.removed))
            )
            assert entry.documents == len(held[entry.number])


def test_only_rows_that_live_in_one_of_both_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    raw = Strings.raw
    monkeypatch.setattr(Strings, "raw", lambda self, row: read.append(raw(self, row)) or raw(self, row))
    changes = diff(root, 1, 2).changes
    ids = {text.decode() for text in read if text.startswith(b"notes/")}
    assert ids == {*changes.added, *changes.changed, *changes.removed}
    assert len(read) == 2 * 4  # id and sha256 of both versions of cat.md, of gone.txt and of new.txt


def test_diff_opens_nothing_for_the_same_generation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "Table", None)
    index = open_index(root)
    assert compare(index, index) == Changes(unchanged=generation(root).documents)


def test_diff_names_settings_and_sources_that_differ(root: Path, tmp_path: Path) -> None:
    built(root, ann="exact")
    built(root, put(tmp_path / "more", {"a.txt": "more"}))
    differences = diff(root, 3, 5).differences
    assert differences.keys() == {"settings.ann", "sources"}
    assert differences["settings.ann"] == ({"name": "auto"}, {"name": "exact"})
    old, new = differences["sources"]
    assert [source["name"] for source in old] == ["notes"]
    assert [source["name"] for source in new] == ["notes", "more"]
    assert diff(root, 1, 3).differences == {}


def test_a_generation_that_is_not_there(root: Path) -> None:
    for pair in ((1, 9), (9, 1), (0, 1)):
        with pytest.raises(UsageError, match=r"there is no generation [90] in this index; it has 1-3"):
            diff(root, *pair)
    collect(root, 1)
    with pytest.raises(UsageError, match="no generation 1 in this index; it has 3"):
        read_kept(root, 1)


def test_collected_while_it_was_compared(root: Path) -> None:
    """The files are gone with the generation: no damage, but a generation that is not there."""

    def collected(old: Index, new: Index) -> Changes:
        collect(root, 1)
        return compare(old, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.history.compare", collected)
        with pytest.raises(UsageError, match="there is no generation 2"):
            diff(root, 2, 3)


def test_words_for_a_generation(root: Path) -> None:
    assert (number_of(root, "current"), number_of(root, "2"), number_of(root, "000002")) == (3, 2, 2)
    for word in ("", "-1", "latest", "2.0", "２", "9" * 30):
        with pytest.raises(UsageError, match="is no generation"):
            number_of(root, word)


# history


def test_each_generation_against_its_parent(root: Path) -> None:
    first, second, third = history(root)
    assert [(e.number, e.parent, e.documents, e.added, e.changed, e.removed) for e in (first, second, third)] == [
        (1, 0, 5, 5, 0, 0),
        (2, 1, 5, 1, 1, 1),
        (3, 2, 5, 1, 1, 1),
    ]
    assert [entry.current for entry in (first, second, third)] == [False, False, True]
    assert all(entry.error == "" and entry.tool and entry.created.endswith("Z") for entry in (first, second, third))


def test_chunks_and_bytes(root: Path) -> None:
    known: set[str] = set()
    for entry in history(root):
        index = Index(root, read_generation(root, entry.number))
        live = [segment.live for segment in index.segments]
        chunks = (
            s.segment.chunks if mask is None else mask.sum() for s, mask in zip(index.segments, live, strict=True)
        )
        assert entry.chunks == sum(chunks)
        files = index.generation.files
        assert entry.size == sum((root / name).stat().st_size for name in files)
        assert entry.new == sum((root / name).stat().st_size for name in files.keys() - known)
        known = set(files)


def test_a_parent_that_is_gone_is_nothing_to_compare_with(root: Path) -> None:
    collect(root, 2)
    second, third = history(root)
    assert (second.number, second.documents, second.error) == (2, 5, "")
    assert (second.added, second.changed, second.removed, second.new) == (None, None, None, None)
    assert (third.added, third.changed, third.removed) == (1, 1, 1)


def test_damage_is_told_in_its_entry(root: Path) -> None:
    path = root / generation_name(2)
    path.write_bytes(path.read_bytes()[:-20])
    first, second, third = history(root)
    assert (first.error, third.error) == ("", "")
    assert "this generation is damaged" in second.error
    assert str(path) in second.error
    assert second.documents is None
    assert (third.documents, third.added) == (5, None)


@pytest.mark.parametrize("damage", ["missing", "cut short", "changed"])
def test_a_damaged_file_is_told_by_every_generation_that_needs_it(root: Path, damage: str) -> None:
    path = root / "documents" / "000002"
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(data[:-1] if damage == "cut short" else data[:-1] + bytes([data[-1] ^ 1]))
    errors = {entry.number: entry.error for entry in history(root)}
    needing = [number for number in (1, 2, 3) if "documents/000002" in read_generation(root, number).files]
    assert needing == [2]
    assert [number for number, error in errors.items() if error] == needing
    assert str(path) in errors[2]


def test_nothing_to_tell_of(root: Path, tmp_path: Path) -> None:
    create(tmp_path / "new.index")
    for path in (tmp_path / "new.index", tmp_path / "none"):
        for ask in (history, stats):
            with pytest.raises(NoIndexError):
                ask(path)
    (root / "CURRENT").write_text("?")
    with pytest.raises(CorruptError):
        history(root)


# stats


@pytest.fixture
def partly_dead(tmp_path: Path) -> Path:
    texts = {
        f"{n}.txt": " ".join(random.Random(n).choices(["bank", "river", "银行", "mat", "otter"], k=9)) for n in range(8)
    }
    source, root = put(tmp_path / "notes", texts), tmp_path / "dead.index"
    other = put(tmp_path / "more", {"z.txt": "only here: zebra"})
    built(root, source, other, chunker="recursive", size=8)
    put(source, {"0.txt": "crane", "1.txt": None, "2.txt": None})
    built(root, source)
    return root


def test_stats_count_what_lives(partly_dead: Path) -> None:
    index, found = open_index(partly_dead), stats(partly_dead)
    analyzer = ANALYZERS.load("mixed")()
    tokens, characters = [], []
    terms: set[str] = set()
    sources: Counter[str] = Counter()
    for segment, row in index.live_documents():
        document = segment.document(row)
        sources[document.source] += 1
        for n in np.flatnonzero(segment.chunk_documents == row):
            chunk = segment.chunk(int(n), document)
            words = analyzer.tokens(f"{chunk.context}\n{chunk.text}")
            terms |= set(words)
            tokens.append(len(words))
            characters.append(len(chunk.text))
    assert (found.documents, found.chunks) == (7, len(tokens))
    assert found.dead == pytest.approx(3 / 10)
    assert (found.tokens, found.terms) == (sum(tokens), len(terms))
    assert found.sources == dict(sources) == {"notes": 6, "more": 1}
    for spread, lengths in ((found.chunk_tokens, tokens), (found.chunk_characters, characters)):
        assert spread.mean == pytest.approx(np.mean(lengths))
        assert (spread.median, spread.max) == (np.median(lengths), max(lengths))
    assert (found.dimension, found.generation) == (128, 2)
    assert sum(found.languages.values()) == pytest.approx(1)


def test_stats_of_bytes_and_segments(partly_dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.vectors.plan.WORTH", 1)
    built(partly_dead, ann="binary")
    found, files = stats(partly_dead), generation(partly_dead).files
    assert sum(found.bytes.values()) == sum(digest.size for digest in files.values())
    assert found.bytes["codes"] == sum(digest.size for name, digest in files.items() if name.endswith(".codes")) > 0
    assert found.bytes["documents"] == sum((partly_dead / f"documents/00000{n}").stat().st_size for n in (1, 2))
    assert found.bytes["graphs"] == found.bytes["encoder"] == 0
    first, second = found.segments
    assert (first.documents, first.live_documents, second.documents, second.live_documents) == (9, 6, 1, 1)
    assert first.live_chunks + second.live_chunks == found.chunks < first.chunks + second.chunks
    assert first.size + second.size + found.bytes["space"] == sum(found.bytes.values())


@pytest.mark.parametrize(
    ("created", "age"), [("2026-01-31T02:00:05Z", 3600), ("2026-01-31T04:00:05Z", 0), ("yesterday", None)]
)
def test_age(monkeypatch: pytest.MonkeyPatch, created: str, age: int | None) -> None:
    """By this machine's clock, which may be behind; what is no time has no age."""
    monkeypatch.setattr(time, "time", lambda: 1769828405.7)  # 2026-01-31, 03:00:05
    assert _age(created) == age
