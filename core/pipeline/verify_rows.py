"""verify-space beyond the canaries: how much of an index is in its space, row by row, and putting right what is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.encoders import Encoder
from core.errors import InconclusiveError, SamespaceError, SpaceMismatchError, shell
from core.index.reader import Index, open_index, reading
from core.index.writer import writing
from core.pipeline.compare import Comparison, compare_all, compare_sample, forget, percent
from core.pipeline.mend import Mended, mend
from core.pipeline.spaces import read_space
from core.progress import SILENT, Progress
from core.space.canaries import Canaries
from core.space.record import SpaceRecord
from core.space.verify import Verdict
from core.types import Json


@dataclass(frozen=True, slots=True)
class RowsReport:
    """What a comparison found, and what was mended of it (None: nothing was to be, or was asked to be)."""

    comparison: Comparison
    mended: Mended | None = None

    def to_json(self) -> Json:
        mended = self.mended and {"rows": self.mended.rows, "generation": self.mended.generation}
        return {**self.comparison.to_json(), "mended": mended}

    def doubt(self, root: Path) -> SamespaceError | None:
        """What is left to be done about it, as the error to raise; None when all that was compared is equal now."""
        found, every = self.comparison, f"samespace verify-space {shell(root)} --all --repair"
        rows = f"{len(found.foreign):,} of {found.compared:,} chunks compared, of {found.documents:,} documents,"
        if not found.foreign or (self.mended and found.is_whole):
            return None
        if self.mended:
            return InconclusiveError(
                f"{rows} were foreign and are mended; what the sample did not look at may hold others "
                f"(before, the mixed share was ≤ {percent(found.bound, up=True)} at 95 %)",
                path=root,
                fix=f"{every} looks at every chunk",
                details=self.to_json(),
            )
        fix = f"{every} embeds just those again, into a new generation"
        message = f"{rows} are not where the index's model puts their texts: {found.summary}"
        return SpaceMismatchError(message, path=root, fix=fix, details=self.to_json())


def verify_rows(
    root: Path,
    record: SpaceRecord,
    encoder: Encoder,
    verdict: Verdict,
    *,
    sample: int | None = None,
    seed: int = 0,
    repair: bool = False,
    wait: float = 0.0,
    progress: Progress = SILENT,
) -> RowsReport:
    """Embed a stratified `sample` of the live chunks again (None: every chunk, going on where an interrupted run was), and
    compare them with what is stored. `repair` mends what was found, in a new generation; it holds the index for writing
    from the beginning.

    `verdict` is the accepting one of `encoder` for `record`. Raises CorruptError, BackendError, and with `repair`
    LockedError, StorageError, MissingError, InconclusiveError (another space was put on record meanwhile).
    """

    def compare(index: Index) -> Comparison:
        if sample is None:
            return compare_all(index, record, encoder, progress)
        return compare_sample(index, record, encoder, sample, seed, progress)

    if not repair:
        index, found = reading(root, lambda index: (index, compare(index)))
        forget(index, record, encoder)
        return RowsReport(found)
    with writing(root, wait, progress.note):
        index = open_index(root)
        if read_space(index).to_bytes() != record.to_bytes():
            raise InconclusiveError(
                "the index got another space meanwhile", path=root, fix="run the same command again"
            )
        found, mended = compare(index), None
        if found.foreign:
            today = Canaries(record.canaries.texts, verdict.now["query"], verdict.now["passage"])
            mended = mend(index, record, encoder, today, found.foreign, whole=found.is_whole, progress=progress)
            for line in mended.notes:
                progress.note(line)
    forget(index, record, encoder)
    return RowsReport(found, mended)
