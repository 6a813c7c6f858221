"""README says what is true of the project. (Its blocks of code are run by test_documentation.py.)"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from pages import read_blocks
from typer.testing import CliRunner

from trio_sip.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = read_blocks(ROOT / "README.md")


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_its_routes_file_is_the_one_that_is_served() -> None:
    [block] = [block for block in BLOCKS if block.file and block.file.startswith("routes/")]
    assert block.text == (ROOT / str(block.file)).read_text()


def test_its_two_commands() -> None:
    first, second = (shlex.split(block.text) for block in BLOCKS if block.language == "sh")
    assert first[:8] == second[:8] == ["python3", "-m", "venv", ".venv", "&&", ".venv/bin/pip", "install", "-q"]
    assert (ROOT / first[first.index("serve") + 1]).is_file()
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
