"""How figures are printed: one headline that says where they come from, one Markdown table."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median


def headline() -> str:
    """Date, machine, Python and the command, on three lines."""
    build = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    command = " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    return (
        f"{datetime.date.today().isoformat()}: {command}\n"
        f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}; load average {load}\n"
        f"{build}"
    )


def spread(values: Sequence[float], digits: int = 1) -> str:
    """A median with the least and the most: `7.0 (6.8-7.4)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie; 0.0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded for a terminal; all columns but the first and the last stand to the right."""
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    lines = [_line(columns, widths), "| " + " | ".join("-" * width for width in widths) + " |"]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    last = len(cells) - 1
    padded = [
        cell.rjust(width) if 0 < index < last else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
