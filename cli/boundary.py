"""The boundary between the core's errors and the person at the shell: a message, a way out, an exit code, no traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from cli.commands import Commands
from cli.render import be_quiet, complain, emit_json, silence_stdout, visible
from core.errors import ExitCode, SamespaceError, StorageError, UsageError, from_os_error

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
        except (typer.Exit, typer.Abort):
            raise
        except _Mistyped as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # a group of commands by itself
                complain(error.ctx.get_help())
                raise typer.Exit(int(ExitCode.USAGE)) from None
            if error.ctx is not None:
                complain(error.ctx.get_usage())
            # An option that is not known ends the parsing before --json is read.
            ctx.obj = {"json": "--json" in typed or bool((ctx.obj or {}).get("json"))}
            command = error.ctx.command_path if error.ctx is not None else "samespace"
            _show(UsageError(error.format_message(), fix=f"{command} --help"), ctx)
            raise typer.Exit(int(ExitCode.USAGE)) from None
        except BrokenPipeError:  # only where something other than `render` wrote
            silence_stdout()
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
        except Exception as error:
            if os.environ.get("SAMESPACE_TRACEBACK"):
                raise
            _show(_internal(error), ctx)
            raise typer.Exit(int(ExitCode.INTERNAL)) from None
        finally:
            signal.signal(signal.SIGTERM, before)


def _stopped(word: str, code: ExitCode, ctx: Any) -> typer.Exit:
    error = SamespaceError(
        f"{word}: what was published is untouched, finished work is kept", fix="the same command goes on from there"
    )
    error.exit_code = code
    _show(error, ctx)
    return typer.Exit(int(code))


def _internal(error: Exception) -> SamespaceError:
    """What nobody foresaw. It has a code of its own, so that a script does not take it for an answer."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    found = SamespaceError(
        f"internal error: {type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})",
        fix="this is a fault of samespace: please report it; SAMESPACE_TRACEBACK=1 before the command shows where it was",
    )
    found.exit_code = ExitCode.INTERNAL
    return found


def _show(error: SamespaceError, ctx: Any) -> None:
    """The error on stderr for people; with --json also as the one object on stdout."""
    where = f"{visible(error.path)}: " if error.path else ""
    complain(f"samespace: {where}{visible(error.message)}")
    if error.fix:
        complain(f"  → {visible(error.fix)}")
    if (ctx.obj or {}).get("json"):
        with contextlib.suppress(StorageError):  # stdout itself may be what failed
            emit_json("error", error.to_json())
