"""The pages of the manual as a test sees them: blocks of code, and what the words after their backticks ask for.

`docs/README.md` lists the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import attrs
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "bench" / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_CLAIM = re.compile(r"([A-Z]+)=(\d{3}|nothing)")
_FILE = re.compile(r"[\w/]+\.(?:py|toml|ini)")
_VARIES = (
    (re.compile(r"\b\d+\.\d+ ?s\b"), "0.00s"),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.]+)?"), "DATE"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)


@attrs.frozen
class Block:
    """One block of code: where it stands, its language, the words behind that, and the code."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file it is."""
        return next(takewhile(_FILE.fullmatch, self.words), None)

    @property
    def claims(self) -> dict[str, str]:
        """What is said to be answered, by method: a status, or `nothing`."""
        found = [_CLAIM.fullmatch(word) for word in self.words]
        return {claim[1]: claim[2] for claim in found if claim}

    @property
    def is_test(self) -> bool:
        return Path(self.file or "").name.startswith("test_")

    def kind(self) -> str:
        """What is done with it. Raises `ValueError` where its words ask for nothing we know."""
        marks = tuple(word for word in self.words if not _CLAIM.fullmatch(word) and not _FILE.fullmatch(word))
        match self.language, self.file is not None, bool(self.claims), marks:
            case "python", True, False, () | ("fails",) if self.is_test:
                return "test"
            case "python", True, True, ():
                return "routes file"
            case "python", False, True, ():
                return "routes"
            case "python", False, False, ("run",):
                return "program"
            case "python", False, False, ():
                return "code"
            case "toml" | "ini", True, False, ():
                return "settings"
            case "sh" | "console" as language, False, False, ():
                return language
            case "text", False, False, () | ("output",):
                return "output" if marks else "text"
        raise ValueError(f"nothing runs {str(self)!r}: see docs/README.md for what may stand after the backticks")

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line} {' '.join((self.language, *self.words))}".rstrip()


def read_blocks(page: Path) -> list[Block]:
    """The blocks of a page in order, Sphinx' own directives left out."""
    return [block for block in _all_blocks(page) if not block.language.startswith("{")]


def _all_blocks(page: Path) -> Iterator[Block]:
    for token in MarkdownIt().parse(page.read_text()):
        if token.type in ("fence", "code_block"):
            language, *words = token.info.split() or ["(no words)"]
            assert token.map is not None
            yield Block(page, token.map[0] + 1, language, tuple(words), token.content)


@attrs.frozen
class Command:
    """A line after `$`, and what is shown below it."""

    line: str
    shown: str


def read_session(text: str) -> list[Command]:
    """The commands of a `console` block."""
    head, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not head, f"a console block begins with a command, '$ ...', not with {head!r}"
    return [Command(line, shown) for line, _, shown in (part.partition("\n") for part in parts)]


def is_as_shown(shown: str, printed: str) -> bool:
    """Whether the page shows what was printed: `...` stands for anything; times, dates and line ends are not compared.

    A block that begins or ends with `...` is a part.
    """
    parts = [re.escape(part) for part in _same(shown).strip("\n").split("...")]
    return re.fullmatch(".*?".join(parts), _same(printed).strip("\n"), re.DOTALL) is not None


def _same(text: str) -> str:
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    return text
