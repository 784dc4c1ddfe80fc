"""Every reader: what was written comes back, row by row; what is damaged is said to be so; nothing is written."""

from __future__ import annotations

import os
import sqlite3
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import stores
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import NEEDS, TEXTS, WITH_TEXTS, WRITERS, vectors_of, write_texts

from core.errors import CorruptError, MissingError, SamespaceError, UsageError
from core.foreign import READERS, Choice, Foreign, detect, open_foreign

VECTORS = vectors_of(TEXTS)


@pytest.fixture(params=list(WRITERS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return name


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def read(path: Path, texts: Path | None = None, **options: str) -> Foreign:
    return open_foreign(path, texts=texts, choice=Choice(**options))


class TestContract:
    def test_rows_and_texts_come_back(self, kind: str, tmp_path: Path) -> None:
        path = WRITERS[kind](tmp_path, VECTORS, TEXTS)
        before = files(tmp_path)
        texts = None if kind in WITH_TEXTS else write_texts(tmp_path / "texts.jsonl", TEXTS)
        found = read(path, texts)
        assert found.kind == kind.partition("-")[0] == detect(path)
        assert found.vectors.dtype == np.float32
        assert np.array_equal(found.vectors, VECTORS)
        assert list(found.texts or ()) == TEXTS
        if texts is None:
            assert files(tmp_path) == before

    def test_texts_of_a_file_pair_by_id(self, kind: str, tmp_path: Path) -> None:
        path = WRITERS[kind](tmp_path, VECTORS, TEXTS)
        found = open_foreign(path, texts=write_texts(tmp_path / "texts.jsonl", TEXTS))
        if found.ids is None:
            return
        order = [5, 3, 4, 0, 1, 2, 11, 10, 9, 8, 7, 6]
        shuffled = write_texts(tmp_path / "other.jsonl", [TEXTS[n] for n in order], [found.ids[n] for n in order])
        assert list(open_foreign(path, texts=shuffled).texts or ()) == TEXTS

    def test_three_texts_for_more_rows(self, kind: str, tmp_path: Path) -> None:
        path = WRITERS[kind](tmp_path, VECTORS[:4], TEXTS[:4])
        with pytest.raises(UsageError, match="3 texts for 4 rows"):
            read(path, write_texts(tmp_path / "texts.jsonl", TEXTS[:3]))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_no_numbers(self, kind: str, value: float, tmp_path: Path) -> None:
        if kind == "lancedb" and np.isnan(value):
            pytest.skip("LanceDB itself does not write NaN")
        wrong = VECTORS.copy()
        wrong[7, 3] = value
        path = WRITERS[kind](tmp_path, wrong, TEXTS)
        with pytest.raises(CorruptError, match=r"row \d+ .* no numbers"):
            read(path, write_texts(tmp_path / "texts.jsonl", TEXTS))

    def test_a_named_format_is_taken(self, kind: str, tmp_path: Path) -> None:
        path = WRITERS[kind](tmp_path, VECTORS, TEXTS)
        texts = write_texts(tmp_path / "texts.jsonl", TEXTS)
        assert open_foreign(path, texts=texts, kind=kind.partition("-")[0]).vectors.shape == VECTORS.shape
        with pytest.raises(UsageError, match="no format called"):
            open_foreign(path, texts=texts, kind="pickle")

    def test_another_format_is_an_error_in_words(self, kind: str, tmp_path: Path) -> None:
        path = WRITERS[kind](tmp_path, VECTORS, TEXTS)
        for other in READERS:
            if other != kind.partition("-")[0]:
                with pytest.raises(SamespaceError):
                    open_foreign(path, texts=write_texts(tmp_path / "texts.jsonl", TEXTS), kind=other)


class TestDamage:
    """Of the formats that are read without a package; the others are their packages' to check."""

    @pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind not in NEEDS])
    def test_cut_short_or_altered(self, kind: str, tmp_path: Path) -> None:
        """Whatever is cut or altered: what was written comes back, other numbers do, or an error in words. No traceback."""
        folder = tmp_path
        path = WRITERS[kind](folder, VECTORS, TEXTS)
        names = sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix != ".pickle")
        whole = {one: one.read_bytes() for one in names}
        texts = write_texts(folder / "texts.jsonl", TEXTS)

        @settings(max_examples=60)
        @given(st.data())
        def tried(data: st.DataObject) -> None:
            file = data.draw(st.sampled_from(names))
            content = bytearray(whole[file])
            if data.draw(st.booleans()):
                del content[data.draw(st.integers(0, len(content) - 1)) :]
            else:
                end = data.draw(st.sampled_from([min(128, len(content) - 4), len(content) - 4]))
                at = data.draw(st.integers(0, end))
                content[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
            file.write_bytes(content)
            try:
                found = open_foreign(path, texts=texts)
                assert found.vectors.ndim == 2
                assert np.isfinite(found.vectors).all()
            except (CorruptError, UsageError, MissingError):  # missing: it may now begin like a parquet file
                pass
            finally:
                file.write_bytes(whole[file])

        tried()

    @pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "hnswlib", "faiss", "faiss-map", "faiss-graph"])
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_a_file_cut_in_its_vectors_is_refused(self, kind: str, share: float, tmp_path: Path) -> None:
        path = WRITERS[kind](tmp_path, VECTORS, TEXTS)
        os.truncate(path, int(path.stat().st_size * share))
        with pytest.raises(CorruptError, match="damaged, cut short"):
            read(path, write_texts(tmp_path / "texts.jsonl", TEXTS))

    @pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "hnswlib", "faiss", "llm"])
    def test_an_empty_file(self, kind: str, tmp_path: Path) -> None:
        path = WRITERS[kind](tmp_path, VECTORS, TEXTS)
        path.write_bytes(b"")
        with pytest.raises((CorruptError, UsageError)):
            read(path, write_texts(tmp_path / "texts.jsonl", TEXTS))

    @pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".faiss", ".bin", ".db", ".parquet"])
    def test_garbage(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"x{suffix}"
        path.write_bytes(b"?" * 4096)
        with pytest.raises((CorruptError, UsageError, MissingError)):
            read(path)


def promise_npy(path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**12}, 128), }}"
    head = header.ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(512))


