"""Giving freed memory back, so that what a long build holds does not grow with what it has done."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Let the C library return what was freed to the system; nothing where it is not glibc.

    Arrays of ever other sizes, from several threads, leave its heaps full of holes: without this a process that embeds
    100,000 texts ends up with three times the memory that it uses.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
