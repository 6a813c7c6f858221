"""Commands the manual shows: each has to be one that exists, with options that exist. What is cheap is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

from pages import ROOT

SECONDS = 60.0  # for what is run
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def run(*command: str, at: Path) -> tuple[int, str]:
    """The exit status, and what was printed."""
    environment = {**os.environ, "PYTEST_ADDOPTS": "", "COLUMNS": "80", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        command, cwd=at, env=environment, timeout=SECONDS, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.returncode, done.stdout


def run_shown(line: str, at: Path) -> tuple[int, str] | None:
    """What a command of a session prints; None where it is not one that is run here."""
    program, *arguments = shlex.split(line)
    if program == "pytest":
        return run(*PYTEST, *arguments, at=at)
    if program == "trio-sip" and arguments[0] == "check":
        return run(sys.executable, "-m", "trio_sip", *arguments, at=at)
    return None


def check_line(line: str, at: Path) -> None:
    """Check a line of commands with `&&` between them. `at`: where the page's own files are."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word != "&&":
            words.append(word)
        elif words:
            _check(words, at)
            words = []


def _check(words: list[str], at: Path) -> None:
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    match program:
        case "python3":
            assert arguments == ["-m", "venv", ".venv"], words
        case "pip":
            _check_installation(arguments)
        case "trio-sip":
            _check_trio_sip(arguments, at)
        case "python":
            assert (ROOT / arguments[0]).is_file(), words
            _check_options((sys.executable, arguments[0]), arguments)
        case "pytest":
            _check_options(PYTEST, arguments)
        case "sphinx-build":
            assert (ROOT / arguments[-2] / "conf.py").is_file(), words
        case _:
            assert program.startswith(".ci/"), f"nobody knows whether {program!r} exists: {words}"
            assert os.access(ROOT / program, os.X_OK), words


def _check_installation(arguments: list[str]) -> None:
    assert arguments[0] == "install", arguments
    for target in (word for word in arguments[1:] if word not in ("-q", "-e")):
        here = re.fullmatch(r"\.(?:\[([\w,]+)\])?", target)
        assert here, f"not this project: {target}"
        assert set(filter(None, (here[1] or "").split(","))) <= set(EXTRAS), target


def _check_trio_sip(arguments: list[str], at: Path) -> None:
    command, target = arguments[:2]
    _check_options((sys.executable, "-m", "trio_sip", command), arguments)
    if command in ("serve", "check"):
        listen = [part for pair in pairwise(arguments) if pair[0] == "--listen" for part in pair]
        place = at if (at / target).exists() else ROOT
        status, printed = run(sys.executable, "-m", "trio_sip", "check", target, *listen, at=place)
        assert status == 0, printed


def _check_options(command: tuple[str, ...], arguments: list[str]) -> None:
    options = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    if options:
        known = set(re.findall(r"(?<![\w-])--?\w[\w-]*", _help_of(command)))
        assert options <= known, f"{options - known} are no options of {command}"


@cache
def _help_of(command: tuple[str, ...]) -> str:
    status, printed = run(*command, "--help", at=ROOT)
    assert status == 0, printed
    return printed
