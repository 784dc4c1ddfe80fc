"""A night costs what changed, and leaves what a fresh build would have made."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from handmade import FIRST, SECOND, all_files, built, generation, put, seen, without_merges

from core.canonical import canonical, digest
from core.errors import CorruptError, UsageError
from core.index import fs
from core.index.reader import Index, open_index
from core.info import info
from core.pipeline.build import build
from core.pipeline.chunk import chunk
from core.pipeline.embed import embed
from core.pipeline.index import index
from core.pipeline.ingest import ingest
from core.sources.memory import Memory

WORDS = "river bank otter 河岸 水獭 银行 利率 cat mat thunder python venv v1.2.3 snow 雪 wind 风"
DERIVED = ("documents", "chunks", "lexical")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "notes", FIRST)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "my.index"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.pipeline.staged.BLOCK_DOCUMENTS", 2)


def text(rng: random.Random) -> str:
    paragraphs = (" ".join(rng.choices(WORDS.split(), k=rng.randint(3, 30))) for _ in range(rng.randint(1, 4)))
    return f"# {rng.choice(WORDS.split())} {rng.randint(0, 99)}\n\n" + "\n\n".join(paragraphs) + "\n"


def update(folder: Path, rng: random.Random) -> None:
    """One change as people make them: a file written, changed, moved or removed."""
    files = sorted(folder.rglob("*.md"))
    deed = rng.choice(["write", "write", "change", "change", "move", "remove"])
    name = f"{rng.choice('abc')}/{rng.randint(0, 60)}.md"
    if deed == "write" or len(files) < 5:
        put(folder, {name: text(rng)})
    elif deed == "change":
        file = rng.choice(files)
        file.write_text(file.read_text(encoding="utf-8") + f"\n{text(rng)}", encoding="utf-8")
    elif deed == "remove":
        rng.choice(files).unlink()
    else:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        rng.choice(files).rename(target)


def derived(index: Index) -> dict[str, list[object]]:
    """Digests of the tables that the same documents give bit for bit, by kind."""
    found: dict[str, list[object]] = {kind: [] for kind in DERIVED}
    for name, its in index.generation.files.items():
        if name.split("/")[0] in found:
            found[name.split("/")[0]].append(its)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("small_blocks")
def test_after_fifty_updates_it_is_what_a_fresh_build_is(
    root: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, folder = random.Random(seed), tmp_path / "notes"
    for _ in range(30):
        update(folder, rng)
    built(root, folder, size=12)
    counts = []
    for night in range(50):
        update(folder, rng)
        built(root)
        counts.append(len(generation(root).segments))
        if night % 10 == 9:
            fresh = tmp_path / f"{night}.index"
            built(fresh, folder, size=12)
            assert seen(root).alike(seen(fresh)), night
            assert generation(root).languages == generation(fresh).languages
    assert max(counts) <= 6
    assert len(set(counts)) > 1  # segments came, and were merged
    monkeypatch.setattr("core.index.policy.STEP", 1e9)
    put(folder, {"last.md": "# The last\n\nEverything is merged with this one.\n"})
    built(root)
    built(tmp_path / "fresh.index", folder, size=12)
    mine, fresh_index = open_index(root), open_index(tmp_path / "fresh.index")
    assert len(mine.segments) == 1
    assert not mine.generation.dead
    assert derived(mine) == derived(fresh_index)  # texts and postings: equal to the bit


@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_not_seen_in_what_is_published(
    root: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(root, source)
    monkeypatch.setattr("core.pipeline.staged.BLOCK_DOCUMENTS", 1000)
    built(tmp_path / "whole.index", source)
    assert generation(root).files == generation(tmp_path / "whole.index").files


def test_a_segment_of_which_much_is_dead_is_written_anew(root: Path, tmp_path: Path) -> None:
    folder = put(tmp_path / "notes", {f"{n}.md": f"# {n}\n\nThe river {n}." for n in range(12)})
    built(root, folder)
    for n in range(4):
        (folder / f"{n}.md").unlink()
    built(root)
    assert sum(map(len, generation(root).dead.values())) == 4
    (folder / "4.md").unlink()
    built(root)
    assert generation(root).dead == {}
    built(tmp_path / "fresh.index", folder)
    assert derived(open_index(root)) == derived(open_index(tmp_path / "fresh.index"))


# What is read


class Reads:
    """Counts the files of a source that are opened."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.names: list[str] = []
        before = Path.open

        def spied(path: Path, *words: object, **options: object) -> object:
            if path.is_relative_to(folder):
                self.names.append(path.name)
            return before(path, *words, **options)  # type: ignore[call-overload]

        monkeypatch.setattr(Path, "open", spied)

    def of(self, work: Callable[[], object]) -> list[str]:
        self.names.clear()
        work()
        return sorted(self.names)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once, so that no test has to wait."""
    monkeypatch.setattr("core.sources.memory._SETTLED", -(10**18))


@pytest.fixture
def reads(source: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(source, monkeypatch)


def test_what_nobody_touched_is_not_read(root: Path, source: Path, reads: Reads) -> None:
    put(source, {"empty.txt": "", "corpus.jsonl": '{"_id": "r1", "text": "one"}\nnonsense\n'})
    built(root, source)
    first = built(root).ingest
    assert reads.of(lambda: built(root)) == []
    assert built(root).ingest.outcomes == first.outcomes  # and every file is still accounted for
    put(source, {"river.txt": "Another river."})
    assert reads.of(lambda: built(root)) == ["river.txt"]
    put(source, {"corpus.jsonl": '{"_id": "r1", "text": "two"}\n'})
    report = build(root)
    assert [o.path for o in report.ingest.outcomes if o.status == "changed"] == ["r1"]


def test_what_was_touched_is_read_and_found_unchanged(root: Path, source: Path, reads: Reads) -> None:
    built(root, source)
    (source / "cat.md").touch()
    assert reads.of(lambda: built(root)) == ["cat.md"]
    assert not built(root).index.published


def test_a_change_that_hides_its_time_is_noticed(root: Path, source: Path, reads: Reads) -> None:
    import os

    built(root, source)
    path = source / "river.txt"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"muddy", b"dirty"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    report = built(root)
    assert [o.path for o in report.ingest.outcomes if o.status == "changed"] == ["notes/river.txt"]


@pytest.mark.parametrize("clock", ["now", "gone back"])
def test_a_file_that_is_still_being_written_is_not_remembered(
    root: Path, source: Path, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads(source, monkeypatch)
    if clock == "gone back":
        monkeypatch.setattr("core.sources.scan.time.time_ns", lambda: 10**18)
    built(root, source)
    assert len(reads.of(lambda: built(root))) == len(FIRST)


@pytest.mark.parametrize("data", [b"", b"[1, 2]", b'{"a": 1}', b"\xff\xfe", b"nonsense"])
def test_a_damaged_memory_costs_reading(root: Path, source: Path, reads: Reads, data: bytes) -> None:
    built(root, source)
    path = Memory(root)._path
    assert path.is_file()
    path.write_bytes(data)
    assert len(reads.of(lambda: built(root))) == len(FIRST)
    assert reads.of(lambda: built(root)) == []


def test_a_record_that_stands_in_two_files_is_read_when_the_other_goes(root: Path, source: Path, reads: Reads) -> None:
    record = '{"_id": "r1", "text": "one"}\n'
    put(source, {"a/corpus.jsonl": record, "b/corpus.jsonl": record})
    built(root, source)
    assert "r1" in seen(root).documents
    (source / "a" / "corpus.jsonl").unlink()
    built(root)
    assert "r1" in seen(root).documents


def test_memory_is_of_one_index(root: Path, source: Path, tmp_path: Path, reads: Reads) -> None:
    built(root, source)
    assert len(reads.of(lambda: built(tmp_path / "other.index", source))) == len(FIRST)


def test_memory_is_of_one_reader(root: Path, source: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    built(root, source)
    monkeypatch.setattr("core.sources.txt.TxtReader.version", "another")
    assert reads.of(lambda: built(root)) == ["gone.txt", "river.txt", "银行.txt"]


def test_what_failed_is_tried_again(root: Path, source: Path, reads: Reads) -> None:
    put(source, {"broken.pdf": "no pdf"})
    built(root, source)
    assert reads.of(lambda: built(root)) == ["broken.pdf"]  # what it lacked may be there now


def test_a_memory_that_lies_removes_nothing(root: Path, source: Path, reads: Reads) -> None:
    built(root, source)
    path = Memory(root)._path
    entries = json.loads(path.read_bytes())
    for entry in entries.values():
        entry["left_out"] = [["notes/cat.md", "skipped", "empty"]]
    path.write_text(json.dumps(entries), encoding="utf-8")
    assert not built(root).ingest.counts["removed"]
    assert len(seen(root).documents) == len(FIRST)


def test_memory_of_one_source_is_not_that_of_its_neighbour(root: Path, tmp_path: Path, settled: None) -> None:
    pre, pre2 = put(tmp_path / "pre", {"a.txt": "one river"}), put(tmp_path / "pre2", {"b.txt": "two rivers"})
    built(root, pre, pre2)
    with pytest.MonkeyPatch.context() as patch:
        reads = Reads(tmp_path, patch)
        built(root, pre)
        assert not {"a.txt", "b.txt"} & set(reads.of(lambda: built(root)))


# Ids that clash


def corpus(**texts: str) -> str:
    return "".join(json.dumps({"_id": id.rstrip("_"), "text": text}) + "\n" for id, text in texts.items())


def test_a_repeated_record_does_not_keep_those_that_are_gone(root: Path, tmp_path: Path) -> None:
    folder = put(tmp_path / "notes", {"corpus.jsonl": corpus(a="one", b="two", a_="one again")})
    built(root, folder)
    put(folder, {"corpus.jsonl": corpus(a="one", a_="one again")})
    assert built(root).ingest.counts["removed"] == 1
    assert set(seen(root).documents) == {"a"}


def test_a_record_that_moves_to_another_source_is_there_at_once(root: Path, tmp_path: Path) -> None:
    first = put(tmp_path / "first", {"corpus.jsonl": corpus(r1="moves", r2="stays")})
    second = put(tmp_path / "second", {"corpus.jsonl": corpus(r3="is there")})
    built(root, first, second)
    put(first, {"corpus.jsonl": corpus(r2="stays")})
    put(second, {"corpus.jsonl": corpus(r1="moves", r3="is there")})
    built(root)
    assert set(seen(root).documents) == {"r1", "r2", "r3"}
    put(first, {"corpus.jsonl": corpus(r1="moves", r2="stays")})
    put(second, {"corpus.jsonl": corpus(r3="is there")})
    report = built(root).ingest  # the source that it comes to is read first, where it still belongs to the other one
    assert report.counts["failed"] == 1
    assert set(built(root) and seen(root).documents) == {"r1", "r2", "r3"}


def test_sources_that_overlap_keep_what_failed(root: Path, tmp_path: Path, settled: None) -> None:
    notes = put(tmp_path / "notes", {"a.txt": "a river", "sub/x.md": "# A page\n\nThat was whole once."})
    built(root, notes, notes / "sub")
    put(notes, {"sub/x.md": bytes(range(256)) * 8})
    for _ in range(3):
        report = built(root).ingest
        assert [(o.path, o.status) for o in report.outcomes if o.path.endswith("x.md")] == [
            ("notes/sub/x.md", "failed"),
            ("sub/x.md", "failed"),
        ]
    assert {"notes/sub/x.md", "sub/x.md"} <= set(seen(root).documents)


def test_a_record_that_is_called_as_a_file_stays(root: Path, tmp_path: Path) -> None:
    folder = put(tmp_path / "notes", {"corpus.jsonl": corpus(), "zebra.png": "no text"})
    put(folder, {"corpus.jsonl": json.dumps({"_id": "notes/zebra.png", "text": "stripes"})})
    for _ in range(3):
        built(root, folder)
        assert set(seen(root).documents) == {"notes/zebra.png"}


def test_a_folder_that_is_called_as_a_file_of_records(root: Path, tmp_path: Path) -> None:
    folder = put(tmp_path / "corpus.jsonl", {"corpus.jsonl": corpus(o="one")})
    built(root, folder)
    put(folder, {"corpus.jsonl": corpus(p="another") + "nonsense\n"})
    built(root)
    assert set(seen(root).documents) == {"o", "p"}  # the bad line may have been that of `o`


def test_another_model_before_the_first_publication_keeps_the_sources(root: Path, tmp_path: Path) -> None:
    one, two = put(tmp_path / "one", {"a.txt": "one river"}), put(tmp_path / "two", {"b.txt": "two rivers"})
    ingest(root, [str(one)], model="hashing")
    build(root, [str(two)], model="hashing-2")
    assert set(seen(root).documents) == {"one/a.txt", "two/b.txt"}


# Staging that comes from anywhere


def test_no_file_is_written_through_a_link_in_the_staging(root: Path, source: Path, tmp_path: Path) -> None:
    built(root, source)
    victim = tmp_path / "victim.txt"
    victim.write_text("precious", encoding="utf-8")
    put(source, SECOND)
    ingest(root)
    for name in ("rows", "counts"):
        link = root / "staging" / "merged" / "000002" / f"{name}.spool"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(victim)
    build(root)
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    "change",
    [
        {"dead": {"000001": [999_999]}},
        {"dead": {"000001": ["a"]}},
        {"dead": {"000001": [-1]}},
        {"dead": {"000009": [0]}},
        {"settings": {"chunker": 3}},
        {"blocks": [{"name": "block-000001", "documents": "x", "tables": {}}]},
        {"blocks": [{"name": "../../x", "documents": 1, "tables": {}}]},
        {"sources": [{"name": 3, "root": "/"}]},
    ],
    ids=str,
)
def test_a_state_that_was_made_up_is_damage(root: Path, source: Path, change: dict[str, object]) -> None:
    built(root, source)
    before = seen(root)
    put(source, SECOND)
    ingest(root)
    chunk(root)
    embed(root)
    path = root / "staging" / "state.json"
    value = {**json.loads(path.read_bytes()), **change}
    value.pop("sha256")
    path.write_bytes(canonical({**value, "sha256": digest(value)}))
    with pytest.raises(CorruptError, match="staged work"):
        index(root)
    assert seen(root) == before


def test_a_state_that_is_nested_too_deeply_is_damage(root: Path, source: Path) -> None:
    built(root, source)
    put(root, {"staging/state.json": "[" * 100_000})
    with pytest.raises(CorruptError, match="staged work"):
        info(root)


# What is embedded


def test_a_changed_paragraph_embeds_its_own_chunk_only(root: Path, tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {n} is about the river and the otters in it, on a long day." for n in range(10)]
    folder = put(tmp_path / "notes", {"long.md": "# Long\n\n" + "\n\n".join(paragraphs)})
    assert built(root, folder, size=20).embed.embedded == 10  # type: ignore[union-attr]
    paragraphs[4] = "Paragraph 4 is about banks now, and of the money in them, on a short day."
    put(folder, {"long.md": "# Long\n\n" + "\n\n".join(paragraphs)})
    report = build(root).embed
    assert report is not None
    assert (report.embedded, report.reused, report.cached) == (1, 9, 0)


def test_moved_files_keep_their_vectors(root: Path, source: Path) -> None:
    built(root, source)
    (source / "deep").mkdir()
    for name in ("cat.md", "river.txt", "银行.txt"):
        (source / name).rename(source / "deep" / name)
    (source / "sub" / "python.md").rename(
        source / "sub" / "renamed.md"
    )  # its title is in it, so its name is not embedded
    report = build(root)
    assert report.embed is not None
    assert (report.embed.embedded, report.embed.reused, report.embed.cached) == (0, 4, 0)
    assert "notes/deep/cat.md" in seen(root).documents
    assert "notes/cat.md" not in seen(root).documents


@pytest.mark.usefixtures("small_blocks")
def test_an_ingest_that_was_cut_off_goes_on(root: Path, source: Path, tmp_path: Path) -> None:
    built(root, put(tmp_path / "first", {"one.txt": "One text, so that the model is chosen."}))
    blocks = []

    def stop(step: str, path: Path) -> None:
        if step == "write" and path.name == "documents.tmp":
            blocks.append(path)
            if len(blocks) == 3:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "on_step", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest(root, [str(source)])
    with pytest.raises(UsageError, match="ingest"):
        embed(root)
    report = ingest(root)
    assert report.staged == len(FIRST)
    put(source, SECOND)
    build(root)
    built(tmp_path / "fresh.index", tmp_path / "first", source)
    assert seen(root).alike(seen(tmp_path / "fresh.index"))
    assert not any(name.startswith("staging/") for name in all_files(root))


@pytest.mark.usefixtures("small_blocks")
def test_the_first_ingest_goes_on_as_well_before_a_model_is_chosen(root: Path, source: Path) -> None:
    put(source, {"corpus.jsonl": "".join(f'{{"_id": "r{n}", "text": "{"银行的利率" * 5} {n}"}}\n' for n in range(6))})

    def stop(step: str, path: Path) -> None:
        if step == "write" and path.parent.name == "block-000003":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "on_step", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest(root, [str(source)])
    described = info(root)
    assert described.to_json()["staged"]["documents"] == 4
    assert described.space["model"]["name"] == "not chosen yet"
    for stage in (chunk, embed, index):
        with pytest.raises(UsageError, match="ingest"):
            stage(root)
    kept = {path.parent.name for path in (root / "staging").glob("block-*/documents")}
    report = ingest(root)
    assert report.model.name != "not chosen yet"
    assert report.staged == len(FIRST) + 6
    assert kept < {path.name for path in (root / "staging").glob("block-*")}  # what was read is not read again


@pytest.mark.usefixtures("small_blocks")
def test_what_changes_while_it_is_staged_is_published_as_it_is_last(
    root: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_merges(monkeypatch)
    built(root, source)
    put(source, SECOND)
    ingest(root)
    put(source, {"cat.md": "The third cat.", "new.txt": None, "more.txt": "More of the river."})
    report = ingest(root)
    assert {o.path: o.status for o in report.outcomes}["notes/cat.md"] == "changed"
    build(root)
    monkeypatch.undo()
    built(tmp_path / "fresh.index", source)
    assert seen(root).alike(seen(tmp_path / "fresh.index"))
