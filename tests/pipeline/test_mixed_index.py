"""Mixed indexes: which run embedded a row is known; foreign rows are found, named, and mended, they alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import (
    FIRST,
    SECOND,
    all_files,
    built,
    for_small_segments,
    generation,
    put,
    rewritten,
    seen,
    without_merges,
)
from numpy.typing import NDArray
from typer.testing import CliRunner

from cli.main import app
from core.cache import cache_folder
from core.check import check
from core.config import open_encoder
from core.encoders.hashing import HashingEncoder
from core.errors import CorruptError, InconclusiveError, LockedError, SpaceMismatchError
from core.index import fs
from core.index.collect import collect
from core.index.columns import Column, Table, write_columns
from core.index.reader import open_index
from core.index.staging import row_runs
from core.pipeline.compare import compare_sample
from core.pipeline.ingest import ingest
from core.pipeline.spaces import read_space
from core.pipeline.verify_rows import RowsReport, verify_rows
from core.progress import Progress
from core.space.verify import judge
from core.types import Side

ANN = "hnsw" if find_spec("hnswlib") else "binary"
COLUMNS = (
    ("vectors", "<f4", 2), ("norms", "<f4", 1), ("texts", "|u1", 2), ("runs", "<i4", 1),
    ("canaries_query", "<f4", 2), ("canaries_passage", "<f4", 2),
)  # fmt: skip
Names = set[tuple[str, int]]


def columns_of(table: Table) -> dict[str, Any]:
    return {name: table.array(name, dtype, ndim).copy() for name, dtype, ndim in COLUMNS if name in table}


def write_vectors(root: Path, segment: str, columns: dict[str, Column]) -> None:
    """Other vectors in a segment, with honest digests."""
    index = open_index(root)
    reader = next(reader for reader in index.segments if reader.segment.name == segment)
    name = reader.segment.files(reader.view)["vectors"]
    digest = fs.write(root / name, write_columns(columns))
    rewritten(root, files={**index.generation.files, name: digest})


def make_foreign(root: Path, chosen: Sequence[tuple[str, int]]) -> Names:
    """Replace the vectors of these (segment, row) by those that hashing-2 gives the same texts. Returns who they are."""
    names: Names = set()
    for name in {segment for segment, _ in chosen}:
        index = open_index(root)
        reader = next(reader for reader in index.segments if reader.segment.name == name)
        rows = sorted(row for segment, row in chosen if segment == name)
        columns, space = columns_of(reader.vectors), read_space(index).space
        for row in rows:
            piece = reader.chunk(row, reader.document(int(reader.chunk_documents[row])))
            text = space.fill_template(piece.context, piece.text)
            columns["vectors"][row] = open_encoder("hashing-2").embed([text], "passage")[0]
            names.add((piece.document_id, piece.ordinal))
        write_vectors(root, name, columns)
    return names


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One segment of 60 chunks and a second of 6, some of the first dead; codes and graphs."""
    folder = tmp_path_factory.mktemp("mixed")
    source = put(
        folder / "notes",
        {f"{n:02}.txt": f"Note {n} tells of the river bank, {n * n} otters and a mat." for n in range(60)},
    )
    with pytest.MonkeyPatch.context() as patch:
        for_small_segments(patch)
        without_merges(patch)
        built(folder / "many.index", source, ann=ANN)
        put(
            source,
            {"03.txt": None, "04.txt": None, **{f"new/{n}.txt": f"A new page {n} of thunder." for n in range(6)}},
        )
        built(folder / "many.index")
    collect(folder / "many.index", keep=1)  # the older generation would name the vectors as they were
    return folder / "many.index"


@pytest.fixture
def root(many: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(many, tmp_path / "my.index"))


def verify(root: Path, sample: int | None = None, **options: Any) -> RowsReport:
    index = open_index(root)
    record = read_space(index)
    encoder = open_encoder("hashing", "documents")
    return verify_rows(root, record, encoder, judge(record, encoder), sample=sample, **options)


def found(report: RowsReport) -> Names:
    return {(row.document, row.ordinal) for row in report.comparison.foreign}


FEW = [("000001", 0), ("000001", 17), ("000001", 59), ("000002", 2)]


# Which run embedded a row


