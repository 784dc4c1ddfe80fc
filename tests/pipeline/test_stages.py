"""Every stage alone or all at once, interrupted or not, anew or incrementally: the same index."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from handmade import (
    FIRST,
    SECOND,
    all_files,
    built,
    for_small_segments,
    generation,
    published_files,
    put,
    seen,
    seen_or_nothing,
    without_merges,
)
from numpy.typing import NDArray

from core.encoders import Model
from core.encoders.hashing import HashingEncoder
from core.errors import SpaceMismatchError, UsageError
from core.index import fs
from core.index.generation import Generation
from core.index.reader import open_index
from core.index.staging import Staging
from core.pipeline import embed as embed_module
from core.pipeline.chunk import chunk
from core.pipeline.embed import SEALED_ROWS, embed
from core.pipeline.index import index
from core.pipeline.ingest import IngestReport, ingest
from core.space.canaries import SIDES
from core.space.record import record_space


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "notes", FIRST)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "my.index"


class Spy:
    """Counts the texts an encoder is given, canaries left out; raises Ctrl-C in the place of a chosen call."""

    def __init__(self, interrupt_at: int | None = None):
        self.calls: list[list[str]] = []
        self._interrupt_at = interrupt_at
        encoder = HashingEncoder(Model("hashing", "hashing"))
        canaries = record_space(encoder).canaries
        self._canaries = {text for side in SIDES for text in canaries.inputs(encoder.space, side)}

    def watch(self, patch: pytest.MonkeyPatch) -> Spy:
        real = HashingEncoder.embed

        def embed(encoder: HashingEncoder, texts: Sequence[str], side: str) -> NDArray[np.float32]:
            if not self._canaries.issuperset(texts):
                if len(self.calls) == self._interrupt_at:
                    raise KeyboardInterrupt
                self.calls.append(list(texts))
            return real(encoder, texts, side)  # type: ignore[arg-type]

        patch.setattr(HashingEncoder, "embed", embed)
        return self

    @property
    def texts(self) -> list[str]:
        """All but those of the last call: it embeds a few rows again when they are sealed."""
        assert len(self.calls[-1]) <= SEALED_ROWS
        return [text for call in self.calls[:-1] for text in call]


def in_stages(root: Path, *sources: Path) -> None:
    ingest(root, [str(path) for path in sources], model="hashing")
    chunk(root)
    embed(root)
    index(root)


def same_bits(one: Generation, other: Generation) -> bool:
    """Documents, chunks and postings; vectors are compared by what they answer."""
    mine, theirs = (
        {name: digest for name, digest in g.files.items() if not name.startswith("spaces/")} for g in (one, other)
    )
    return mine == theirs and one.files.keys() == other.files.keys()


def same_vectors(root: Path, other: Path) -> bool:
    pairs = zip(open_index(root).segments, open_index(other).segments, strict=True)
    return all(
        np.allclose(a.vectors.array("vectors", "<f4", 2), b.vectors.array("vectors", "<f4", 2), atol=1e-6)
        for a, b in pairs
    )


# Alone or all at once


def test_the_stages_alone_make_the_same_index_as_build(root: Path, source: Path, tmp_path: Path) -> None:
    in_stages(root, source)
    other = tmp_path / "other.index"
    built(other, source)
    assert same_bits(generation(root), generation(other))
    assert same_vectors(root, other)
    assert seen(root).alike(seen(other))
    put(source, SECOND)
    in_stages(root, source)
    built(other)
    assert same_bits(generation(root), generation(other))
    assert generation(root).dead == generation(other).dead
    assert seen(root).alike(seen(other))


def test_a_stage_done_twice_changes_nothing(root: Path, source: Path, tmp_path: Path) -> None:
    for stage in (lambda: ingest(root, [str(source)], model="hashing"), lambda: chunk(root), lambda: embed(root)):
        stage()
        before = {name: fs.digest(root / name) for name in all_files(root)}
        stage()
        assert {name: fs.digest(root / name) for name in all_files(root)} == before
    index(root)
    assert not index(root).published
    built(tmp_path / "other.index", source)
    assert same_bits(generation(root), generation(tmp_path / "other.index"))


def test_ingest_again_after_later_stages_makes_them_start_over(root: Path, source: Path, tmp_path: Path) -> None:
    ingest(root, [str(source)], model="hashing")
    chunk(root)
    embed(root)
    put(source, SECOND)
    ingest(root)
    for stage, word in ((embed, "chunk"), (index, "chunk")):
        with pytest.raises(UsageError, match=r"cut|chunk") as caught:
            stage(root)
        assert f"samespace {word}" in caught.value.fix
    chunk(root)
    with pytest.raises(UsageError, match="embed"):
        index(root)
    embed(root)
    index(root)
    built(tmp_path / "other.index", source)
    assert seen(root).alike(seen(tmp_path / "other.index"))


@pytest.mark.parametrize("stage", [chunk, embed, index])
def test_a_stage_out_of_order_says_which_comes_first(root: Path, source: Path, stage: Callable[[Path], object]) -> None:
    put(source, dict.fromkeys(FIRST))
    ingest(root, [str(source)], model="hashing")  # an index without a document
    with pytest.raises(UsageError) as caught:
        stage(root) if stage is index else [chunk(root) for _ in "x"] and stage(root) and index(root)
    assert caught.value.fix


def test_documents_that_went_before_they_were_published_are_not(root: Path, source: Path) -> None:
    ingest(root, [str(source)], model="hashing")
    put(source, dict.fromkeys(FIRST))
    assert ingest(root).staged == 0
    chunk(root)
    with pytest.raises(UsageError, match="no documents"):
        index(root)
    assert seen_or_nothing(root) is None


@pytest.mark.parametrize("stage", ["ingest", "chunk", "embed", "index"])
def test_interrupted_anywhere_the_next_run_ends_the_same(root: Path, source: Path, tmp_path: Path, stage: str) -> None:
    """Ctrl-C at every step of every stage, of a second build; then all stages once more."""
    built(root, source)
    put(source, SECOND)
    built(tmp_path / "fresh.index", source)
    wanted = seen(tmp_path / "fresh.index")
    stages: dict[str, Callable[[Path], object]] = {"ingest": ingest, "chunk": chunk, "embed": embed, "index": index}
    before = list(stages)[: list(stages).index(stage)]
    for name in before:
        stages[name](root)
    number = 0
    while True:
        copy = Path(shutil.copytree(root, tmp_path / f"{number}.index"))
        if not _interrupted(stages[stage], copy, number):
            break
        for work in stages.values():
            try:
                work(copy)
            except UsageError:
                assert not Staging(copy).state()  # all was done before the interruption
        assert seen(copy).alike(wanted), f"after an interruption of {stage} at step {number}"
        assert all_files(copy) == published_files(copy)
        shutil.rmtree(copy)
        number += 1
    assert number > 5


def _interrupted(work: Callable[[Path], object], root: Path, number: int) -> bool:
    from handmade import at_step

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "on_step", at_step(number, interrupt))
        try:
            work(root)
        except KeyboardInterrupt:
            return True
    return False


def test_an_ingest_cut_off_before_it_is_through_leaves_what_was_staged_before(
    root: Path, source: Path, tmp_path: Path
) -> None:
    """Were the staged documents of today and what they replace of yesterday, a document would live twice."""
    built(root, source)
    put(source, {"cat.md": "The cat again."})
    ingest(root)
    put(source, SECOND | {"river.txt": "A changed river."})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "on_step", lambda step, path: _stop() if path.name == "state.json.tmp" else None)
        with pytest.raises(KeyboardInterrupt):
            ingest(root)
    for stage in (chunk, embed, index):
        stage(root)
    assert seen(root).documents["notes/cat.md"][1] == "The cat again."
    assert "notes/new.txt" not in seen(root).documents
    built(root)
    built(tmp_path / "fresh.index", source)
    assert seen(root).alike(seen(tmp_path / "fresh.index"))


def _stop() -> None:
    raise KeyboardInterrupt


# Embedding


def many(count: int) -> dict[str, str]:
    return {f"{n:02}.txt": f"Text number {n}, 第{n}篇。" for n in range(count)}


def in_batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder gives two vectors at a time, and they are written at once."""
    monkeypatch.setattr(embed_module, "BATCH", 2)
    monkeypatch.setattr("core.encoders.hashing.BATCH", 2)


