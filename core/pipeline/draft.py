"""A generation being put together: the published one, what is staged, and the files that are new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from core.chunkers import ChunkSettings
from core.config import open_encoder
from core.encoders.carried import CarriedEncoder, carry
from core.encoders.transformer import TransformerEncoder
from core.errors import CorruptError, SpaceMismatchError, UsageError, shell
from core.index import fs
from core.index.columns import Table, concatenate, write_columns
from core.index.fs import Digest
from core.index.generation import Generation, Segment, View
from core.index.policy import Size, merges
from core.index.reader import Index
from core.index.staging import Staging
from core.index.state import State
from core.index.writer import NewFile, next_number, now
from core.lexical import ANALYZERS, Analyzer
from core.pipeline.analyzers import check_analyzer
from core.pipeline.languages import count_languages
from core.pipeline.merge import Merge, Part
from core.pipeline.segments import KINDS, count_words, published_part, staged_parts, write_merged
from core.pipeline.spaces import carried_is_whole, read_space, space_files, staged_space
from core.pipeline.staged import StagedDocuments, not_through
from core.space.evidence import KINDS as EVIDENCE
from core.space.evidence import find_evidence
from core.space.identity import Space
from core.space.record import SpaceRecord
from core.space.verify import guard
from core.types import Document
from core.vectors import plan
from core.version import VERSION

DEFAULT_ANALYZER = "mixed"
# Which files beside the vectors an index keeps that is searched in this way.
ANN_FILES: dict[str, tuple[Literal["hnsw", "codes"], ...]] = {
    "auto": ("codes",),
    "exact": (),
    "binary": ("codes",),
    "hnsw": ("codes", "hnsw"),
}


class Draft:
    """What `index` will publish. `new_files`, `recall` (of new graphs) and `notes` fill as parts are added."""

    def __init__(self, staging: Staging, state: State | None, base: Index | None):
        """Raises UsageError when the stages before are not through, FormatError when words are cut differently now."""
        self._staging, self._state, self._base = staging, state, base
        self._analyzer: Analyzer = ANALYZERS.load(DEFAULT_ANALYZER)()
        self._number = next_number(staging.root)
        self._segments = list(base.generation.segments) if base else []
        self._new: dict[str, Path] = {}  # new segments, and where their files lie until they are published
        self._dead = {name: set(rows) for name, rows in (base.generation.dead if base else {}).items()}
        for name, rows in (state.dead if state else {}).items():
            self._dead.setdefault(name, set()).update(rows)
        rows_of = {segment.name: segment.documents for segment in self._segments}
        if any(max(rows, default=0) >= rows_of.get(name, 0) for name, rows in self._dead.items()):
            raise CorruptError(
                "the staged work speaks of documents that are not there; what is published is not touched by that",
                path=staging.folder,
                fix=f"remove the folder {staging.folder} and run build again",
            )
        self.new_files: list[NewFile] = []
        self.recall: dict[str, float] = {}
        self.notes: list[str] = []
        self._encoder: str | None = None  # the published one that stays
        self._record = read_space(base) if base else self._staged_record()
        self._view = base.view if base else self._first_view()
        if base is not None:
            check_analyzer(self._analyzer, base)

    def _staged_record(self) -> SpaceRecord:
        """The space of an index that has published nothing yet, its files to be published with the first generation."""
        root = self._staging.root
        if self._state is None or not self._state.documents:
            raise UsageError(
                "there are no documents to publish",
                path=root,
                fix=f"samespace ingest FOLDER --to {shell(root)}; with --json it says why files were left out",
            )
        record = staged_space(self._staging, self._state)
        if record is None or "chunker" not in self._state.settings:
            raise not_through(self._staging, "embed" if "chunker" in self._state.settings else "chunk")
        names = space_files(record.space.id)
        self.new_files += [NewFile(names[0], self._staging.path("space.json"))]
        self.new_files += [NewFile(names[1], self._staging.path("canaries"))]
        return record

    def _first_view(self) -> View:
        assert self._state is not None
        settings = ChunkSettings.from_json(self._state.settings["chunker"])
        tokenizer = Space.from_json(self._state.space).tokenizer
        return View(settings.id(tokenizer), self._analyzer.identity, self._record.space.id)

    def add_segments(self) -> None:
        """The staged blocks as a new segment, merged with the published ones that the policy joins to them; and those anew
        of which much is dead. Raises UsageError when a stage was not gone through.
        """
        staged: dict[str, Part] = {}
        if self._state is not None:
            self._state = count_words(self._staging, self._state, self._analyzer)
            staged = staged_parts(self._staging, self._state)
        published = {reader.segment.name: reader for reader in self._base.segments} if self._base else {}
        sizes = [Size(name, len(part.documents.strings("id")), staged=True) for name, part in staged.items()]
        sizes += [Size(s.name, s.documents, len(self._dead.get(s.name, ()))) for s in self._segments]
        for group in merges(sizes):
            parts = [
                staged[name] if name in staged else published_part(published[name], self._dead.get(name, ()))
                for name in group
            ]
            self._segments = [segment for segment in self._segments if segment.name not in group]
            self._add_segment(parts, staged=group[0] if len(group) == 1 and group[0] in staged else None)

    def _add_segment(self, parts: list[Part], staged: str | None) -> None:
        """`staged` names the block that the segment consists of, whose files are taken as they are."""
        name = f"{self._number + len(self._new):06d}"
        merge = Merge(parts)
        folder = self._staging.path(staged or f"merged/{name}")
        if staged is None:
            write_merged(folder, merge, self._record.canaries)
        segment = Segment(name, merge.documents, merge.chunks)
        names = segment.files(self._view)
        self._segments.append(segment)
        self._new[name] = folder
        self.new_files += [NewFile(names[kind], folder / kind) for kind in KINDS]

    def add_graphs(self, scratch: Path) -> None:
        """A graph for every segment that has none yet, built in `scratch` and read back before it gets its name."""
        from core.vectors.hnsw import build_graph

        for segment in self._alive():
            if self._base and segment.find("hnsw", self._view, self._base.generation.files):
                continue
            vectors = self._vectors(segment).array("vectors", "<f4", 2)
            if not plan.graph_pays(*vectors.shape):
                self.notes.append(
                    f"segment {segment.name}: its {len(vectors):,} rows are searched faster without a graph"
                )
                continue
            path = scratch / f"{segment.name}.hnsw"
            self.recall[segment.name] = build_graph(vectors, self._record.metric, path)
            name = segment.graph(self._view, self._number)
            self.new_files.append(NewFile(name, path))

    def add_codes(self, least: int) -> None:
        """Binary codes for every segment of at least so many rows that has none yet."""
        from core.vectors.codes import make_codes

        for segment in self._alive():
            if self._base and segment.find("codes", self._view, self._base.generation.files):
                continue
            vectors = self._vectors(segment).array("vectors", "<f4", 2)
            if len(vectors) >= least:
                name = segment.codes(self._view, self._number)
                self.new_files.append(
                    NewFile(name, concatenate(write_columns(make_codes(vectors, self._record.metric))))
                )

    def _vectors(self, segment: Segment) -> Table:
        """The vectors of a new segment, or of a published one."""
        if segment.name in self._new:
            return Table(self._new[segment.name] / "vectors")
        assert self._base is not None
        return next(reader.vectors for reader in self._base.segments if reader.segment.name == segment.name)

    def add_encoder(self) -> None:
        """The encoder itself, so that the index answers without its model; what is to be published has to prove itself."""
        if self._base and carried_is_whole(self._base):
            self._encoder = self._view.find_encoder(self._base.generation.files)
            return
        encoder = open_encoder(self._record.model, "documents")
        if not isinstance(encoder, TransformerEncoder):
            name, root = self._record.model.name, self._staging.root
            if encoder.remote:
                raise UsageError(
                    f"the model {name!r} is behind a server and cannot be carried by an index",
                    path=root,
                    fix="leave --self-contained out",
                )
            raise UsageError(
                f"the model {name!r} needs no files, so there is nothing to carry",
                path=root,
                fix="leave --self-contained out: the index answers anywhere as it is",
            )
        if differences := self._record.space.differences(encoder.space):
            raise SpaceMismatchError(
                f"the model {self._record.model.name!r} on this machine is not quite the one that made this index "
                f"(they differ in {', '.join(differences)}), so it is not put into it",
                path=self._staging.root,
                fix="put back the model that the index was made with, or leave --self-contained out",
            )
        path = self._staging.path("encoder")
        fs.write(path, carry(encoder))
        record = self._record
        try:
            carried = CarriedEncoder(Table(path), record.model, record.space, record.metric, "queries")
            guard(record, carried, path=str(self._staging.root))
        except BaseException:
            fs.discard(path)
            raise
        self.new_files.append(NewFile(self._view.encoder(self._number), path))

    def _alive(self) -> list[Segment]:
        """The segments of which something lives; the others are left behind."""
        return [s for s in self._segments if len(self._dead.get(s.name, ())) < s.documents]

    def generation(self, method: str) -> Generation:
        """The generation as `publish` takes it: its new files have no digests yet."""
        base = self._base.generation if self._base else None
        source: Any = self._state or base
        segments = self._alive()
        needed = {name for segment in segments for name in segment.files(self._view).values()}
        needed |= set(space_files(self._view.space))
        if self._encoder:
            needed.add(self._encoder)
        carried, kinds = base.files if base else {}, ANN_FILES[method]
        needed |= {name for kind in EVIDENCE for name in find_evidence(self._view.space, kind, carried)}
        needed |= {name for s in segments for kind in kinds if (name := s.find(kind, self._view, carried))}
        return Generation(
            generation=self._number,
            parent=base.generation if base else 0,
            created=now(),
            tool=VERSION,
            sources=tuple(source.sources),
            model=dict(source.model),
            settings={
                "chunker": dict(source.settings["chunker"]),
                "analyzer": self._analyzer.settings,
                "ann": {"name": method},
            },
            views=(self._view,),
            segments=tuple(segments),
            dead={s.name: tuple(sorted(self._dead[s.name])) for s in segments if self._dead.get(s.name)},
            files=self._carried_over(needed),
            languages=count_languages(self._base, self._dead, self._staged_documents()),
        )

    def _staged_documents(self) -> Sequence[Document]:
        return StagedDocuments(self._staging, self._state.blocks) if self._state else ()

    def _carried_over(self, needed: set[str]) -> dict[str, Digest]:
        """The published files that stay, each found whole: a new generation must not build on a damaged one."""
        if self._base is None:
            return {}
        files = {name: digest for name, digest in self._base.generation.files.items() if name in needed}
        for name in files:
            self._base.verified(name)
        return files
