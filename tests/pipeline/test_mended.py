"""What a stage once got wrong: moved and lost sources, half-done and damaged staging, settings that come too late."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from handmade import FIRST, SECOND, all_files, at_step, built, generation, put, see, seen, seen_or_nothing

from core.chunkers import ChunkSettings
from core.errors import CorruptError, UsageError
from core.index import fs
from core.index.generation import current_number
from core.index.reader import open_index, reading
from core.pipeline.build import build
from core.pipeline.chunk import chunk
from core.pipeline.embed import embed
from core.pipeline.index import index
from core.pipeline.ingest import ingest
from core.pipeline.search import MODES, Mode, Search, SearchSettings, documents_of
from core.pipeline.spaces import read_space
from core.runs import run_lines
from core.types import Query, Source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "notes", FIRST)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "my.index"


def contents(root: Path) -> dict[str, bytes]:
    """Every byte below `root`, but for the lock, which says only who wrote last."""
    return {name: (root / name).read_bytes() for name in all_files(root) - {"LOCK"}}


def sources(root: Path) -> tuple[Source, ...]:
    return generation(root).sources


# Documents ranked by their best chunk


@pytest.mark.parametrize("mode", MODES)
def test_a_document_ranks_by_its_best_chunk_also_when_it_has_the_worst(root: Path, tmp_path: Path, mode: Mode) -> None:
    best, worst = "thunder thunder thunder thunder thunder thunder", "many quiet words about snow in the thunder"
    texts = {
        "a.md": f"# One\n\n{best}\n\n{worst}",
        "b.md": "# Two\n\nthunder thunder rain thunder thunder rain",
        "c.md": "# Three\n\nrain thunder thunder and wind",
    }
    built(root, put(tmp_path / "notes", texts), size=8)
    query = Query("q", "thunder")

    def hits(**settings: object) -> list[tuple[str, float]]:
        search = Search(open_index(root), SearchSettings(mode=mode, **settings))  # type: ignore[arg-type]
        found = search.search(query).hits
        lines = [line.split() for line in run_lines("q", documents_of(found), "tag")]
        scores = [float(line[4]) for line in lines]
        assert scores == sorted(scores, reverse=True)
        assert [line[2] for line in lines] == list(dict.fromkeys(hit.chunk.document_id for hit in found))
        return [(hit.chunk.document_id, hit.score) for hit in found]

    chunks = hits()
    assert [name for name, _ in chunks] == ["notes/a.md", "notes/b.md", "notes/c.md", "notes/a.md"]
    documents = hits(unit="document")
    assert documents == chunks[:-1]
    assert hits(unit="document", k=1) == chunks[:1]


# Sources that move, go and change their names


@pytest.mark.parametrize("in_one", [True, False])
def test_a_source_that_moved_is_published_though_no_document_changed(
    root: Path, source: Path, tmp_path: Path, in_one: bool
) -> None:
    built(root, source)
    before = seen(root)
    moved = source.rename(tmp_path / "elsewhere")
    if in_one:
        assert build(root, [str(moved)], name="notes").index.published
    else:
        report = ingest(root, [str(moved)], name="notes")
        assert not report.staged
        assert not report.dead
        assert index(root).published
    assert sources(root) == (Source("notes", str(moved)),)
    assert seen(root) == before
    put(moved, SECOND)
    assert build(root).ingest.counts["changed"] == 1
    assert "notes/new.txt" in seen(root).documents


@pytest.mark.parametrize("other", [True, False])
def test_a_source_whose_root_is_gone_is_given_up_only_when_asked(
    root: Path, source: Path, tmp_path: Path, other: bool
) -> None:
    stays = put(tmp_path / "other", {"stays.txt": "This one stays by the river."})
    built(root, *([source, stays] if other else [source]))
    shutil.rmtree(source)
    before = contents(root)
    with pytest.raises(UsageError, match="'notes' is not there"):
        build(root)
    assert contents(root) == before
    report = build(root, yes=True)
    assert report.index.published
    assert report.ingest.counts["removed"] == 5
    assert [one.name for one in sources(root)] == (["other"] if other else [])
    assert set(seen(root).documents) == ({"other/stays.txt"} if other else set())
    assert not build(root).index.published
    back = put(source, FIRST)  # and it may come back
    assert built(root, back).ingest.counts["new"] == 5


def test_the_only_file_renamed_is_one_removed_and_one_new(root: Path, tmp_path: Path) -> None:
    source = put(tmp_path / "notes", {"one.txt": "The only text."})
    built(root, source)
    (source / "one.txt").rename(source / "other.txt")
    report = build(root)
    assert {o.path: o.status for o in report.ingest.outcomes} == {
        "notes/one.txt": "removed",
        "notes/other.txt": "new",
    }
    assert set(seen(root).documents) == {"notes/other.txt"}


def test_the_same_root_by_another_name_and_no_path_at_all_are_refused(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)  # what "" would mean
    with pytest.raises(UsageError, match="no such file"):
        build(root, [""], model="hashing")
    assert not root.exists()
    built(root, source)
    before = contents(root)
    for path in (source, source / "sub" / ".."):
        with pytest.raises(UsageError, match="the source 'notes' already"):
            build(root, [str(path)], name="renamed")
    with pytest.raises(UsageError, match="no such file"):
        build(root, [str(source), ""])
    assert contents(root) == before
    assert not build(root, [str(source)], name="notes").index.published


def test_an_index_within_a_source_is_one_skipped_outcome(source: Path) -> None:
    for _ in range(2):
        report = built(source / "sub" / "my.index", source).ingest
        within = [outcome for outcome in report.outcomes if "my.index" in outcome.path]
        assert [(o.path, o.status, o.reason) for o in within] == [
            ("notes/sub/my.index", "skipped", "a samespace index")
        ]
    assert len(seen(source / "sub" / "my.index").documents) == len(FIRST)


# Staging that is damaged or half done


def staged(root: Path, source: Path, *stages: Callable[[Path], object]) -> None:
    ingest(root, [str(source)], model="hashing")
    for stage in stages:
        stage(root)


@pytest.mark.parametrize("stages", [(chunk,), (chunk, embed)], ids=len)
def test_a_staged_letter_that_changed_is_not_published(
    root: Path, source: Path, tmp_path: Path, stages: tuple[Callable[[Path], object], ...]
) -> None:
    staged(root, source, *stages)
    (path,) = (root / "staging").glob("block-*/documents")
    data = path.read_bytes()
    assert data.count(b"the mat and") == 1
    path.write_bytes(data.replace(b"the mat and", b"the rat and"))
    for stage in (chunk, embed, index):
        with pytest.raises(UsageError) as caught:
            stage(root)
        assert "samespace ingest" in caught.value.fix
        assert seen_or_nothing(root) is None
    build(root)
    built(tmp_path / "fresh.index", source)
    assert seen(root).alike(seen(tmp_path / "fresh.index"))
    assert "the mat and" in seen(root).documents["notes/cat.md"][1]


@pytest.mark.parametrize("place", [0, 0.5, 1])
@pytest.mark.parametrize("name", ["chunks", "vectors"])
def test_a_staged_byte_that_flipped_is_not_published(
    root: Path, source: Path, tmp_path: Path, name: str, place: float
) -> None:
    staged(root, source, chunk, embed)
    (path,) = (root / "staging").glob(f"block-*/{name}")
    data = bytearray(path.read_bytes())
    data[int((len(data) - 1) * place)] ^= 1
    path.write_bytes(data)
    for stage in (embed, index) if name == "chunks" else (index,):
        with pytest.raises(UsageError) as caught:
            stage(root)
        assert f"samespace {'chunk' if name == 'chunks' else 'embed'} " in caught.value.fix
        assert seen_or_nothing(root) is None
    build(root)
    fresh = tmp_path / "fresh.index"
    built(fresh, source)
    assert seen(root).alike(seen(fresh))
    assert generation(root).files["documents/000001"] == generation(fresh).files["documents/000001"]


@pytest.mark.parametrize("embedded", [True, False])
def test_chunks_of_one_size_are_never_published_as_of_another(root: Path, tmp_path: Path, embedded: bool) -> None:
    text = "\n\n".join(f"Paragraph {n} tells of the river bank and of a cat on the mat." for n in range(20))
    source = put(tmp_path / "notes", {"long.txt": text, **FIRST})
    fresh = {}
    for size in (100, 50):
        built(tmp_path / f"{size}.index", source, size=size)
        fresh[size] = open_index(tmp_path / f"{size}.index")
    assert fresh[100].segments[0].segment.chunks < fresh[50].segments[0].segment.chunks
    staged(root, source, lambda root: chunk(root, size=100), *([embed] if embedded else []))
    published, number = [], 0
    while True:
        copy = Path(shutil.copytree(root, tmp_path / f"copy-{number}.index"))
        if not interrupted_at(number, lambda copy=copy: chunk(copy, size=50)):  # type: ignore[misc]
            break
        done = False
        for again in ((index,), (embed, index), (chunk, embed, index)):
            try:
                for stage in again:
                    stage(copy)
            except UsageError:
                continue
            done = True
            break
        assert done, number
        found = open_index(copy)
        settings = ChunkSettings.from_json(found.generation.settings["chunker"])
        same = fresh[settings.size]
        assert found.view.chunking == settings.id(read_space(found).space.tokenizer) == same.view.chunking
        name = f"chunks/{found.view.chunking}/000001"
        assert found.generation.files[name] == same.generation.files[name], f"step {number}"
        assert seen(copy).alike(reading(same.root, see)), f"step {number}"
        published.append(settings.size)
        number += 1
    assert published == sorted(published, reverse=True)  # the state's own rename is where 100 becomes 50
    assert set(published) == {100, 50}


def interrupted_at(number: int, work: Callable[[], object]) -> bool:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "on_step", at_step(number, interrupt))
        try:
            work()
        except KeyboardInterrupt:
            return True
    return False


# Choices that come too late, or are no choice


def test_an_index_with_nothing_published_may_change_its_model(root: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="chunk size of 3"):
        build(root, [str(source)], model="hashing", size=3)
    assert seen_or_nothing(root) is None
    assert built(root, source, model="hashing-2").index.published
    assert generation(root).model["name"] == "hashing-2"
    built(tmp_path / "fresh.index", source, model="hashing-2")
    assert generation(root).primary == generation(tmp_path / "fresh.index").primary
    assert seen(root).alike(seen(tmp_path / "fresh.index"))


@pytest.mark.parametrize("options", [{"chunker": "none"}, {"size": 60}, {"overlap": 5}], ids=str)
def test_other_chunks_are_refused_also_when_nothing_changed(
    root: Path, source: Path, options: dict[str, object]
) -> None:
    built(root, source, size=50)
    before = contents(root)
    with pytest.raises(UsageError, match="fixed"):
        built(root, **options)
    assert contents(root) == before
    assert not built(root, size=50, chunker="recursive", overlap=0).index.published


def test_a_searcher_that_is_none_creates_no_index(root: Path, source: Path) -> None:
    with pytest.raises(UsageError, match="bogus"):
        built(root, source, ann="bogus")
    assert not root.exists()


@pytest.mark.parametrize("name", ["canaries", "space.json", "state.json"])
def test_a_bit_flipped_in_what_is_staged_of_the_space_is_never_published(tmp_path: Path, name: str) -> None:
    root, notes = tmp_path / "my.index", tmp_path / "notes"
    notes.mkdir()
    (notes / "cat.md").write_text("The cat sat on the mat.", encoding="utf-8")
    ingest(root, [str(notes)], model="hashing")
    chunk(root)
    embed(root)
    path = root / "staging" / name
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises((UsageError, CorruptError)):
        index(root)
    assert current_number(root) == 0