def runs_of(root: Path) -> dict[str, int]:
    index, runs = open_index(root), {}
    for segment in index.segments:
        every = row_runs(segment.vectors, segment.segment.chunks)
        for row in np.flatnonzero(segment.live) if segment.live is not None else range(segment.segment.chunks):
            runs[segment.name_of(int(row))[0].split("/", 1)[1]] = int(every[row])
    return runs


def test_a_row_keeps_the_run_that_embedded_it_through_reuse_and_merging(tmp_path: Path) -> None:
    source, root = put(tmp_path / "notes", FIRST), tmp_path / "my.index"
    built(root, source)
    assert set(runs_of(root).values()) == {1}
    put(source, {**SECOND, "moved.txt": FIRST["river.txt"], "river.txt": None})
    built(root)
    assert len(open_index(root).segments) == 1  # they were merged
    assert runs_of(root) == {
        "cat.md": 2, "new.txt": 2, "moved.txt": 1, "银行.txt": 1, "sub/python.md": 1,
    }  # fmt: skip


def test_vectors_from_the_cache_are_of_the_run_that_took_them(tmp_path: Path) -> None:
    source = put(tmp_path / "notes", FIRST)
    built(tmp_path / "one.index", source)
    put(tmp_path / "other", {"a.txt": "Another page."})
    built(tmp_path / "two.index", tmp_path / "other")
    assert built(tmp_path / "two.index", source).embed.cached > 0
    assert runs_of(tmp_path / "two.index")["cat.md"] == 2


def test_an_index_without_the_column_is_one_stratum_of_an_unknown_run(root: Path) -> None:
    for segment in open_index(root).segments:
        columns = columns_of(segment.vectors)
        del columns["runs"]
        write_vectors(root, segment.segment.name, columns)
    report = verify(root, 20).comparison
    assert [(part.segment, part.run) for part in report.strata] == [("000001", 0), ("000002", 0)]
    assert {finding.severity for finding in check(root, read_data=True)} <= {"ok", "note"}
    result = CliRunner().invoke(app, ["verify-space", str(root), "--without-model"])
    assert "which counts as a mismatch" in result.stdout
    put(root.parent / "more", {"a.txt": "One more page about the river."})
    built(root, root.parent / "more")  # merges it with others that have the column or not
    assert runs_of(root)["a.txt"] == 3


def test_runs_of_another_length_are_damage(root: Path) -> None:
    columns = columns_of(open_index(root).segments[0].vectors)
    write_vectors(root, "000001", {**columns, "runs": columns["runs"][:-1]})
    assert any("runs for another number" in finding.message for finding in check(root))
    with pytest.raises(CorruptError, match="do not fit"):
        verify(root, 5)


