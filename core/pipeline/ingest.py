"""ingest: read what the sources hold now, and stage what differs from the published generation."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from core.config import AUTO, ENGLISH, choose_model, open_encoder
from core.encoders import Encoder, Model
from core.errors import SamespaceError, SpaceMismatchError, UsageError, shell
from core.heap import give_back
from core.index.reader import Index, open_published
from core.index.staging import Staging
from core.index.state import Block, State
from core.index.writer import create, uncreate, writing
from core.language import not_known, sample, shares, total
from core.pipeline.languages import of_document
from core.pipeline.ledger import Ledger
from core.pipeline.spaces import is_another, read_space
from core.pipeline.staged import BlockWriter, StagedDocuments, document_strings, read_document
from core.progress import SILENT, Progress
from core.sources.memory import Memory
from core.sources.scan import scan
from core.space.identity import Space
from core.types import Document, Outcome, Source


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Every file or record met and what became of it; how many documents are staged and how many published ones go; which
    roots were scanned.
    """

    outcomes: tuple[Outcome, ...]
    model: Model
    staged: int
    dead: int
    notes: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(outcome.status for outcome in self.outcomes)
        return {s: counted[s] for s in ("new", "changed", "unchanged", "removed", "skipped", "failed")}


def ingest(
    root: Path,
    paths: Sequence[str] = (),
    *,
    model: str | Model | None = None,
    name: str | None = None,
    yes: bool = False,
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> IngestReport:
    """Scan `paths` (none: every source the index knows) and stage new and changed documents and what was removed.

    The index is created when it is not there; its model is fixed then: `model`, or the one that fits the documents (None
    and "auto"). Raises UsageError (a path or model that is not
    there; a source that lost all its documents, without `yes`), SpaceMismatchError (another model than the index's),
    NoIndexError, LockedError, StorageError, CorruptError, FormatError, MissingError, BackendError.
    """
    with opened(root, paths, model, wait, progress) as encoder:
        memory = Memory(root)
        report = stage_sources(Staging(root), encoder, memory, paths, model, name, yes, progress)
        memory.save(report.roots)
    give_back()
    return report


def stage_sources(
    staging: Staging,
    encoder: Encoder | None,
    memory: Memory,
    paths: Sequence[str],
    model: str | Model | None,
    name: str | None,
    yes: bool,
    progress: Progress,
) -> IngestReport:
    """Scan and stage. `encoder` is that of a new index, if its model was named."""
    root = staging.root
    base = open_published(root)
    before = staging.state()
    state, encoder = _state(staging, base, encoder, model)
    taking = _Taking(staging, base, state, memory, yes, progress)
    recorded = state.sources if state else before.sources if before else ()
    sources, scanned, notes = _resolve(recorded, paths, name)
    is_another = (
        before is not None and state is None
    )  # staged for a model that is given up: all is read for the new one
    if is_another or (state and (state.reading or taking.is_damaged)):
        scanned = list(sources)  # an ingest was cut off: what it had not staged is read now
    outcomes: list[Outcome] = []
    progress.stage("ingest")
    for source in scanned:
        if _is_gone(source) and yes:
            sources.remove(source)
            notes.append(f"{source.root} is gone: the source {source.name!r} and its documents are given up")
        outcomes += taking.take(source, sources)
    blocks, dead = taking.finish(), taking.ledger.dead()
    documents = StagedDocuments(staging, blocks)
    state = taking.state
    if state is None or _is_undecided(state):
        encoder = encoder or _choose(documents)
        notes += [encoder.model.why] if encoder.model.why else []
        state = State(base=0, sources=(), model=encoder.model.to_json(), space=encoder.space.to_json())
    chosen = Model.from_json(state.model)
    if documents or dead or base is None or tuple(sources) != base.generation.sources:
        state = replace(state, sources=tuple(sources), dead=dead, blocks=blocks, reading=False)
        staging.save(state)
        staging.sweep(state)
    else:
        staging.clear()
    notes += _language_note(documents, chosen, root)
    outcomes.sort(key=lambda outcome: outcome.path)
    size = sum(map(len, dead.values()))
    roots = tuple(source.root for source in scanned)
    return IngestReport(tuple(outcomes), chosen, len(documents), size, tuple(notes), roots)


class _Taking:
    """Documents on their way from the sources into blocks. What is read is staged as it comes, and `state` says so: an
    `ingest` that was cut off need not read it again.
    """

    def __init__(
        self,
        staging: Staging,
        base: Index | None,
        state: State | None,
        memory: Memory,
        yes: bool,
        progress: Progress,
    ):
        self.staging, self.state, self.memory = staging, state, memory
        self._yes, self._progress = yes, progress
        tables = [(block, staging.table(block, "documents")) for block in (state.blocks if state else ())]
        self._old = [(block, table) for block, table in tables if table is not None]
        self._new: list[Block] = []
        self._writer = BlockWriter(staging)
        self.is_damaged = len(self._old) < len(tables)
        self.ledger = Ledger(base, [(block.name, table) for block, table in self._old])

    def take(self, source: Source, sources: Sequence[Source]) -> list[Outcome]:
        """What became of everything in one source. A root that is gone is an empty one with `yes`, else a UsageError."""
        if _is_gone(source) and not self._yes:
            raise UsageError(
                f"the source {source.name!r} is not there; nothing was changed, and the index keeps its documents",
                path=source.root,
                fix="if it is a mount, mount it; if it moved: build NEWPATH --name NAME; to give it up: --yes",
            )
        found: list[Outcome] = []
        for item in () if _is_gone(source) else self._scan(source):
            outcome, document = self.ledger.take(item)
            found.append(outcome)
            if document is not None and (block := self._writer.add(document)):
                self._new.append(block)
                self._save(sources)
            self._progress.advance()
        return self.ledger.settle(source, found, self._yes)

    def _scan(self, source: Source) -> Iterator[Document | Outcome]:
        ledger = self.ledger
        known, records = partial(ledger.sha256, source=source), partial(ledger.records, source=source)
        return scan(source, known, records=records, memory=self.memory)

    def _save(self, sources: Sequence[Source]) -> None:
        blocks = (*(block for block, _ in self._old), *self._new)
        state = self.state or State(
            base=0, sources=(), model={}, space={}
        )  # which model fits is not known before the end
        self.state = replace(state, sources=tuple(sources), blocks=blocks, reading=True)
        self.staging.save(self.state)

    def finish(self) -> tuple[Block, ...]:
        """All blocks that are to be published: of those staged earlier only what still counts, the rest written anew."""
        kept: list[Block] = []
        rows_of = self.ledger.kept()
        for block, table in self._old:
            rows = rows_of.get(block.name, [])
            if len(rows) == block.documents:
                kept.append(block)
                continue
            if self.state is not None and self.state.space:
                self.staging.keep_vectors(Space.from_json(self.state.space).id, block)
            strings = document_strings(table)
            written = [self._writer.add(read_document(strings, row)) for row in rows]
            self._new += [new for new in written if new]
        last = self._writer.close()
        return (*kept, *self._new, *([last] if last else ()))


def _is_gone(source: Source) -> bool:
    return not Path(source.root).exists()


def _choose(documents: Sequence[Document]) -> Encoder:
    """The encoder that `auto` takes for these documents. Where that cannot be used, the error names the choices."""
    model = choose_model(f"{document.title}\n{document.text}" for document in sample(documents))
    try:
        return open_encoder(model)
    except SamespaceError as error:
        raise type(error)(
            f"{model.why}, but it cannot be used: {error.message}",
            path=error.path,
            fix=f"{error.fix}; or choose another: --model {ENGLISH} (knows English; other text is found by its words only), "
            "a hub name, or a folder",
            details=error.details,
        ) from error


def _language_note(documents: Sequence[Document], model: Model, root: Path) -> list[str]:
    """A line when much of what is new is in a language that the model does not know."""
    found = shares(total(of_document(document) for document in sample(documents)))
    strange = not_known(found, model.name, model.languages)
    others = f"`samespace models recommend {shell(root)}` says which others do, once it is published"
    return [f"of the new documents, {strange}; {others}"] if strange else []


@contextlib.contextmanager
def opened(
    root: Path, paths: Sequence[str], model: str | Model | None, wait: float, progress: Progress
) -> Iterator[Encoder | None]:
    """Hold the index at `root`, made when it is not there; the encoder of a new one whose model was named.

    A wrong path or model is refused before anything is made, and a creation from which nothing came is taken back. Raises
    what `ingest` raises.
    """
    check_paths(root, paths)
    is_new, is_made = not (root / "samespace.json").exists(), not root.exists()
    encoder = open_encoder(model) if is_new and model not in (None, AUTO) else None
    create(root)
    with writing(root, wait, progress.note):
        try:
            yield encoder
        except BaseException:
            if is_new:
                uncreate(root, is_made)
            raise


def check_paths(root: Path, paths: Sequence[str]) -> None:
    if not paths and not (root / "samespace.json").exists():
        raise UsageError(
            "no source was named, and there is no index here whose sources could be read again",
            path=root,
            fix=f"samespace build FOLDER --to {shell(root)}",
        )
    for path in paths:
        if not path or not Path(path).exists():
            raise UsageError("there is no such file or folder to read from", path=path, fix="check the path")
        if Path(path).resolve() == root.resolve() or (Path(path) / "samespace.json").is_file():
            raise UsageError("this is an index, not a source", path=path, fix="name the folder of your documents")


def _state(
    staging: Staging, base: Index | None, encoder: Encoder | None, model: str | Model | None
) -> tuple[State | None, Encoder | None]:
    """The staged state, or a fresh one that continues from the published generation; None for a new index. And the
    encoder of the model that was named, where the index has none yet."""
    state, named = staging.state(), model not in (None, AUTO)
    asked = model if named else None
    if state is None:
        staging.clear()  # what is left of work that was published or belongs to no generation
    if state is None and base is not None:
        generation = base.generation
        space = read_space(base).space.to_json()
        state = State(generation.generation, generation.sources, generation.model, space, generation.settings)
    is_other = state is not None and (not state.model or (asked and is_another(Model.from_json(state.model), asked)))
    other = asked if is_other else None
    if state is None or (state.base == 0 and other):
        encoder = encoder or (open_encoder(asked) if asked else None)
        staging.clear()  # nothing is published yet, so the index may still change its mind
        return None, encoder
    if other:
        _refuse_other_space(state, base, other, staging.root)
    return state, None


def _is_undecided(state: State) -> bool:
    """Whether `auto` has not chosen yet, or without a document to choose by."""
    return not state.model or (state.base == 0 and not state.documents and bool(state.model.get("why")))


def _refuse_other_space(state: State, base: Index | None, model: str | Model, root: Path) -> None:
    """Another name may be the same space (a moved folder), or be adopted as equal: only another space is refused."""
    space = open_encoder(model).space
    differences = Space.from_json(state.space).differences(space)
    server = "" if isinstance(model, str) else str(model.options.get("base_url", ""))
    model = model if isinstance(model, str) else model.name
    named = shell(model) + (f" --base-url {shell(server)}" if server else "")
    if differences and not (base is not None and space.id in read_space(base).equal_spaces):
        raise SpaceMismatchError(
            f"this index was made with the model {state.model['name']!r} and keeps it; "
            f"{model!r} makes another space (they differ in {', '.join(differences)})",
            path=root,
            fix=f"build another index beside it: samespace build FOLDER --to NEW.index --model {named}; if its vectors are "
            f"equal all the same: samespace verify-space {shell(root)} --model {named} --adopt",
            details={"differences": {key: list(pair) for key, pair in differences.items()}},
        )


def _resolve(
    recorded: tuple[Source, ...], paths: Sequence[str], name: str | None
) -> tuple[list[Source], list[Source], list[str]]:
    """All sources from now on, those to scan, and notes. The same root is the same source; a name is used once."""
    if name and len(paths) != 1:
        raise UsageError("--name names one source", fix="give one path with it")
    sources = {source.name: source for source in recorded}
    by_root = {source.root: source for source in recorded}
    scanned, notes = [], []
    for path in paths:
        root = str(Path(path).resolve())
        source = by_root.get(root)
        if source is not None and name and source.name != name:
            raise UsageError(
                f"this folder is the source {source.name!r} already; a source keeps its name",
                path=root,
                fix="leave --name out",
            )
        if source is None:
            base = name or Path(root).name or "root"
            chosen = base
            if not name and base in sources:
                chosen = next(f"{base}-{i}" for i in range(2, 10_000) if f"{base}-{i}" not in sources)
                notes.append(f"{root} is a new source, {chosen!r}. If {sources[base].root} moved there: --name {base}")
            source = Source(chosen, root)
        sources[source.name] = by_root[root] = source
        if source not in scanned:
            scanned.append(source)
    return list(sources.values()), scanned if paths else list(sources.values()), notes
