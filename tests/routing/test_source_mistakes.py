"""What is found in a routes file before a message comes, and what is left alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trio_sip.errors import RoutesError
from trio_sip.routing.inspection import doubts_about, modules_from
from trio_sip.routing.load import load_router
from trio_sip.routing.router import Router

HEAD = """\
import trio
from trio_sip import Frame, Request, Response, Router, WorkerGroup
from trio_sip.kamailio import drop, forward, is_method, pv_get, sl_send_reply, sworker_task, xinfo
router = Router(groups=[WorkerGroup("default")])
"""
PRE = "@router.pre_routing\ndef pre(frame):\n    {}\n"
REQUEST = "@router.request_route\nasync def route(request):\n    {}\n"
REPLY = "@router.reply_route\nasync def reply(response):\n    {}\n"
ROUTE = REQUEST.format("request.reply(200)")


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A routes file to write; what is imported beside it is forgotten."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path / "routes.py"
    for name in set(sys.modules) - before:
        del sys.modules[name]


def mistake_in(routes: Path, text: str) -> RoutesError:
    routes.write_text(HEAD + text)
    with pytest.raises(RoutesError) as raised:
        load_router(str(routes))
    return raised.value


def is_fine(routes: Path, text: str) -> Router:
    routes.write_text(HEAD + text)
    return load_router(str(routes))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("request.forward()", "request.forward() does nothing without await; write: await request.forward()"),
        ("request.forward('sip:a@b')", "write: await request.forward('sip:a@b')"),
        ("request.drop()", "request.drop() does nothing without await; write: await request.drop()"),
        ("forward()", "forward() does nothing without await; write: await forward()"),
        ("drop()", "drop() does nothing without await; write: await drop()"),
        ("if is_method('ACK'): drop()", "write: await drop()"),
        ("trio.sleep(1)", "trio.sleep() does nothing without await; write: await trio.sleep(1)"),
        ("look_up(request, 1)", "write: await look_up(request, 1)"),
        (f"look_up(request, '{'x' * 60}')", "write: await look_up(...)"),
        ("from trio_sip import kamailio; kamailio.drop()", "write: await kamailio.drop()"),
        ("from trio_sip.kamailio import drop as end; end()", "write: await end()"),
        ("await request.reply(200)", "request.reply() is not awaited; write: request.reply(200)"),
        ("await sl_send_reply(200, 'OK')", "sl_send_reply() is not awaited; write: sl_send_reply(200, 'OK')"),
        ("request.frame.log('$rM')", "$rM is not a pseudo-variable; did you mean $rm?"),
        ("xinfo('$rM')", "$rM is not a pseudo-variable"),
        ("xinfo('$rM ' + request.method)", "$rM is not a pseudo-variable"),
        ("xinfo(f'{request.method} $rM {request.method}')", "$rM is not a pseudo-variable"),
        ("xinfo(FORMAT)", "$bogus is not a pseudo-variable"),
        ("xinfo(fmt='$rM')", "$rM is not a pseudo-variable"),
        ("sl_send_reply(404, '$rM')", "$rM is not a pseudo-variable"),
        ("await forward('sip:$ruser@b')", "$ruser is not a pseudo-variable"),
        ("pv_get('$rM')", "$rM is not a pseudo-variable"),
    ],
)
def test_a_mistake_in_a_request_route(routes: Path, body: str, says: str) -> None:
    helper = "FORMAT = '[$bogus]'\nasync def look_up(request, what): pass\n"
    error = mistake_in(routes, helper + REQUEST.format(body))
    assert says in str(error)
    assert (error.file, error.line) == (str(routes), 9)
    assert str(error).startswith(f"{routes}:9: ")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("frame.log('$rM')", "$rM is not a pseudo-variable"),
        ("frame.log(text='$rM')", "$rM is not a pseudo-variable"),
        ("frame.delegate('shard-$rM')", "$rM is not a pseudo-variable"),
        ("sworker_task('shard-$rM')", "$rM is not a pseudo-variable"),
        (
            "look_up(frame)",
            "look_up() does nothing in a plain def, which cannot await it: make that an 'async def'",
        ),
    ],
)
def test_a_mistake_in_pre_routing(routes: Path, body: str, says: str) -> None:
    error = mistake_in(routes, "async def look_up(frame): pass\n" + ROUTE + PRE.format(body))
    assert says in str(error)
    assert error.line == 11


def test_a_mistake_in_a_reply_route(routes: Path) -> None:
    error = mistake_in(routes, ROUTE + REPLY.format("response.drop()"))
    assert str(error) == f"{routes}:10: response.drop() does nothing without await; write: await response.drop()"


@pytest.mark.parametrize("annotation", ["Request", "'Request'", "trio_sip.Request"])
def test_a_mistake_in_a_helper_whose_parameter_is_annotated(routes: Path, annotation: str) -> None:
    helper = f"import trio_sip\nasync def helper(number, it: {annotation}):\n    it.forward()\n"
    assert "write: await it.forward()" in str(mistake_in(routes, helper + ROUTE))


def test_a_mistake_in_a_file_beside_it(routes: Path) -> None:
    beside = routes.with_name("beside_of_ours.py")
    beside.write_text("import further_of_ours\n")
    further = routes.with_name("further_of_ours.py")
    further.write_text("from trio_sip.kamailio import xinfo\n\ndef tell():\n    xinfo('$rM')\n")
    error = mistake_in(routes, "import beside_of_ours\n" + ROUTE)
    assert (error.file, error.line) == (str(further), 4)


def test_a_mistake_in_another_file_of_the_package(routes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(routes.parent)
    package = routes.with_name("edge_of_ours")
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "trunks.py").write_text(f"from . import words\nfrom .words import tell\n{HEAD}{ROUTE}")
    (package / "words.py").write_text("from trio_sip.kamailio import xinfo\n\ndef tell():\n    xinfo('$rM')\n")
    with pytest.raises(RoutesError, match=r"edge_of_ours/words\.py:4: \$rM is not a pseudo-variable"):
        load_router("edge_of_ours.trunks")


def test_the_first_of_several_is_told(routes: Path) -> None:
    assert mistake_in(routes, REQUEST.format("request.forward()\n    xinfo('$rM')")).line == 7
    assert mistake_in(routes, REQUEST.format("xinfo('$rM')\n    request.forward()")).line == 7


def test_a_router_made_twice(routes: Path) -> None:
    error = mistake_in(routes, PRE.format("frame.drop()") + "router = Router()\n" + ROUTE)
    assert str(error) == (
        f"{routes}:8: router is made a second time (the first is in line 4), and what was declared on the first is "
        "lost; make one, or give each a name of its own"
    )


@pytest.mark.parametrize(
    "text",
    [
        REQUEST.format("await request.forward()"),
        REQUEST.format("await drop()"),
        REQUEST.format("ok = forward()\n    await ok"),
        REQUEST.format("async with trio.open_nursery() as n: n.start_soon(request.forward)"),
        REQUEST.format("request.reply(200)\n    xinfo('$$ $rm $hdr(Subject) ' + request.method + '$')"),
        REQUEST.format("name = 'Subject'\n    xinfo(f'$hdr({name}) $r{name}')\n    request.reply(200)"),
        REQUEST.format("xinfo('%s' % '$rM')"),
        REQUEST.format("audit.log('$rM')\n    audit.forward()\n    audit.delegate('$rM')"),
        REQUEST.format("request = Audit()\n    request.forward()"),
        REQUEST.format("forward = print\n    forward('$rM')"),
        REQUEST.format("def forward(): pass\n    forward()"),
        REQUEST.format("for xinfo in (print,): xinfo('$rM')"),
        REQUEST.format("await audit.reply()"),
        REQUEST.format("lambda: request.forward()"),
        REQUEST.format("print('$rM')"),
        REQUEST.format("xinfo(*['$rM'])"),
        ROUTE + PRE.format("if frame.delegate('$rm'): drop()"),
        ROUTE + PRE.format("sworker_task('default') and drop()\n    xinfo('$Tf')"),
        ROUTE + "async def other(request): request.forward()\n",  # nobody knows what that is
        ROUTE + "def other(): drop()\n",  # for pre-routing to call
        ROUTE + "class Audit2:\n    def log(self, text): self.log('$rM')\n",
        "if True:\n    router = Router()\n" + ROUTE,
        "router_b = Router()\n" + ROUTE,
    ],
)
def test_what_is_left_alone(routes: Path, text: str) -> None:
    audit = (
        "class Audit:\n    def log(self, t): pass\n    def forward(self): pass\n    delegate = log\n"
        "    async def reply(self): pass\naudit = Audit()\n"
    )
    is_fine(routes, audit + text)


@pytest.mark.parametrize("place", ["site-packages", "../elsewhere"])
def test_what_is_not_the_users_own_is_not_looked_at(routes: Path, place: str) -> None:
    installed = (routes.parent / place).resolve() / "installed_module_of_theirs.py"
    installed.parent.mkdir(exist_ok=True)
    installed.write_text("from trio_sip.kamailio import xinfo\ndef tell(): xinfo('$rM')\n")
    sys.path.insert(0, str(installed.parent))
    try:
        is_fine(routes, "import installed_module_of_theirs\n" + ROUTE)
    finally:
        sys.path.remove(str(installed.parent))


def test_a_router_that_no_file_was_loaded_for_is_checked_function_by_function() -> None:
    from trio_sip.kamailio import xinfo

    router = Router()

    @router.request_route("OPTIONS")
    async def options(request: object) -> None:
        xinfo("$rM")  # found by what the function sees of the one around it

    line = options.__code__.co_firstlineno + 2
    with pytest.raises(RoutesError, match=rf"test_source_mistakes\.py:{line}: \$rM is not a pseudo-variable"):
        router.check()


def test_a_function_without_source_is_served_all_the_same() -> None:
    names: dict[str, object] = {}
    exec("async def route(request):\n    request.forward()\n", names)
    router = Router()
    router.request_route(names["route"])  # type: ignore[call-overload]
    router.check()


def test_a_function_of_a_text_that_has_the_name_of_a_file_is_not_mistaken_for_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("async def other(request):\n    request.forward()\n")
    names: dict[str, object] = {}
    exec(compile("async def route(request):\n    await request.forward()\n", str(file), "exec"), names)
    router = Router()
    router.request_route(names["route"])  # type: ignore[call-overload]
    router.check()


# What may be meant: trio-sip check says it, as a warning


def doubts(routes: Path, text: str) -> list[str]:
    router = is_fine(routes, text)
    module = sys.modules["_routes_routes"]
    found = doubts_about(modules_from(module, routes.parent), list(router.functions()), ["default", "fast"])
    return [f"{Path(file).name}:{line}: {what}" for file, line, what in found]


def test_a_group_that_is_not_there(routes: Path) -> None:
    text = PRE.format("frame.delegate('slow') or sworker_task('defualt') or frame.delegate('fast')") + ROUTE
    assert doubts(routes, text) == [
        f"routes.py:7: no router here has a worker group {name!r}, only 'default', 'fast': what is delegated there is "
        f"processed in the receive task; declare WorkerGroup({name!r}), or mend the name"
        for name in ("slow", "defualt")
    ]


def test_a_group_with_a_name_made_when_a_message_comes(routes: Path) -> None:
    assert doubts(routes, PRE.format("frame.delegate('shard-$si') or frame.delegate(f'x{frame.method}')") + ROUTE) == []


@pytest.mark.parametrize(
    ("head", "call", "advice"),
    [
        ("import time", "time.sleep(1)", "time.sleep() holds up all other messages; write: await trio.sleep(...)"),
        ("from time import sleep as wait", "wait(1)", "wait() holds up all other messages; write: await trio.sleep"),
        ("import socket", "socket.gethostbyname('a')", "await trio.to_thread.run_sync(socket.gethostbyname, ...)"),
        ("import subprocess", "subprocess.run(['a'])", "await trio.to_thread.run_sync(subprocess.run, ...)"),
        ("import urllib.request as u", "u.urlopen('a')", "await trio.to_thread.run_sync(u.urlopen, ...)"),
        ("import os", "os.system('a')", "await trio.to_thread.run_sync(os.system, ...)"),
    ],
)
def test_a_call_that_blocks(routes: Path, head: str, call: str, advice: str) -> None:
    [doubt] = doubts(routes, f"{head}\n" + REQUEST.format(call))
    assert doubt.startswith("routes.py:8: ")
    assert advice in doubt


def test_a_call_that_blocks_in_pre_routing(routes: Path) -> None:
    assert doubts(routes, "import time\n" + PRE.format("time.sleep(1)") + ROUTE) == [
        "routes.py:8: time.sleep() holds up all other messages, and pre-routing cannot wait: do it in a route, in a "
        "worker"
    ]


@pytest.mark.parametrize(
    "body",
    [
        "await trio.to_thread.run_sync(time.sleep, 1)",
        "await trio.to_thread.run_sync(lambda: time.sleep(1))",
        "def work(): time.sleep(1)\n    await trio.to_thread.run_sync(work)",
        "socket.inet_aton('10.0.0.1'); time.time()",
        "time = request; time.sleep(1)",
    ],
)
def test_what_does_not_block(routes: Path, body: str) -> None:
    assert doubts(routes, "import socket, time\n" + REQUEST.format(body)) == []