def test_of_the_dead_no_vector_is_taken_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks for foreign vectors does not look at the dead; so they never come back."""
    make_foreign(root, [("000001", 3)])
    monkeypatch.setenv("SAMESPACE_CACHE", str(root.parent / "no cache"))
    source = put(root.parent / "again", {"03.txt": "Note 3 tells of the river bank, 9 otters and a mat."})
    built(root, source)
    assert verify(root).comparison.foreign == ()


# A sample


def test_an_honest_index_is_equal(root: Path) -> None:
    report = verify(root, 30, seed=1).comparison
    assert report.foreign == ()
    assert (report.chunks, report.compared) == (64, 31)  # from every stratum its due, rounded up
    assert [(part.segment, part.run, part.chunks) for part in report.strata] == [("000001", 1, 58), ("000002", 2, 6)]
    assert report.summary.startswith("mixed share ≤ ")
    assert report.summary.endswith(" at 95 %, 31 of 31 equal")
    whole = verify(root, 1000).comparison
    assert (whole.compared, whole.bound, whole.summary) == (
        64,
        0.0,
        "mixed share 0 %, all chunks compared, 64 of 64 equal",
    )


def test_a_seed_draws_the_same_and_a_small_run_is_always_looked_at(root: Path) -> None:
    make_foreign(root, [("000002", row) for row in range(6)])  # a whole run by another model
    for seed in range(5):
        report = verify(root, 3, seed=seed)
        assert len(report.comparison.foreign) == 1
        assert found(report) == found(verify(root, 3, seed=seed))


def test_it_is_found_as_often_as_statistics_promises(root: Path) -> None:
    make_foreign(root, [("000001", row) for row in range(5, 11)])
    index = open_index(root)
    record, encoder = read_space(index), open_encoder("hashing")
    hits = sum(bool(compare_sample(index, record, encoder, 16, seed).foreign) for seed in range(200))
    missed = np.prod([(52 - n) / (58 - n) for n in range(15)])  # 15 of the 58 that live in the first segment
    assert hits / 200 == pytest.approx(1 - missed, abs=0.09)  # four standard errors


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 2.0])
def test_no_number_no_direction_and_another_length_are_foreign(root: Path, value: float) -> None:
    columns = columns_of(open_index(root).segments[0].vectors)
    columns["vectors"][5] = value
    columns["vectors"][5, 1:] *= np.float32(0 if value == 2 else 1)
    write_vectors(root, "000001", columns)
    assert [row.row for row in verify(root).comparison.foreign] == [5]
    result = CliRunner().invoke(app, ["verify-space", str(root), "--without-model"])
    assert result.exit_code == 1


def test_a_row_of_another_text_is_foreign(root: Path) -> None:
    columns = columns_of(open_index(root).segments[0].vectors)
    columns["texts"][7] = columns["texts"][8]
    write_vectors(root, "000001", columns)
    (row,) = verify(root).comparison.foreign
    assert (row.row, row.other_text, row.cosine) == (7, True, 1.0)
    assert verify(root, repair=True).mended is not None
    assert verify(root).comparison.foreign == ()


# All of them


class Stop(Progress):
    """Ctrl-C after so many rows; and what was said."""

    def __init__(self, after: int):
        self.left, self.notes = after, list[str]()

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left <= 0:
            self.left = 1 << 30
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Windows of 8 rows; how many texts each call embedded."""
    monkeypatch.setattr("core.pipeline.compare.WINDOW", 8)
    calls: list[int] = []
    honest = HashingEncoder.embed

    def counted(self: HashingEncoder, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        calls.append(len(texts))
        return honest(self, texts, side)

    monkeypatch.setattr(HashingEncoder, "embed", counted)
    return calls


def test_all_finds_exactly_the_foreign_rows(root: Path) -> None:
    names = make_foreign(root, FEW)
    report = verify(root)
    assert found(report) == names
    assert report.comparison.bound == 4 / 64
    doubt = report.doubt(root)
    assert isinstance(doubt, SpaceMismatchError)
    assert "--all --repair" in doubt.fix


def test_an_interrupted_comparison_goes_on(root: Path, windows: list[int]) -> None:
    names = make_foreign(root, FEW)
    stop = Stop(24)
    before = all_files(root)
    with pytest.raises(KeyboardInterrupt):
        verify(root, progress=stop)
    assert stop.notes == ["24 of 64 chunks are compared"]
    assert all_files(root) == before
    (journal,) = (cache_folder() / "comparisons").iterdir()
    journal.write_bytes(journal.read_bytes() + b'{"from": 24, "to": 9')  # torn, as by a crash
    windows.clear()
    told = Stop(1 << 29)
    assert found(verify(root, progress=told)) == names
    assert told.notes == ["24 of 64 chunks were compared before: going on from there"]
    assert sum(windows[2:]) == 40  # after the canaries, both sides
    assert not journal.exists()
    windows.clear()
    assert found(verify(root)) == names
    assert sum(windows[2:]) == 64  # what was said is not remembered


def test_what_another_generation_was_compared_for_does_not_count(root: Path, windows: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        verify(root, progress=Stop(24))
    make_foreign(root, [("000001", 1)])
    assert len(verify(root).comparison.foreign) == 1


def test_it_works_without_a_cache(root: Path, windows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESPACE_CACHE", "/dev/null/no")
    names = make_foreign(root, FEW)
    assert found(verify(root)) == names
    assert verify(root, repair=True).mended is not None


# Mended


def rows_of(root: Path) -> dict[tuple[str, int], bytes]:
    """Everything stored of each live row, by document and ordinal: vector, norm, hash of its text, run."""
    rows = {}
    for segment in open_index(root).segments:
        columns = columns_of(segment.vectors)
        for row in np.flatnonzero(segment.live) if segment.live is not None else range(segment.segment.chunks):
            parts = (columns[name][row].tobytes() for name in ("vectors", "norms", "texts", "runs"))
            rows[segment.name_of(int(row))] = b"|".join(parts)
    return rows


@pytest.mark.parametrize("chosen", [FEW, FEW[:1], [("000001", n) for n in range(60)]], ids=["few", "one", "all"])
def test_repair_mends_exactly_the_foreign_rows(root: Path, chosen: list[tuple[str, int]]) -> None:
    honest = rows_of(root)
    make_foreign(root, chosen)
    names = found(verify(root))
    before, answers = rows_of(root), {name: (root / name).read_bytes() for name in generation(root).files}
    report = verify(root, repair=True)
    assert report.mended is not None
    assert (report.mended.rows, report.mended.generation) == (len(names), 3)
    after = rows_of(root)
    assert {name for name, row in after.items() if row != before[name]} == names
    assert after.keys() == honest.keys()
    for name in names:
        assert after[name].split(b"|")[0] == honest[name].split(b"|")[0]
    assert {name: (root / name).read_bytes() for name in answers} == answers  # what was published is what it was
    assert {finding.severity for finding in check(root, read_data=True)} == {"ok"}
    assert {finding.severity for finding in check(root, deep=True)} == {"ok"}
    assert report.doubt(root) is None
    assert verify(root, repair=True).mended is None  # nothing is left to do
    assert generation(root).generation == 3
    assert not (root / "staging").exists()


def test_what_is_found_is_what_was_never_mixed(many: Path, root: Path) -> None:
    make_foreign(root, FEW)
    verify(root, repair=True)
    assert seen(root).alike(seen(many))


def test_a_sample_mends_what_it_found_and_says_so(root: Path) -> None:
    make_foreign(root, [("000001", row) for row in range(20, 50)])
    report = verify(root, 10, seed=3, repair=True)
    assert report.mended is not None
    assert 0 < report.mended.rows < 30
    assert len(verify(root).comparison.foreign) == 30 - report.mended.rows
    doubt = report.doubt(root)
    assert isinstance(doubt, InconclusiveError)
    assert "may hold others" in doubt.message


def test_mended_vectors_replace_cached_ones(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache may be where the foreign ones came from."""
    calls: list[Any] = []
    from core.embeddings import Embeddings

    monkeypatch.setattr(Embeddings, "add", lambda self, texts, vectors: calls.append((len(texts), len(vectors))))
    make_foreign(root, FEW[:3])
    verify(root, repair=True)
    assert calls == [(3, 3)]


def test_repair_waits_for_the_writer_and_drops_what_is_staged(root: Path, tmp_path: Path) -> None:
    make_foreign(root, FEW)
    with fs.lock(root / "LOCK"), pytest.raises(LockedError):
        verify(root, repair=True)
    put(tmp_path / "more", {"a.txt": "One more."})
    ingest(root, [str(tmp_path / "more")])
    told = Stop(1 << 29)
    verify(root, repair=True, progress=told)
    assert any("what was staged" in line for line in told.notes)
    put(tmp_path / "more", {"b.txt": "And one more."})
    built(root, tmp_path / "more")
    assert {finding.severity for finding in check(root, deep=True)} == {"ok"}


def test_nothing_is_published_upon_damage(root: Path) -> None:
    make_foreign(root, FEW)
    path = root / "lexical"
    (name,) = [name for name in generation(root).files if name.startswith("lexical") and name.endswith("000001")]
    (root / name).write_bytes((root / name).read_bytes()[:-1] + b"?")
    before = generation(root).generation
    with pytest.raises(CorruptError):
        verify(root, repair=True)
    assert generation(root).generation == before
    assert path.is_dir()


def test_a_full_disk_leaves_it_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_foreign(root, FEW)
    before = rows_of(root)

    def full(step: str, path: Path) -> None:
        if step == "rename" or step == "link":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "on_step", full)
        with pytest.raises(OSError, match="No space"):
            verify(root, repair=True)
    assert (rows_of(root), generation(root).generation) == (before, 2)
    assert verify(root, repair=True).doubt(root) is None


# The command line


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["verify-space", *map(str, words)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_exit_codes_and_what_is_said(root: Path) -> None:
    code, out, err = run(root, "--sample", 30)
    assert code == 0
    assert "31 of 31 equal" in out
    assert "--seed " in err
    name = min(make_foreign(root, FEW))[0]
    code, out, err = run(root, "--all")
    assert code == 13
    assert "mixed share 6.2 %, all chunks compared, 60 of 64 equal" in out
    assert f"{name} " in out
    assert "samespace verify-space" in err
    assert "--all --repair" in err
    code, out, _ = run(root, "--all", "--repair")
    assert code == 0
    assert "mended 4 chunks; published generation 3" in out
    assert run(root, "--all")[0] == 0
    make_foreign(root, [(segment.segment.name, row) for segment in open_index(root).segments for row in range(6)])
    assert run(root, "--sample", 40, "--repair", "--seed", 1)[0] == 17


def test_json(root: Path) -> None:
    value = json.loads(run(root, "--sample", 30, "--seed", 5, "--json")[1])
    assert value["schema"] == "samespace/verify-space/1"
    assert value["accepted"] is True
    assert (value["rows"]["compared"], value["rows"]["equal"], value["rows"]["seed"]) == (31, 31, 5)
    assert value["rows"]["mended"] is None
    names = make_foreign(root, [("000001", row) for row in range(6, 40)])
    code, out, _ = run(root, "--all", "--json")
    value = json.loads(out)
    assert (code, value["exit_code"], value["details"]["documents"]) == (13, 13, 34)
    assert {(row["document"], row["ordinal"]) for row in value["details"]["foreign"]} == names
    assert "and 14 chunks more" in run(root, "--all")[1]
    value = json.loads(run(root, "--all", "--repair", "--json")[1])
    assert value["rows"]["mended"] == {"rows": 34, "generation": 3}


@pytest.mark.parametrize(
    "words",
    [["--repair"], ["--seed", "1"], ["--sample", "5", "--all"], ["--all", "--seed", "1"], ["--sample", "0"],
     ["--without-model", "--all"], ["--without-model", "--model", "hashing"]],
    ids=" ".join,
)  # fmt: skip
def test_options_that_do_not_go_together(root: Path, words: list[str]) -> None:
    assert run(root, *words)[0] == 2


def test_another_model_is_refused_before_any_row_is_compared(root: Path) -> None:
    code, out, _ = run(root, "--all", "--model", "hashing-2")
    assert code == 13
    assert "mixed share" not in out


def test_without_a_model_nothing_is_healthy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run(root, "--without-model")
    assert code == 17
    assert "nothing proves them" in err
    assert "cone:" in out
    value = json.loads(run(root, "--without-model", "--json")[1])
    checks = {finding["check"] for finding in value["details"]["findings"]}
    assert checks >= {
        "finite",
        "zero",
        "norms",
        "duplicates",
        "cone",
        "cosines",
        "hubness",
        "populations",
        "provenance",
    }
    columns = columns_of(open_index(root).segments[0].vectors)
    columns["vectors"][:] = columns["vectors"][0]
    write_vectors(root, "000001", columns)
    code, out, _ = run(root, "--without-model")
    assert code == 1
    assert "stand for more than one text" in out


def test_where_the_model_is_gone_it_says_what_can_be_done(root: Path) -> None:
    model = dict(generation(root).model)
    record = next((root / "spaces").glob("*/space.json"))
    value = json.loads(record.read_bytes())
    value["model"] = {**value["model"], "provider": "sentence-transformers", "location": "package:gone/gone"}
    digest = fs.write(record, [json.dumps(value).encode()])
    name = record.relative_to(root).as_posix()
    rewritten(root, files={**generation(root).files, name: digest}, model=model)
    code, _, err = run(root, "--all")
    assert code in (15, 16)
    assert "--without-model" in err
    assert run(root, "--without-model")[0] == 17


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    root: Path, windows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_foreign(root, FEW)
    windows.clear()
    counted = HashingEncoder.embed

    def stopping(self: HashingEncoder, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        if len(windows) == 2 + 3:  # the canaries and three windows
            raise KeyboardInterrupt
        return counted(self, texts, side)

    with monkeypatch.context() as patch:
        patch.setattr(HashingEncoder, "embed", stopping)
        code, _, err = run(root, "--all")
    assert code == 130
    assert "24 of 64 chunks are compared" in err
    assert "the same command goes on from there" in err
    code, _, err = run(root, "--all")
    assert code == 13
    assert "going on from there" in err
