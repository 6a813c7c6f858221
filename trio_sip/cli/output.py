"""What goes to a terminal or a pipe: lines that are out at once, plain tables, escaped text of strangers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["complain", "printable", "say", "table"]


def printable(text: str) -> str:
    """`text` with everything that is not visible escaped, so that what a peer sent is one line and only text.

    That is control characters and line breaks, but also what turns the writing direction, and bytes that are
    not UTF-8.

    >>> printable("200 OK\\r\\n\\x1b[2J")
    '200 OK\\\\r\\\\n\\\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join([mark if mark.isprintable() else _escaped(mark) for mark in text])


def _escaped(mark: str) -> str:
    if "\udc80" <= mark <= "\udcff":  # a byte that was not UTF-8, kept by surrogateescape
        return f"\\x{ord(mark) - 0xDC00:02x}"
    return mark.encode("unicode_escape").decode("ascii")


def say(text: str) -> None:
    """Print `text`, at once. A reader who is gone is no error: a server outlives the pipe it writes to."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Otherwise the interpreter stumbles over the same pipe when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Print `text` on standard error as one line with the program's name before it."""
    print(f"trio-sip: {printable(' '.join(text.split()))}", file=sys.stderr, flush=True)


def table(heading: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they have to be, under their titles; `none` where there are no rows."""
    if not rows:
        return f"{heading}: none"
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    written = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join([heading, *(f"  {line}".rstrip() for line in written)])
