"""docs/limits.md tells the truth: each bound it names has the value it says, in the file it says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import attrs
import pytest

import trio_sip
from trio_sip.transport.stream import StreamLimits

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "docs" / "limits.md").read_text().splitlines()
BOUNDS = [
    (name, float(value), file)
    for line in LINES
    for name, value, file in re.findall(r"^\| `(_?[A-Z][A-Z_0-9]*)` \| ([\d.]+) \|.*\| ([\w/]+\.py) \|", line)
]
STREAM_LIMITS = [
    (name, float(value)) for line in LINES for name, value in re.findall(r"^\| `([a-z_]+)` \| ([\d.]+) \|", line)
]
BOUND = re.compile(r"_?(?:MAX|LIMIT|LONGEST)_\w+|\w+_(?:MAXIMUM|LIMIT|TIMEOUT|SIZE|REMEMBERED)")


def module(file: str) -> ModuleType:
    return importlib.import_module("trio_sip." + file.removesuffix(".py").replace("/", "."))


def test_the_page_is_read() -> None:
    assert len(BOUNDS) > 50


@pytest.mark.parametrize(("name", "value", "file"), BOUNDS)
def test_a_bound_is_what_the_page_says(name: str, value: float, file: str) -> None:
    assert getattr(module(file), name) == value


def test_the_limits_of_a_stream_are_what_the_page_says() -> None:
    limits = attrs.asdict(StreamLimits(), filter=lambda field, _: field.name != "framing")
    assert dict(STREAM_LIMITS) == limits


def test_every_bound_is_on_the_page() -> None:
    text = "\n".join(LINES)
    missing = []
    for file in Path(trio_sip.__file__).parent.rglob("*.py"):
        for name in re.findall(r"^(_?[A-Z][A-Z_0-9]*)(?:: \w+)? = \d", file.read_text(), re.MULTILINE):
            if BOUND.fullmatch(name) and f"`{name}`" not in text:
                missing.append(f"{file.name}: {name}")
    assert missing == []