def promise_npz(path: Path) -> None:
    promise_npy(path.with_suffix(".npy"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path.with_suffix(".npy"), "vectors.npy")


def bomb_npz(path: Path) -> None:
    np.savez_compressed(path, vectors=np.zeros((1 << 18, 64), dtype=np.float32))  # 64 MB in 64 KB


def promise_hnswlib(path: Path) -> None:
    header, elements = stores.graph(VECTORS, range(len(VECTORS)))
    path.write_bytes(header[:8] + struct.pack("<QQ", 10**12, 10**12) + header[24:] + elements)


def promise_faiss(path: Path) -> None:
    data = b"IxF2" + struct.pack("<iqqq?i", 128, 10**12, 1, 1, True, 1) + struct.pack("<Q", 128 * 10**12)
    path.write_bytes(data + bytes(512))


class TestPromises:
    @pytest.mark.parametrize(
        ("name", "write"),
        [
            ("x.npy", promise_npy), ("x.npz", promise_npz), ("bomb.npz", bomb_npz), ("x.bin", promise_hnswlib),
            ("x.faiss", promise_faiss),
        ],
    )  # fmt: skip
    def test_a_header_that_promises_too_much_costs_no_memory(
        self, name: str, write: Callable[[Path], None], tmp_path: Path
    ) -> None:
        write(tmp_path / name)
        tracemalloc.start()
        try:
            with pytest.raises(CorruptError):
                read(tmp_path / name)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


class TestArrays:
    def test_a_place_in_a_zip_that_cannot_be_is_damage(self, tmp_path: Path) -> None:
        path = stores.npz(tmp_path, VECTORS, TEXTS)
        content = bytearray(path.read_bytes())
        content[-6:-2] = b"\xff" * 4  # where the list of its members begins
        path.write_bytes(content)
        with pytest.raises(CorruptError):
            read(path)

    def test_a_file_that_may_not_be_read_is_not_damaged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*args: object, **options: object) -> None:
            raise PermissionError(13, "Permission denied")

        path = stores.npz(tmp_path, VECTORS, TEXTS)
        monkeypatch.setattr(zipfile, "ZipFile", refused)
        with pytest.raises(PermissionError):
            read(path)

    @pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
    def test_floats_become_float32(self, dtype: str, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.asfortranarray(VECTORS.astype(dtype)))
        found = read(tmp_path / "x.npy", write_texts(tmp_path / "t.jsonl", TEXTS))
        assert found.vectors.dtype == np.dtype("<f4")
        assert np.allclose(found.vectors, VECTORS, atol=1e-3)

    def test_what_is_float32_stays_mapped(self, tmp_path: Path) -> None:
        found = read(stores.npy(tmp_path, VECTORS, TEXTS), write_texts(tmp_path / "t.jsonl", TEXTS))
        assert isinstance(found.vectors, np.memmap)

    def test_a_float64_beyond_float32_is_no_number(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.full((2, 4), 1e300))
        with pytest.raises(CorruptError, match="no numbers"):
            read(tmp_path / "x.npy")

    @pytest.mark.parametrize("shape", [(), (12,), (3, 4, 128), (0, 128), (12, 0)])
    def test_a_wrong_shape(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros(shape, dtype=np.float32))
        np.savez(tmp_path / "x.npz", vectors=np.zeros(shape, dtype=np.float32))
        for name in ("x.npy", "x.npz"):
            with pytest.raises((UsageError, CorruptError), match=r"shape|no vectors|no array|damaged"):
                read(tmp_path / name)

    @pytest.mark.parametrize("dtype", ["i4", "i1", "c8", "U3", "?", "M8[s]"])
    def test_what_is_no_float(self, dtype: str, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros((4, 8), dtype=dtype))
        with pytest.raises(UsageError, match="not vectors"):
            read(tmp_path / "x.npy")

    def test_pickles_are_not_read(self, tmp_path: Path) -> None:
        trap = np.empty((4, 8), dtype=object)
        np.save(tmp_path / "x.npy", trap, allow_pickle=True)
        np.savez(tmp_path / "x.npz", vectors=trap)
        (tmp_path / "x.pkl").write_bytes(b"\x80\x04N.")
        for name in ("x.npy", "x.npz", "x.pkl"):
            with pytest.raises(UsageError, match="pickle"):
                read(tmp_path / name)

    def test_several_arrays(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", a=VECTORS, b=-VECTORS, names=np.array(["x"]))
        texts = write_texts(tmp_path / "t.jsonl", TEXTS)
        with pytest.raises(UsageError, match="2 of arrays") as error:
            read(tmp_path / "x.npz", texts)
        assert error.value.fix == "choose one with --column: a, b"
        assert np.array_equal(read(tmp_path / "x.npz", texts, column="b").vectors, -VECTORS)
        with pytest.raises(UsageError, match="no array called 'c'"):
            read(tmp_path / "x.npz", texts, column="c")

    def test_bfloat16_tensors_are_named(self, tmp_path: Path) -> None:
        head = b'{"v":{"dtype":"BF16","shape":[2,4],"data_offsets":[0,16]}}'
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(16))
        with pytest.raises(UsageError, match="BF16"):
            read(tmp_path / "x.safetensors")


