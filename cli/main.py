"""samespace on the command line: every command, and the one place where errors become words and exit codes."""

from __future__ import annotations

import contextlib

import typer

from cli.boundary import Boundary
from core.version import VERSION

app = typer.Typer(
    name="samespace",
    cls=Boundary,
    help="Index and query corpora, and prove that the query lies in the vector space of the documents.",
    epilog="Start with: samespace build FOLDER --to my.index && samespace search my.index 'what you look for'",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"samespace {VERSION}")
        raise typer.Exit


_FILES = 1 << 16


def _open_many_files() -> None:
    """A large build maps several files a block; many systems allow 1,024 at first and far more when asked."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, wanted), most))


@app.callback()
def samespace(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    _open_many_files()
    app(prog_name="samespace")


if __name__ == "__main__":
    main()
