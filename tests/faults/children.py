"""Work in a forked child: how it ended, what it returned or raised; and moments inside of it at which something happens."""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import FrameType
from typing import Any

from lab import Fault

from core.errors import SamespaceError
from core.index import fs

HUNG = 120  # seconds after which a child that does not end is taken for hung


@dataclass(frozen=True)
class Ended:
    """`signal` is 0 unless one ended the child; then there is neither a value nor an error."""

    signal: int
    value: Any = None
    error: BaseException | None = None

    @property
    def said(self) -> str:
        return signal.Signals(self.signal).name if self.signal else repr(self.error or self.value)


class Child:
    """A fork of this process that does `work` and ends, without any of this process's own endings."""

    def __init__(self, work: Callable[[], Any]):
        self._answer, told = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _live(work, told)
        os.close(told)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def is_ended(self, seconds: float = 0) -> bool:
        """Whether it has ended, or does so within `seconds`."""
        return bool(select.select([self._answer], [], [], seconds)[0])

    def wait(self) -> Ended:
        with os.fdopen(self._answer, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            return Ended(os.WTERMSIG(status))
        if not answer:
            return Ended(0, error=RuntimeError("it ended without a word"))
        return Ended(0, *pickle.loads(answer))


def _live(work: Callable[[], Any], told: int) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(HUNG)
        try:
            said = (work(), None)
        except BaseException as error:
            said = (None, error)
        with os.fdopen(told, "wb") as pipe:
            pipe.write(pickle.dumps(said))
    finally:
        os._exit(0)


def ended(work: Callable[[], Any]) -> Ended:
    return Child(work).wait()


def value_of(end: Ended) -> Any:
    """What the child returned. A SamespaceError or OSError of it is raised; whatever else ended it is a crash."""
    if isinstance(end.error, (SamespaceError, OSError, Fault)):
        raise end.error
    if end.signal or end.error is not None:
        raise Fault("crash", f"a child ended with {end.said}")
    return end.value


def command_line(words: list[str]) -> tuple[int, str]:
    """Exit code and stderr of the program, run in this process: call it in a child."""
    from cli.main import app

    err = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        try:
            app(words, prog_name="samespace")
        except SystemExit as end:
            return int(end.code or 0), err.getvalue()
    return 0, err.getvalue()


# Moments: the k-th step that core/index/fs.py announces, or the k-th system call of the index's code

Act = Callable[[str], None]  # gets the name of the step or the call
Moment = Callable[
    [int | None, Act], Any
]  # a context manager: counted from 0; `act` is called once, or (None) each time
# Not stat and lstat: how many of these there are depends on how deep the folder lies.
_OURS = ("/core/index/", "/core/pipeline/", "/core/check/", "/core/vectors/")
_CALLS = {
    "open", "read", "readinto", "write", "flush", "fsync", "truncate", "link", "replace", "rename", "unlink", "mkdir",
    "rmdir", "scandir", "listdir", "flock", "fstat",
}  # fmt: skip
_SYSTEM = {"posix", "io", "_io", "fcntl"}
# What fails there is a document's failure, or costs nothing, or is Python's own.
_ELSEWHERE = ("/core/sources/", "/core/cache.py", "<frozen importlib")


def kill_myself(name: str = "") -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def at_step(number: int | None, act: Act) -> Iterator[list[str]]:
    """`act` before the `number`-th step of the block, or before each. Gives the list of all steps as it grows."""
    steps: list[str] = []

    def on_step(step: str, path: Any) -> None:
        steps.append(f"{step} {path.name}")
        if number is None or len(steps) == number + 1:
            act(step)

    before, fs.on_step = fs.on_step, on_step
    try:
        yield steps
    finally:
        fs.on_step = before


@contextmanager
def at_call(number: int | None, act: Act) -> Iterator[list[str]]:
    """`act` before the `number`-th system call of the block that may touch the index, or before each. Gives the calls as they grow."""
    calls: list[str] = []

    def profile(frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or called.__name__ not in _CALLS or _module(called) not in _SYSTEM:
            return
        if _is_elsewhere(frame):
            return
        calls.append(called.__name__)
        if number is None or len(calls) == number + 1:
            act(called.__name__)

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


MOMENTS: dict[str, Moment] = {"step": at_step, "call": at_call}


def _module(called: Any) -> str | None:
    """The module of a function, or of the file whose method this is."""
    return called.__module__ or type(getattr(called, "__self__", None)).__module__


def _is_elsewhere(frame: FrameType | None) -> bool:
    ours = False
    while frame is not None:
        name = frame.f_code.co_filename
        if any(part in name for part in _ELSEWHERE):
            return True
        ours = ours or any(part in name for part in _OURS)
        frame = frame.f_back
    return not ours
