"""The C programs of this folder, compiled when first needed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BUILD = BENCH / "build"


def compile_c(name: str) -> Path | None:
    """Compile `bench/<name>.c` into `bench/build/`; None when there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, program = BENCH / f"{name}.c", BUILD / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", program, source], check=True, timeout=60)
    return program
