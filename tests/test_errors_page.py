"""docs/errors.md shows what is printed: each mistake is made here, and its message compared with the page.

`FILES` has the routes files the page names. What is wrong with the file is told by `trio-sip check`; what shows later
is logged when the server gets an OPTIONS, under the simulated network. A message on the page that nobody makes here
fails, but for those that need a real network.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

import pytest
import trio
from pages import ROOT, is_as_shown, read_blocks
from trio.testing import MockClock
from typer.testing import CliRunner

import trio_sip
from trio_sip.cli.app import app
from trio_sip.cli.logs import TextFormatter
from trio_sip.routing.load import load_router
from trio_sip.testing import SimulatedNetwork, make_request

PAGE = ROOT / "docs" / "errors.md"
IMPORT = "from trio_sip import Request, Router, WorkerGroup\n\n"
TOP = IMPORT + "router = Router()\n"
ROUTE = TOP + "\n@router.request_route\nasync def request_route(request):\n"
GROUP = ROUTE.replace("Router()", 'Router([WorkerGroup("default", deadline=2.0)])')
PRE = GROUP + "    request.reply(200)\n\n\n@router.pre_routing\ndef pre_routing(frame):\n"

FILES = {
    # told when the file is loaded
    "plain_route.py": TOP + "\n@router.request_route\ndef request_route(request):\n    request.reply(200)\n",
    "async_pre.py": TOP + "\n@router.pre_routing\nasync def pre_routing(frame):\n    frame.drop()\n",
    "no_argument.py": TOP + "\n@router.request_route\nasync def request_route():\n    pass\n",
    "twice.py": ROUTE + "    pass\n\n\n@router.request_route\nasync def another(request):\n    pass\n",
    "no_router.py": "from trio_sip import Router\n",
    "other_name.py": "from trio_sip import Router\n\nmain = Router()\n",
    "two_routers.py": "from trio_sip import Router\n\ninside = Router()\noutside = Router()\n",
    "not_a_router.py": "router = 5\n",
    "no_route.py": TOP,
    "method_deco.py": TOP + "\n@router.request_route()\nasync def request_route(request):\n    request.reply(200)\n",
    "two_groups.py": IMPORT + 'router = Router([WorkerGroup("a"), WorkerGroup("a")])\n',
    "bad_group.py": IMPORT + 'router = Router([WorkerGroup("a", workers=0)])\n',
    "bad_group2.py": IMPORT + 'router = Router([WorkerGroup("a", when_full="drop")])\n',
    "dollar_group.py": IMPORT + 'router = Router([WorkerGroup("$si")])\n',
    "syntax.py": "from trio_sip import Router\n\nrouter = Router(\n",
    "name_error.py": "from trio_sip import Router\n\nrouter = Ruter()\n",
    "import_error.py": "import nosuch\n",
    "no_await.py": ROUTE + '    request.forward("sip:bob@10.0.0.5")\n',
    "await_reply.py": ROUTE + "    await request.reply(200)\n",
    "unknown_variable.py": PRE + '    frame.log("from [$xx]")\n',
    "made_twice.py": ROUTE + "    pass\n\n\nrouter = Router()\nrouter.request_route(request_route)\n",
    # told by `trio-sip check` alone, as they may be meant
    "no_such_group.py": PRE + '    frame.delegate("registrations")\n',
    "blocking.py": "import time\n" + ROUTE + "    time.sleep(0.6)\n    request.reply(200)\n",
    # logged when a request comes
    "forgot.py": ROUTE + "    pass\n",
    "answered_twice.py": ROUTE + "    request.reply(200)\n    request.reply(404)\n",
    "answered_and_forwarded.py": ROUTE + "    request.reply(200)\n    await request.forward()\n",
    "line_break.py": ROUTE + '    request.reply(200, headers=[("X-Note", "a\\r\\nb")])\n',
    "raises.py": ROUTE + '    raise KeyError("no such user")\n',
    "pre_raises.py": PRE + "    raise KeyError(frame.method)\n",
    "forward_nowhere.py": ROUTE + '    await request.forward("sip:bob@nosuch.invalid")\n',
    "forward_tls.py": ROUTE + '    await request.forward("sip:bob@10.0.0.5;transport=tls")\n',
    "forward_self.py": ROUTE + "    await request.forward()\n",
    "unknown_group.py": PRE + '    frame.delegate("registrations")\n',
    "delegated_twice.py": PRE + '    frame.delegate("default")\n    frame.delegate("default")\n',
    "drop_in_route.py": ROUTE + "    request.frame.drop()\n",
    "out_of_time.py": "import trio\n" + GROUP + "    await trio.sleep(60)\n",
}
NOT_MADE_HERE = (
    "cannot listen on",
    "listen address",
    "No such option",
    "no module named 'nosuch'; write",
    "routes/nosuch.py",
    "an ACK is never answered",
    "reply_route raised",
    "'slow': it is full",
    "the event loop",
    'File "routes/blocking.py"',
    "time.sleep(0.6)",
)
"""Messages with tests of their own: tests/cli, tests/routing, tests/workers."""


def messages() -> list[str]:
    """Every message on the page, its broken lines joined."""
    found: list[str] = []
    for block in read_blocks(PAGE):
        for line in block.text.splitlines():
            if line.startswith("  ") and not line.startswith("    "):
                found[-1] += f" {line.strip()}"
            else:
                found.append(line.strip())
    return found


MESSAGES = messages()
TOLD = ("trio-sip:", "warning:")
"""How messages begin that `trio-sip check` prints; the others are logged."""


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory above `routes/`, and the current one."""
    (tmp_path / "routes").mkdir()
    for name, text in FILES.items():
        (tmp_path / "routes" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown_of(name: str) -> list[str]:
    return [message for message in MESSAGES if f"routes/{name}" in message.partition(": ")[2].partition(" ")[0]]


LOADED = [name for name in FILES if any(message.startswith(TOLD) for message in shown_of(name))]


@pytest.mark.parametrize("name", LOADED)
def test_what_is_wrong_with_a_file_is_told_as_shown(name: str, routes: Path) -> None:
    result = CliRunner().invoke(app, ["check", f"routes/{name}"])
    printed = result.stderr.replace(f"{routes}/", "")
    warnings = [line for line in result.stdout.splitlines() if line.startswith("warning:")]
    [shown] = [message for message in shown_of(name) if message.startswith(TOLD)]
    assert is_as_shown(shown, printed or "\n".join(warnings)), printed or result.stdout


def logged(name: str, routes: Path, caplog: pytest.LogCaptureFixture) -> str:
    """What the server logs at one OPTIONS, without the times."""
    caplog.set_level(logging.INFO)
    trio.run(serve_one, f"routes/{name}", clock=MockClock(autojump_threshold=0))
    lines = [TextFormatter().format(record).partition(" ")[2].partition(" ")[2] for record in caplog.records]
    return "\n".join(lines).replace(f"{routes}/", "")


async def serve_one(file: str) -> None:
    network = SimulatedNetwork(seed=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio_sip.serve, load_router(file), listen=["udp:10.0.0.1:5060"], network=network))
        alice = network.endpoint("10.0.0.2")
        alice.send(make_request("OPTIONS", "sip:10.0.0.1", source=alice.address, call_id="call-0"), to="10.0.0.1")
        await trio.sleep(32)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("message", [message for message in MESSAGES if not message.startswith(TOLD)])
def test_what_is_logged_is_logged_as_shown(message: str, routes: Path, caplog: pytest.LogCaptureFixture) -> None:
    if any(text in message for text in NOT_MADE_HERE):
        pytest.skip("shown by a test of its own")
    names = [name for name in FILES if name not in LOADED]
    named = re.findall(r"routes/(\w+\.py)", message)
    found = []
    for name in named or names:
        caplog.clear()
        found.append(logged(name, routes, caplog))
        if any(is_as_shown(message, line.strip()) for line in found[-1].splitlines()):
            return
    heads = [line for text in found for line in text.splitlines() if not line.startswith(" ")]
    pytest.fail("\n".join(["nobody logged this; what was logged:", *heads]), pytrace=False)


def test_every_message_is_made_by_somebody() -> None:
    known = [message for message in MESSAGES if any(text in message for text in NOT_MADE_HERE)]
    told = [message for name in LOADED for message in shown_of(name)]
    assert [m for m in MESSAGES if m.startswith(TOLD) and m not in known and m not in told] == []