@pytest.mark.parametrize("batch", range(5))
def test_an_interrupted_embed_loses_one_batch_at_most(
    root: Path, tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put(tmp_path / "notes", many(10))
    in_batches_of_two(monkeypatch)
    ingest(root, [str(source)], model="hashing")
    chunk(root)
    with monkeypatch.context() as patch:
        interrupted = Spy(interrupt_at=batch).watch(patch)
        with pytest.raises(KeyboardInterrupt):
            embed(root)
    done = [text for call in interrupted.calls for text in call]
    assert len(done) == 2 * batch
    spy = Spy().watch(monkeypatch)
    report = embed(root)
    assert (report.embedded, report.reused) == (10 - len(done), len(done))
    assert not set(done) & set(spy.texts)
    assert len(spy.texts) == 10 - len(done)
    index(root)
    built(tmp_path / "other.index", source)
    assert same_bits(generation(root), generation(tmp_path / "other.index"))
    assert same_vectors(root, tmp_path / "other.index")


def test_a_damaged_batch_is_embedded_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(tmp_path / "notes", many(6))
    in_batches_of_two(monkeypatch)
    ingest(root, [str(source)], model="hashing")
    chunk(root)
    with monkeypatch.context() as patch:  # before they are gathered in the table of their block
        patch.setattr(fs, "on_step", lambda step, path: _stop() if path.name == "vectors.tmp" else None)
        with pytest.raises(KeyboardInterrupt):
            embed(root)
    parts = sorted((root / "staging" / "parts").rglob("0*"))
    data = bytearray(parts[1].read_bytes())
    data[-1] ^= 0x40
    parts[1].write_bytes(data)
    parts[2].write_bytes(parts[2].read_bytes()[:100])
    report = embed(root)
    assert report.cached == 4  # the two others are in the batch that is whole
    assert report.embedded == 0


def test_the_same_text_is_embedded_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(
        tmp_path / "notes", {f"{n}/same.txt": "the very same text" for n in range(5)} | {"0/other.txt": "other"}
    )
    spy = Spy().watch(monkeypatch)
    report = built(root, source).embed
    assert report is not None
    assert (report.chunks, report.embedded, report.reused) == (6, 2, 4)
    assert len(spy.texts) == len(set(spy.texts)) == 2


def test_what_is_published_is_not_embedded_again(root: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(root, source)
    put(source, {"copy/cat.md": FIRST["cat.md"], "new.txt": "Something else."})
    spy = Spy().watch(monkeypatch)
    report = built(root).embed
    assert report is not None
    assert (report.embedded, report.reused) == (1, 1)
    assert spy.texts == ["Something else.\nSomething else."]


def test_embed_by_another_model_is_refused_from_the_first_run_on(root: Path, source: Path) -> None:
    ingest(root, [str(source)], model="hashing")
    chunk(root)
    with pytest.raises(SpaceMismatchError):
        embed(root, model="hashing-2")
    assert not (root / "staging" / "space.json").exists()
    embed(root)
    index(root)
    with pytest.raises(SpaceMismatchError):
        ingest(root, [str(source)], model="hashing-2")


# Again


def changes(rng: random.Random, now: dict[str, str]) -> dict[str, str | None]:
    """One to three things that happen to a folder: added, changed, removed, renamed."""
    happened: dict[str, str | None] = {}
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(["add", "change", "remove", "rename"])
        names = sorted(name for name in now if name not in happened)
        if kind == "add" or len(names) < 3:
            happened[f"new-{rng.randrange(1000)}.txt"] = f"A new page about {rng.choice(['cats', 'rivers', '银行'])}."
        elif kind == "change":
            happened[rng.choice(names)] = f"Changed: {rng.choice(['thunder', 'the mat', '河边的银行'])} {rng.random()}"
        else:
            name = rng.choice(names)
            happened[name] = None
            if kind == "rename":
                happened[f"renamed-{rng.randrange(1000)}.md"] = now[name]
    return happened


@pytest.mark.parametrize("seed", range(3))
def test_incremental_builds_answer_as_a_fresh_one(root: Path, source: Path, tmp_path: Path, seed: int) -> None:
    rng, now = random.Random(seed), dict(FIRST)
    built(root, source)
    for step in range(6):
        happened = changes(rng, now)
        put(source, happened)
        now = {name: text for name, text in {**now, **happened}.items() if text is not None}
        built(root)
        fresh = tmp_path / f"fresh-{step}.index"
        built(fresh, source)
        assert len(seen(fresh).documents) == len(now)
        assert seen(root).alike(seen(fresh)), happened


def test_nothing_changed_nothing_published(root: Path, source: Path) -> None:
    built(root, source)
    before = all_files(root), (root / "CURRENT").stat().st_ino
    for again in (lambda: built(root), lambda: built(root, source)):
        report = again()
        assert not report.index.published
        assert report.ingest.counts == {"new": 0, "changed": 0, "unchanged": 5, "removed": 0, "skipped": 0, "failed": 0}
        assert (all_files(root), (root / "CURRENT").stat().st_ino) == before


def test_changed_and_changed_back_before_it_was_published(root: Path, source: Path) -> None:
    built(root, source)
    before = seen(root)
    put(source, {"cat.md": "for a moment", "new.txt": "for a moment"})
    assert ingest(root).staged == 2
    put(source, {"cat.md": FIRST["cat.md"], "new.txt": None})
    assert not built(root).index.published
    assert seen(root) == before
    assert not (root / "staging").exists()


def test_only_a_removal(root: Path, source: Path, tmp_path: Path) -> None:
    built(root, source)
    put(source, {"gone.txt": None, "cat.md": None})
    report = built(root)
    assert (report.ingest.counts["removed"], report.embed) == (2, None)
    built(tmp_path / "fresh.index", source)
    assert seen(root).alike(seen(tmp_path / "fresh.index"))
    assert len(generation(root).segments) == 1


def test_a_segment_of_which_nothing_lives_is_left_behind(root: Path, source: Path) -> None:
    built(root, source)
    put(source, {name: f"All is new in {name}" for name in FIRST})
    built(root)
    assert [segment.name for segment in generation(root).segments] == ["000002"]
    assert not generation(root).dead
    assert not any(name.endswith("000001") for name in generation(root).files)


# Failed, missing, emptied: nothing is lost that was not taken away


def outcomes(report: IngestReport) -> dict[str, str]:
    return {outcome.path: outcome.status for outcome in report.outcomes}


def test_a_failed_file_keeps_its_old_version_and_holds_up_no_other(root: Path, source: Path) -> None:
    built(root, source)
    old = seen(root).documents["notes/cat.md"]
    put(source, {"cat.md": b"\x00\x01\x02" * 500, "gone.txt": None})
    report = built(root).ingest
    assert outcomes(report) | {"notes/cat.md": "failed", "notes/gone.txt": "removed"} == outcomes(report)
    assert seen(root).documents["notes/cat.md"] == old
    assert "notes/gone.txt" not in seen(root).documents


RECORDS = [{"_id": f"r{n}", "title": f"Record {n}", "text": f"The text of record {n}, 第{n}条。"} for n in range(4)]


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


@pytest.mark.parametrize("given", ["the folder", "the file"])
def test_a_failed_record_keeps_its_old_version(root: Path, source: Path, given: str) -> None:
    put(source, {"sub/corpus.jsonl": jsonl(*RECORDS)})
    built(root, source if given == "the folder" else source / "sub" / "corpus.jsonl")
    before = seen(root).documents
    put(source, {"sub/corpus.jsonl": jsonl(*RECORDS[:2]) + '{"_id": "r2", "te\n' + jsonl(RECORDS[3])})
    report = built(root).ingest
    assert report.counts["failed"] == 1
    assert report.counts["removed"] == 0
    assert seen(root).documents == before
    put(source, {"sub/corpus.jsonl": jsonl(*RECORDS[:2], RECORDS[3])})
    assert outcomes(built(root).ingest)["r2"] == "removed"
    assert "r2" not in seen(root).documents


@pytest.mark.parametrize("what", ["sub", "sub/corpus.jsonl"])
def test_what_cannot_be_opened_loses_nothing(
    root: Path, source: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder or a file without permission (made by a patch: the superuser may open everything)."""
    put(source, {"sub/corpus.jsonl": jsonl(*RECORDS)})
    built(root, source)
    before = seen(root).documents
    import os

    refused = str(source / what)

    def refuse(real: Callable[..., object]) -> Callable[..., object]:
        def opened(path: object, *rest: object, **more: object) -> object:
            if str(path) == refused:
                raise PermissionError(13, "Permission denied", refused)
            return real(path, *rest, **more)

        return opened

    monkeypatch.setattr(os, "scandir", refuse(os.scandir))
    monkeypatch.setattr(Path, "open", refuse(Path.open))
    report = built(root).ingest
    assert outcomes(report)[f"notes/{what}"] == "failed"
    assert report.counts["removed"] == 0
    assert seen(root).documents == before


@pytest.mark.parametrize("loss", ["missing", "emptied", "only what cannot be read"])
def test_a_source_that_lost_everything_removes_nothing_unasked(
    root: Path, source: Path, tmp_path: Path, loss: str
) -> None:
    other = put(tmp_path / "other", {"stays.txt": "This one stays."})
    built(root, source, other)
    before = seen(root)
    source.rename(tmp_path / "unmounted")
    if loss != "missing":
        source.mkdir()
    if loss == "only what cannot be read":
        put(source, {"lost+found.bin": "x"})
    for paths in ((), (source,)):
        with pytest.raises(UsageError) as caught:
            built(root, *paths)
        assert caught.value.path == str(source)
        assert seen(root) == before
    if loss != "missing":
        assert built(root, yes=True).ingest.counts["removed"] == 5
        assert set(seen(root).documents) == {"other/stays.txt"}


def test_a_source_that_is_not_scanned_loses_nothing(root: Path, source: Path, tmp_path: Path) -> None:
    other = put(tmp_path / "other", {"one.txt": "one", "two.txt": "two"})
    built(root, source, other)
    put(source, SECOND)
    (other / "one.txt").unlink()
    assert built(root, source).ingest.counts["removed"] == 1
    assert {"other/one.txt", "other/two.txt"} <= seen(root).documents.keys()
    assert built(root).ingest.counts["removed"] == 1


# Ids


def test_ids_that_collide_between_sources_fail_by_name(root: Path, tmp_path: Path) -> None:
    one = put(tmp_path / "one", {"corpus.jsonl": jsonl(*RECORDS[:2])})
    other = put(tmp_path / "two", {"corpus.jsonl": jsonl(RECORDS[1] | {"text": "Mine."}, *RECORDS[2:])})
    for again in range(2):
        report = built(root, one, other).ingest
        (failed,) = [outcome for outcome in report.outcomes if outcome.status == "failed"]
        assert failed.path == "r1", again
        assert "'one'" in failed.reason
    assert seen(root).documents["r1"][1] == RECORDS[1]["text"]
    assert set(seen(root).documents) == {"r0", "r1", "r2", "r3"}


def test_ids_that_collide_with_equal_content_fail_as_well(root: Path, tmp_path: Path) -> None:
    one = put(tmp_path / "one", {"corpus.jsonl": jsonl(*RECORDS[:2])})
    other = put(tmp_path / "two", {"corpus.jsonl": jsonl(*RECORDS[1:])})
    for again in range(2):
        report = built(root, one, other).ingest
        failed = [outcome.path for outcome in report.outcomes if outcome.status == "failed"]
        assert failed == ["r1"], again


def test_sources_of_the_same_name_get_different_ones(root: Path, tmp_path: Path) -> None:
    one, other = put(tmp_path / "a/notes", {"x.txt": "one"}), put(tmp_path / "b/notes", {"x.txt": "two"})
    report = built(root, one, other).ingest
    assert {"notes/x.txt", "notes-2/x.txt"} == seen(root).documents.keys()
    assert "--name notes" in report.notes[0]
    moved = put(tmp_path / "c/notes", {"x.txt": "one"})
    assert built(root, moved, name="notes").ingest.counts["unchanged"] == 1
    assert {source.name: source.root for source in generation(root).sources}["notes-2"] == str(other)


# Settings


def test_chunker_none(root: Path, source: Path) -> None:
    long = "A sentence about rivers. " * 200
    put(source, {"long.txt": long, "empty.txt": " \n"})
    report = built(root, source, chunker="none")
    assert report.index.documents == report.index.chunks == 6
    assert report.embed is not None
    assert report.embed.truncated == 1
    assert generation(root).settings["chunker"] == {"name": "none", "version": 1}
    put(source, SECOND)
    assert built(root).index.published
    assert generation(root).settings["chunker"]["name"] == "none"
    assert all(answer[1] == 0 for _, _, found in seen(root).answers for answer in found)


def test_the_settings_of_an_index_are_fixed(root: Path, source: Path) -> None:
    built(root, source, size=50, overlap=10)
    put(source, SECOND)
    for other in ({"size": 60}, {"overlap": 0}, {"chunker": "none"}):
        with pytest.raises(UsageError, match="fixed"):
            built(root, **other)  # type: ignore[arg-type]
    built(root, size=50)
    assert generation(root).settings["chunker"] == {"name": "recursive", "version": 1, "size": 50, "overlap": 10}


@pytest.mark.parametrize("sizes", [{"size": 7}, {"size": 257}, {"size": 20, "overlap": 11}, {"overlap": -1}], ids=str)
def test_sizes_that_do_not_fit_are_refused(root: Path, source: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="does not fit"):
        built(root, source, **sizes)
    built(root, source, size=20, overlap=0)  # the same index can still be finished


def test_an_approximate_index_answers_as_the_exact_one(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hnswlib")
    for_small_segments(monkeypatch)
    without_merges(monkeypatch)
    built(root, source)
    exact = seen(root)
    assert built(root, ann="hnsw").index.published
    assert generation(root).settings["ann"] == {"name": "hnsw"}
    assert sum(name.endswith(".hnsw") for name in generation(root).files) == 1
    assert seen(root).alike(exact)
    put(source, SECOND)
    built(root)
    assert sum(name.endswith(".hnsw") for name in generation(root).files) == 2
    assert built(root, ann="exact").index.published
    assert not any(name.endswith(".hnsw") for name in generation(root).files)
