"""Errors are the manual: what happened, to which path, what to do, and the exit code that says so.

SamespaceError
├── AnswerIsNo           1    asked, and the answer is no (findings, a gate that failed)
├── UsageError           2    the request does not fit (also: stages out of order, a missing source)
├── NoIndexError        10    there is no index there, or nothing is published in it yet
├── LockedError         11    another process is writing
├── CorruptError        12    a file is damaged, missing or not what it says
├── SpaceMismatchError  13    the vectors would not lie in the index's space
├── FormatError         14    written by a newer samespace
├── MissingError        15    an optional package or a model is not there
├── BackendError        16    a back end (model hub, server) does not answer
├── InconclusiveError   17    could not be decided
└── StorageError        18    full, read-only or not permitted
"""

from __future__ import annotations

import errno
import shlex
from enum import IntEnum
from pathlib import Path

from core.types import Json


class ExitCode(IntEnum):
    """Every exit code of the command line; README's table is checked against this one."""

    DONE = 0
    NO = 1
    USAGE = 2
    NO_INDEX = 10
    LOCKED = 11
    CORRUPT = 12
    SPACE_MISMATCH = 13
    FORMAT = 14
    MISSING = 15
    BACKEND = 16
    INCONCLUSIVE = 17
    STORAGE = 18
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.NO: "asked, and the answer is no (`--strict`: a file could not be read; `--changed`: nothing changed)",
    ExitCode.USAGE: "usage: the request does not fit",
    ExitCode.NO_INDEX: "no index there, or nothing published in it yet",
    ExitCode.LOCKED: "another process is writing to the index",
    ExitCode.CORRUPT: "a file of the index (or an input) is damaged or missing",
    ExitCode.SPACE_MISMATCH: "the model's vectors do not lie in the index's space",
    ExitCode.FORMAT: "the index was written in a format this version does not read",
    ExitCode.MISSING: "an optional package or a model is not installed",
    ExitCode.BACKEND: "a back end (model hub, server) does not answer",
    ExitCode.INCONCLUSIVE: "could not be decided",
    ExitCode.STORAGE: "storage: full, read-only or not permitted",
    ExitCode.INTERNAL: "internal error: a fault of samespace",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.TERMINATED: "terminated (SIGTERM)",
}


class SamespaceError(Exception):
    """`message`: what happened; `path`: to what; `fix`: what to do; `details`: figures for `--json`."""

    exit_code: ExitCode = ExitCode.NO

    def __init__(self, message: str, *, path: str | Path | None = None, fix: str = "", details: Json | None = None):
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.fix = fix
        self.details: Json = details or {}

    def to_json(self) -> Json:
        return {
            "error": type(self).__name__,
            "exit_code": int(self.exit_code),
            "message": self.message,
            "path": self.path,
            "fix": self.fix,
            "details": self.details,
        }


class AnswerIsNo(SamespaceError):
    exit_code = ExitCode.NO


class UsageError(SamespaceError):
    exit_code = ExitCode.USAGE


class NoIndexError(SamespaceError):
    exit_code = ExitCode.NO_INDEX


class LockedError(SamespaceError):
    exit_code = ExitCode.LOCKED


class CorruptError(SamespaceError):
    exit_code = ExitCode.CORRUPT


class SpaceMismatchError(SamespaceError):
    exit_code = ExitCode.SPACE_MISMATCH


class FormatError(SamespaceError):
    exit_code = ExitCode.FORMAT


class MissingError(SamespaceError):
    exit_code = ExitCode.MISSING


class BackendError(SamespaceError):
    exit_code = ExitCode.BACKEND


class InconclusiveError(SamespaceError):
    exit_code = ExitCode.INCONCLUSIVE


class StorageError(SamespaceError):
    exit_code = ExitCode.STORAGE


_STORAGE = {
    errno.ENOSPC: ("no space left on the device", "free some space and run the same command again; nothing was lost"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again; nothing was lost"),
    errno.EFBIG: (
        "the file would be larger than is allowed here",
        "raise the file-size limit (ulimit -f) and run again",
    ),
    errno.EROFS: ("the file system is read-only", "write to another place, or mount it writable"),
    errno.EACCES: ("permission denied", "check who owns the path and its permissions"),
    errno.EPERM: ("operation not permitted", "check who owns the path and its permissions"),
    errno.EIO: ("the device reports an input/output error", "check the disk, then run `samespace check` on the index"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n) and run again"),
    errno.ENFILE: ("too many open files on this system", "close some programs and run again"),
}


def shell(path: str | Path) -> str:
    """`path` as it is typed at a shell, for commands that an error advises."""
    return shlex.quote(str(path))


def from_os_error(error: OSError) -> SamespaceError:
    """The storage error that says what `error` means, with its path and the way out."""
    what, fix = _STORAGE.get(error.errno or 0, (error.strerror or str(error), "check the path and run again"))
    path = error.filename if isinstance(error.filename, (str, bytes)) else None
    return StorageError(what, path=path.decode(errors="replace") if isinstance(path, bytes) else path, fix=fix)
