"""Every block of code in README and in the manual is run, and does what the page says.

What a block is stands after its three backticks (docs/README.md). A block that says nothing, or something nobody runs,
fails. What is shown as output is compared.
"""

from __future__ import annotations

import configparser
import logging
import sys
import tomllib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from commands import check_line, run, run_shown
from pages import PAGES, ROOT, Block, is_as_shown, read_blocks, read_session
from trio.testing import MockClock

import trio_sip
from trio_sip import Router
from trio_sip.routing.load import load_router
from trio_sip.testing import NothingReceived, SimulatedNetwork, make_request, make_response

BLOCKS = {str(block): block for page in PAGES for block in read_blocks(page)}
SERVER = "10.0.0.1:5060"
PHONES = ("10.0.0.5", "10.0.0.9")
"""They answer 200 to everything."""
THREADS = 0.02
"""Real seconds in which a thread is done: time does not jump before."""


@pytest.fixture
def block(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Block:
    """A block; the current directory has the files of its page, as far as the reader has come."""
    asked: Block = BLOCKS[request.param]
    monkeypatch.chdir(tmp_path)
    for other in read_blocks(asked.page):
        if other.file is not None and other.line <= asked.line:
            path = tmp_path / other.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(other.text)
    return asked


def of_kind(*kinds: str) -> pytest.MarkDecorator:
    """The test gets each block of these kinds."""
    names = [name for name, block in BLOCKS.items() if _kind(block) in kinds]
    return pytest.mark.parametrize("block", names, indirect=True)


def is_run_in_a_session(block: Block) -> bool:
    """Whether the page shows what pytest prints of this file."""
    sessions = [other.text for other in read_blocks(block.page) if _kind(other) == "console"]
    return any(
        command.line.split()[::2] == ["pytest", block.file] for text in sessions for command in read_session(text)
    )


def _kind(block: Block) -> str | None:
    with suppress(ValueError):
        return block.kind()
    return None


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_says_what_it_is(name: str) -> None:
    BLOCKS[name].kind()


@of_kind("routes file", "routes")
def test_routes_answer_what_they_claim(block: Block, caplog: pytest.LogCaptureFixture) -> None:
    router = load_router(block.file) if block.file else routes_of(block)
    clock = MockClock(autojump_threshold=THREADS)
    assert trio.run(answers, router, list(block.claims), clock=clock) == block.claims
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def routes_of(block: Block) -> Router:
    """The router of a part of a routes file; without a route, everything is answered 200."""
    router = execute(block)["router"]
    assert isinstance(router, Router)
    if router.routes.plain is None and not router.routes.requests:

        @router.request_route
        async def yes(request: trio_sip.Request) -> None:
            request.reply(200)

    return router


def execute(block: Block) -> dict[str, Any]:
    """What it defines. It finds Trio, the names of `trio_sip` and a router."""
    names = {name: getattr(trio_sip, name) for name in trio_sip.__all__}
    names |= {"trio": trio, "trio_sip": trio_sip, "router": Router(), "__name__": "documentation"}
    exec(compile(block.text, str(block), "exec"), names)
    return names


async def answers(router: Router, methods: list[str]) -> dict[str, str]:
    """The final answer to a request of each method, `nothing` where none comes."""
    network = SimulatedNetwork(seed=1, latency=0.010)
    found = {}
    async with trio.open_nursery() as nursery:
        for host in PHONES:
            nursery.start_soon(pick_up, network, host)
        await nursery.start(partial(trio_sip.serve, router, listen=[f"udp:{SERVER}"], network=network))
        alice = network.endpoint("10.0.0.2")
        for method in methods:
            call_id = f"{method}@10.0.0.2"
            asked = make_request(method, f"sip:bob@{PHONES[0]}", source=alice.address, call_id=call_id)
            alice.send(asked, to=SERVER)
            found[method] = "nothing"
            with suppress(NothingReceived):
                while found[method] < "2" or found[method] == "nothing":
                    found[method] = (await alice.receive()).split(b" ")[1].decode()
        nursery.cancel_scope.cancel()
    return found


async def pick_up(network: SimulatedNetwork, host: str) -> None:
    phone = network.endpoint(host)
    while True:
        with suppress(NothingReceived):
            phone.send(make_response(await phone.receive(), 200, "OK"), to=SERVER)


@of_kind("code")
def test_code_is_executed(block: Block) -> None:
    execute(block)


@pytest.mark.sockets
@of_kind("program")
def test_a_program_ends_and_prints_what_is_shown(block: Block, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(block.text)
    status, printed = run(sys.executable, "program.py", at=tmp_path)
    assert status == 0, printed
    shown = output_below(block)
    assert shown is None or is_as_shown(shown.text, printed), printed


def output_below(block: Block) -> Block | None:
    blocks = read_blocks(block.page)
    below = blocks[blocks.index(block) + 1 :][:1]
    return below[0] if below and below[0].kind() == "output" else None


@of_kind("output")
def test_output_stands_below_a_program(block: Block) -> None:
    assert block in [output_below(other) for other in read_blocks(block.page) if other.kind() == "program"]


ALONE = [name for name, block in BLOCKS.items() if _kind(block) == "test" and not is_run_in_a_session(block)]


@pytest.mark.parametrize("block", ALONE, indirect=True)
def test_a_test_passes_or_fails_as_it_says(block: Block, tmp_path: Path) -> None:
    assert block.file is not None
    status, printed = run_shown(f"pytest {block.file}", tmp_path) or (1, "")
    assert status == (1 if "fails" in block.words else 0), printed


@of_kind("settings")
def test_settings_can_be_read(block: Block) -> None:
    if block.language == "toml":
        assert tomllib.loads(block.text)
    else:
        reader = configparser.ConfigParser()
        reader.read_string(block.text)
        assert reader.sections()


@of_kind("sh")
def test_commands_exist(block: Block, tmp_path: Path) -> None:
    for line in block.text.splitlines():
        check_line(line, tmp_path)


@of_kind("console")
def test_a_session_prints_what_is_shown(block: Block, tmp_path: Path) -> None:
    for command in read_session(block.text):
        check_line(command.line, tmp_path)
        ran = run_shown(command.line, tmp_path)
        assert ran is not None or not command.shown, f"nobody knows what {command.line!r} prints"
        assert ran is None or is_as_shown(command.shown, ran[1]), ran[1]


def test_the_reference_names_everything_that_is_public() -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    assert [name for name in trio_sip.__all__ if f":: trio_sip.{name}" not in page] == []


def test_the_manual_has_every_page_in_its_contents() -> None:
    contents = (ROOT / "docs" / "index.md").read_text().split()
    assert [
        page.stem for page in PAGES if page.parent.name == "docs" and page.stem not in (*contents, "README", "index")
    ] == []