class TestPlaces:
    @pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "hnswlib", "faiss", "llm"])
    def test_the_content_says_what_it_is(self, kind: str, tmp_path: Path) -> None:
        assert detect(WRITERS[kind](tmp_path, VECTORS, TEXTS).rename(tmp_path / "data")) == kind

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            read(tmp_path / "x.npy")

    def test_a_folder_instead_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.npy").mkdir()
        with pytest.raises(UsageError, match="neither"):
            read(tmp_path / "x.npy")
        with pytest.raises(UsageError, match="a folder"):
            open_foreign(tmp_path / "x.npy", kind="npy")
        stores.npy(tmp_path, VECTORS, TEXTS)
        with pytest.raises(UsageError, match="a folder"):
            read(tmp_path / "vectors.npy", tmp_path)

    def test_a_file_instead_of_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no folder"):
            open_foreign(stores.npy(tmp_path, VECTORS, TEXTS), kind="chroma")

    @pytest.mark.parametrize("name", ["x.npy", "x"])
    def test_a_pipe_is_not_waited_for(self, name: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / name)
        with pytest.raises(UsageError, match="a pipe"):
            read(tmp_path / name)

    def test_an_unknown_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.foo").write_bytes(b"hello")
        with pytest.raises(UsageError, match="no file of vectors"):
            read(tmp_path / "x.foo")

    def test_without_texts(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no texts"):
            read(stores.npy(tmp_path, VECTORS, TEXTS))


class TestTexts:
    def test_forms(self, tmp_path: Path) -> None:
        path = stores.npy(tmp_path, VECTORS[:3], TEXTS[:3])
        mixed = tmp_path / "t.jsonl"
        mixed.write_text(
            '\ufeff"a\\u2028b"\r\n\n{"id": 1, "text": "b", "title": "T"}\n{"_id": "x", "text": ""}', "utf-8"
        )
        found = read(path, mixed)
        assert list(found.texts or ()) == ["a\u2028b", "b", ""]
        assert list(found.titles or ()) == ["", "T", ""]
        plain = tmp_path / "t.txt"
        plain.write_bytes(b"one\r\n\nthree\n")
        assert list(read(path, plain).texts or ()) == ["one", "", "three"]

    @pytest.mark.parametrize(
        "line", ["{", "[1]", "3", '{"txt": 1}', '{"text": null}', "\udc80", '{"text": "", "title": 3}']
    )
    def test_a_bad_line_is_named(self, line: str, tmp_path: Path) -> None:
        path = tmp_path / "t.jsonl"
        path.write_bytes(b'"fine"\n' + line.encode("utf-8", "surrogateescape"))
        with pytest.raises(CorruptError, match="line 2"):
            read(stores.npy(tmp_path, VECTORS[:2], TEXTS[:2]), path)


class TestHnswlib:
    def test_what_hnswlib_itself_saves(self, tmp_path: Path) -> None:
        package = pytest.importorskip("hnswlib")
        index = package.Index("cosine", VECTORS.shape[1])
        index.init_index(len(VECTORS) + 5)
        index.add_items(VECTORS * 3, np.arange(len(VECTORS))[::-1])
        index.mark_deleted(4)
        index.save_index(str(tmp_path / "graph.bin"))
        left = [text for n, text in enumerate(reversed(TEXTS)) if n != 4]
        found = read(tmp_path / "graph.bin", write_texts(tmp_path / "t.jsonl", left))
        assert np.allclose(found.vectors, vectors_of(left), atol=1e-6)
        assert found.ids == ["0", "1", "2", "3", *map(str, range(5, 12))]

    def test_a_label_that_stands_twice(self, tmp_path: Path) -> None:
        header, elements = stores.graph(VECTORS, [0] * len(VECTORS))
        (tmp_path / "graph.bin").write_bytes(header + elements)
        with pytest.raises(CorruptError, match="twice"):
            read(tmp_path / "graph.bin")


class TestFaiss:
    def test_ids_and_metric(self, tmp_path: Path) -> None:
        texts = write_texts(tmp_path / "t.jsonl", TEXTS)
        assert read(stores.faiss(tmp_path, VECTORS, TEXTS), texts).metric == "dot"
        found = read(stores.faiss_map(tmp_path, VECTORS, TEXTS), texts)
        assert (found.metric, list(found.ids or ())[:2]) == ("euclidean", ["7", "8"])

    @pytest.mark.parametrize(("kind", "word"), [(b"IwFl", "IVFFlat"), (b"IxPq", "PQ"), (b"Izzz", "Izzz")])
    def test_other_kinds_are_named(self, kind: bytes, word: str, tmp_path: Path) -> None:
        (tmp_path / "x.faiss").write_bytes(stores.faiss_header(kind, VECTORS) + bytes(100))
        with pytest.raises(UsageError, match=word) as error:
            read(tmp_path / "x.faiss")
        assert "reconstruct_n" in error.value.fix

    def test_maps_of_maps_end(self, tmp_path: Path) -> None:
        (tmp_path / "x.faiss").write_bytes(stores.faiss_header(b"IxMp", VECTORS) * 5000)
        with pytest.raises(CorruptError, match="within"):
            read(tmp_path / "x.faiss")


class TestLlm:
    def test_the_recorded_model_is_a_note(self, tmp_path: Path) -> None:
        found = read(stores.llm(tmp_path, VECTORS, TEXTS))
        assert found.notes == ("collection docs, made by sentence-transformers/all-MiniLM-L6-v2",)

    def test_several_collections(self, tmp_path: Path) -> None:
        path = stores.llm(tmp_path, VECTORS, TEXTS)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("INSERT INTO collections VALUES (2, 'more', 'x')")
        with pytest.raises(UsageError, match="2 of collections"):
            read(path)
        assert len(read(path, collection="docs").vectors) == len(TEXTS)
        with pytest.raises(UsageError, match="empty"):
            read(path, collection="more")

    def test_texts_that_were_not_stored(self, tmp_path: Path) -> None:
        path = stores.llm(tmp_path, VECTORS, TEXTS)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE embeddings SET content = NULL WHERE id = 'd3'")
        with pytest.raises(UsageError, match="no texts"):
            read(path)
        assert list(read(path, write_texts(tmp_path / "t.jsonl", TEXTS)).texts or ()) == TEXTS

    @pytest.mark.parametrize("value", [b"\0" * 5, b"", "text", None, 3])
    def test_blobs_that_are_no_vectors(self, value: object, tmp_path: Path) -> None:
        path = stores.llm(tmp_path, VECTORS, TEXTS)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE embeddings SET embedding = ? WHERE id = 'd3'", [value])
        with pytest.raises(CorruptError, match="one length"):
            read(path)

    def test_a_view_is_not_asked(self, tmp_path: Path) -> None:
        path = stores.llm(tmp_path, VECTORS, TEXTS)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("ALTER TABLE embeddings RENAME TO e")
            db.execute(
                "CREATE VIEW embeddings AS SELECT 1 AS collection_id, 'x' AS id, zeroblob(900000000) AS embedding"
            )
        with pytest.raises(UsageError, match="no table embeddings"):
            read(path)

    def test_a_log_that_was_not_taken_in_is_read(self, tmp_path: Path) -> None:
        path = stores.llm(tmp_path, VECTORS, TEXTS)
        with closing(sqlite3.connect(path)) as writer:
            writer.execute("PRAGMA journal_mode=WAL")
            writer.execute("INSERT INTO embeddings (collection_id, id, embedding, content) VALUES (1, 'new', ?, 'new')",
                           [VECTORS[0].tobytes()])  # fmt: skip
            writer.commit()
            assert len(read(path).vectors) == len(TEXTS) + 1
        assert sorted(one.name for one in tmp_path.iterdir()) == [path.name]
        assert len(read(path).vectors) == len(TEXTS) + 1
        assert sorted(one.name for one in tmp_path.iterdir()) == [path.name]


class TestChroma:
    def test_its_pickle_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        path = stores.chroma_synced(tmp_path, VECTORS, TEXTS)
        found = read(path)
        assert "pickle" in found.notes[1]
        assert not (tmp_path / "pickle-was-read").exists()
        (path / stores.SEGMENT / "index_metadata.pickle").unlink()
        assert np.array_equal(read(path).vectors, found.vectors)

    def test_the_file_names_the_folder(self, tmp_path: Path) -> None:
        path = stores.chroma(tmp_path, VECTORS, TEXTS)
        assert np.array_equal(read(path / "chroma.sqlite3").vectors, VECTORS)

    def alter(self, path: Path, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(path / "chroma.sqlite3")) as db, db:
            db.execute(statement, values)

    def test_a_newer_vector_counts_and_one_that_was_passed_over_does_not(self, tmp_path: Path) -> None:
        path = stores.chroma_partly(tmp_path, VECTORS, TEXTS)
        insert = "INSERT INTO embeddings_queue VALUES (?, ?, ?, ?, ?, 'FLOAT32', NULL)"
        self.alter(path, insert, 50, 2, stores.TOPIC, "d2", (-VECTORS[1]).tobytes())
        self.alter(path, "UPDATE embeddings SET seq_id = 50 WHERE embedding_id = 'd2'")
        self.alter(path, insert, 51, 0, stores.TOPIC, "d3", (-VECTORS[2]).tobytes())  # added again: Chroma ignores it
        self.alter(path, insert, 52, 2, "persistent://default/default/other", "d4", (-VECTORS[3]).tobytes())
        signs = np.where(np.arange(len(VECTORS)) == 1, -1, 1)[:, None]
        assert np.array_equal(read(path).vectors, VECTORS * signs)

    def test_what_cannot_be_paired_is_refused(self, tmp_path: Path) -> None:
        path = stores.chroma_partly(tmp_path, VECTORS, TEXTS)
        self.alter(path, "DELETE FROM embeddings WHERE embedding_id = 'd2'")
        insert = "INSERT INTO embeddings_queue VALUES (60, 3, ?, 'd2', NULL, NULL, NULL)"
        self.alter(path, insert, stores.TOPIC)
        with pytest.raises(UsageError, match="cannot be told apart") as error:
            read(path)
        assert "numpy.save" in error.value.fix

    def test_the_name_of_a_segment_leads_nowhere_else(self, tmp_path: Path) -> None:
        path = stores.chroma_synced(tmp_path, VECTORS, TEXTS)
        (path / stores.SEGMENT).rename(tmp_path / "outside")
        self.alter(path, "UPDATE segments SET id = '../outside' WHERE scope = 'VECTOR'")
        self.alter(path, "UPDATE max_seq_id SET segment_id = '../outside'")
        with pytest.raises(CorruptError, match="segment"):
            read(path)

    def test_a_document_that_is_missing(self, tmp_path: Path) -> None:
        path = stores.chroma(tmp_path, VECTORS, TEXTS)
        self.alter(path, "DELETE FROM embedding_metadata WHERE id = 4")
        with pytest.raises(UsageError, match="no texts"):
            read(path)


class TestMissing:
    @pytest.mark.parametrize(("kind", "package"), [("parquet", "pyarrow"), ("lancedb", "lancedb")])
    def test_the_package_is_named(self, kind: str, package: str, tmp_path: Path) -> None:
        try:
            __import__(package)
            pytest.skip(f"{package} is installed")
        except ImportError:
            pass
        (tmp_path / "x.parquet").write_bytes(b"PAR1" * 9)
        (tmp_path / "docs.lance").mkdir()
        path = tmp_path / "x.parquet" if kind == "parquet" else tmp_path
        with pytest.raises(MissingError, match=package) as error:
            read(path)
        assert error.value.fix == f"pip install {package}"
