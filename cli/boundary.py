"""The boundary between the core's errors and the person at the shell: a message, a way out, an exit code, no traceback."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from cli.commands import Commands
from cli.render import be_quiet, complain, emit_json, visible
from core.errors import ExitCode, SamespaceError, UsageError, from_os_error

_Mistyped: Any = typer.BadParameter.__base__  # Typer's own Click has no public name for its UsageError


class Terminated(BaseException):
    """SIGTERM came. Not an Exception, so that nothing but the boundary catches it."""


def _terminate(signum: int, frame: Any) -> None:
    raise Terminated


class Boundary(TyperGroup):
    """Overrides `invoke`, so that the test runner and the real program end in the same way."""

    def __init__(self, *words: Any, **options: Any):
        super().__init__(*words, **options)
        self.commands = Commands()

    def invoke(self, ctx: Any) -> Any:
        typed = [*ctx._protected_args, *ctx.args]
        be_quiet(False)  # as it was left by the command before, in one process
        before = signal.signal(signal.SIGTERM, _terminate)
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:  # `>&-` closes it
                sys.stdout.flush()
            return result
        except SamespaceError as error:
            _show(error, ctx)
            raise typer.Exit(int(error.exit_code)) from None
        except _Mistyped as error:
            if error.ctx is not None:
                complain(error.ctx.get_usage())
            # An option that is not known ends the parsing before --json is read.
            ctx.obj = {"json": "--json" in typed or bool((ctx.obj or {}).get("json"))}
            command = error.ctx.command_path if error.ctx is not None else "samespace"
            _show(UsageError(error.format_message(), fix=f"{command} --help"), ctx)
            raise typer.Exit(int(ExitCode.USAGE)) from None
        except BrokenPipeError:
            _silence_stdout()
            raise typer.Exit(0) from None
        except OSError as error:
            _show(from_os_error(error), ctx)
            raise typer.Exit(int(ExitCode.STORAGE)) from None
        except MemoryError:
            _show(SamespaceError("out of memory", fix="close other programs, or work on fewer documents at once"), ctx)
            raise typer.Exit(int(ExitCode.STORAGE)) from None
        except KeyboardInterrupt:
            raise _stopped("interrupted", ExitCode.INTERRUPTED, ctx) from None
        except Terminated:
            raise _stopped("terminated", ExitCode.TERMINATED, ctx) from None
        finally:
            signal.signal(signal.SIGTERM, before)


def _stopped(word: str, code: ExitCode, ctx: Any) -> typer.Exit:
    error = SamespaceError(
        f"{word}: what was published is untouched, finished work is kept", fix="the same command goes on from there"
    )
    error.exit_code = code
    _show(error, ctx)
    return typer.Exit(int(code))


def _silence_stdout() -> None:
    """Whoever read our output has enough. Nothing more can be said there, at exit neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(error: SamespaceError, ctx: Any) -> None:
    """The error on stderr for people; with --json also as the one object on stdout."""
    where = f"{visible(error.path)}: " if error.path else ""
    complain(f"samespace: {where}{visible(error.message)}")
    if error.fix:
        complain(f"  → {visible(error.fix)}")
    if (ctx.obj or {}).get("json"):
        try:
            emit_json("error", error.to_json())
            sys.stdout.flush()
        except BrokenPipeError:
            _silence_stdout()
