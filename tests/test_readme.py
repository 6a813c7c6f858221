"""README does what it says: its Python is run, its routes file is the one in routes/, its options exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from typer.testing import CliRunner

from trio_sip.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def block(mark: str) -> str:
    [found] = [text for text in BLOCKS if mark in text]
    return str(found)


def execute(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(text, "README.md", "exec"), names)
    return names


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_its_python_is_python(number: int) -> None:
    compile(BLOCKS[number], "README.md", "exec")


def test_its_routes_file_is_the_one_that_is_served() -> None:
    assert block("@router.pre_routing") == (ROOT / "routes" / "sworker.py").read_text()


async def test_its_test_passes(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    names = execute(block("async def test_"))
    [test] = [value for name, value in names.items() if name.startswith("test_")]
    await test(autojump_clock, nursery)


@pytest.mark.sockets
def test_its_server_can_be_embedded(capsys: pytest.CaptureFixture[str]) -> None:
    execute(block("trio.run(main)"))
    assert re.fullmatch(r"127\.0\.0\.1:\d+ 4\n", capsys.readouterr().out)


def test_its_two_commands() -> None:
    first, second = (shlex.split(command) for command in COMMANDS)
    assert first[:8] == second[:8] == ["python3", "-m", "venv", ".venv", "&&", ".venv/bin/pip", "install", "-q"]
    served = first[first.index(".venv/bin/trio-sip") + 1 :]
    assert (ROOT / served[1]).is_file()
    assert CliRunner().invoke(app, ["check", *served[1:]]).exit_code == 0
    assert second[8:] == ["-e", ".[dev]", "&&", ".venv/bin/pytest"]


@pytest.mark.parametrize("command", ["serve", "check", "ping"])
def test_its_options_are_all_there_are(command: str) -> None:
    [row] = re.findall(rf"^\| `trio-sip {command} \w+` \| (.*) \|$", README, re.MULTILINE)
    described = set(re.findall(r"`(--[a-z-]+)`", row))
    shown = CliRunner().invoke(app, [command, "--help"]).stdout
    assert described == set(re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)) - {"--help"}


def test_every_file_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
