"""The ten mistakes a newcomer is most likely to make, made as a newcomer would, and the whole message each gets.

Every message says what is wrong, where, and what to do.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trio_sip import Router
from trio_sip.address import Address
from trio_sip.routing.load import load_router
from trio_sip.testing import make_request

if TYPE_CHECKING:
    from conftest import Lab

Logged = Callable[[], list[str]]
COMMAND = (sys.executable, "-B", "-m", "trio_sip")
PATIENCE = 15.0

IMPORTS = "from trio_sip import Frame, Request, Router, WorkerGroup\n"
ROUTER = f"{IMPORTS}\nrouter = Router()\n"
ROUTE = """
@router.request_route
async def request_route(request: Request) -> None:
    request.reply(200)
"""
PRE_ROUTING = """
@router.pre_routing
def pre_routing(frame: Frame) -> None:
    {}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], None]:
    """Write routes.py."""

    def write(text: str) -> None:
        (tmp_path / "routes.py").write_text(text)

    return write


Write = Callable[[str], None]


def trio_sip(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`trio-sip ...`, started in the directory of routes.py."""
    return subprocess.run(
        (*COMMAND, *arguments), cwd=directory, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def complaint(directory: Path, *arguments: str) -> str:
    """The one line a command says that cannot be done; `routes.py` stands for its whole path."""
    done = trio_sip(directory, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trio-sip: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("trio-sip: ").rstrip("\n").replace(f"{directory}/", "")


def loaded(directory: Path) -> Router:
    return load_router(str(directory / "routes.py"))


# 1. forgot await


def test_forgot_await(tmp_path: Path, write: Write) -> None:
    write(ROUTER + ROUTE.replace("request.reply(200)", 'request.forward("sip:alice@10.0.0.5")'))
    says = (
        "routes.py:7: request.forward() does nothing without await; write: await request.forward('sip:alice@10.0.0.5')"
    )
    for command in ("check", "serve"):
        assert complaint(tmp_path, command, "routes.py") == says


# 2. forgot to reply


async def test_forgot_to_reply(autojump_clock: object, lab: Lab, tmp_path: Path, write: Write, warned: Logged) -> None:
    write(ROUTER + ROUTE.replace("request.reply(200)", "name = request.uri.user"))
    await lab.serve(loaded(tmp_path))
    assert (await lab.peer().ask("OPTIONS", call_id="call-1")).status == 500
    assert warned() == [
        f"request_route ({tmp_path}/routes.py:5) returned without reply, forward or drop; answered 500 "
        "(OPTIONS, Call-ID call-1)"
    ]


# 3. unknown group

UNKNOWN_GROUP = (
    ROUTER.replace("Router()", 'Router(groups=[WorkerGroup("registrations")])')
    + PRE_ROUTING.format('frame.delegate("registration")')
    + ROUTE
)


def test_unknown_group_is_told_by_check(tmp_path: Path, write: Write) -> None:
    write(UNKNOWN_GROUP)
    done = trio_sip(tmp_path, "check", "routes.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "warning: routes.py:7: no router here has a worker group 'registration', only 'registrations': what is "
        "delegated there is processed in the receive task; declare WorkerGroup('registration'), or mend the name"
    )


async def test_unknown_group(autojump_clock: object, lab: Lab, tmp_path: Path, write: Write, warned: Logged) -> None:
    write(UNKNOWN_GROUP)
    await lab.serve(loaded(tmp_path))
    assert (await lab.peer().ask()).status == 200
    assert warned() == [
        "not delegated to group 'registration': there is no such group, only registrations; declare it in "
        "Router(groups=[...]); processing continues in the receive task"
    ]


# 4. wrong signature


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            ROUTE.replace("async def", "def"),
            "routes.py:5: request_route has to be 'async def request_route(request)': a plain function would hold the "
            "event loop, and with it all other calls, for as long as it runs. Code that blocks (a driver, a file) "
            "goes into a thread: await trio.to_thread.run_sync(function)",
        ),
        (
            ROUTE.replace("request: Request", ""),
            "routes.py:5: request_route is called with one argument, the request: 'async def request_route(request)'",
        ),
        (
            ROUTE.replace("request: Request", "request: Request, context: dict"),
            "routes.py:5: request_route is called with one argument, the request: 'async def request_route(request)'",
        ),
        (
            PRE_ROUTING.format("frame.drop()").replace("def", "async def") + ROUTE,
            "routes.py:5: pre_routing has to be a plain 'def pre_routing(frame)': it runs in the receive task and must "
            "not wait. Whatever waits belongs in a request_route, in a worker group",
        ),
    ],
)
def test_wrong_signature(tmp_path: Path, write: Write, text: str, says: str) -> None:
    write(ROUTER + text)
    assert complaint(tmp_path, "check", "routes.py") == says


# 5. blocking call

BLOCKING = f"import time\n{ROUTER}{ROUTE.replace('request.reply', 'time.sleep(0.5); request.reply')}"


def test_a_blocking_call_is_told_by_check(tmp_path: Path, write: Write) -> None:
    write(BLOCKING)
    done = trio_sip(tmp_path, "check", "routes.py")
    assert done.stdout.splitlines()[-1] == (
        "warning: routes.py:8: time.sleep() holds up all other messages; write: await trio.sleep(...)"
    )


@pytest.mark.sockets
def test_a_blocking_call_is_told_when_it_blocks(tmp_path: Path, write: Write) -> None:
    write(BLOCKING)
    server = subprocess.Popen(
        (*COMMAND, "serve", "routes.py", "--listen", "udp:127.0.0.1:0", "--watchdog", "0.1"),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        [port] = re.findall(r"udp:127\.0\.0\.1:(\d+)", server.stdout.readline())
        ask("127.0.0.1", int(port))
    finally:
        server.terminate()
        _, errors = server.communicate(timeout=PATIENCE)
    stands, *stack, goes_on = re.sub(r"^\S+ \S+ (?=[A-Z])", "", errors, flags=re.MULTILINE).splitlines()
    where = "WARNING trio_sip.watchdog: the event loop"
    assert stands == (
        f"{where} stands still for more than 0.10 s, Call-ID call-1; put a call that blocks into a thread: "
        "await trio.to_thread.run_sync(function). It is at:"
    )
    assert stack[-2:] == [
        f'      File "{tmp_path}/routes.py", line 8, in request_route',
        "        time.sleep(0.5); request.reply(200)",
    ]
    assert re.fullmatch(rf"{re.escape(where)} goes on after 0\.\d\d s, Call-ID call-1", goes_on)


def ask(host: str, port: int) -> bytes:
    """Send OPTIONS, and wait for the answer."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        asking.settimeout(PATIENCE)
        asking.bind((host, 0))
        source = Address(host, asking.getsockname()[1])
        asking.sendto(make_request("OPTIONS", f"sip:{host}", source=source, call_id="call-1"), (host, port))
        return asking.recv(65_535)


# 6. port in use


@pytest.mark.sockets
@pytest.mark.parametrize(("transport", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_port_in_use(tmp_path: Path, write: Write, transport: str, kind: socket.SocketKind) -> None:
    write(ROUTER + ROUTE)
    with closing(socket.socket(socket.AF_INET, kind)) as other:
        other.bind(("127.0.0.1", 0))
        if transport == "tcp":
            other.listen()
        port = other.getsockname()[1]
        assert complaint(tmp_path, "serve", "routes.py", "--listen", f"{transport}:127.0.0.1:{port}") == (
            f"cannot listen on {transport}:127.0.0.1:{port}: Address already in use (is another server running? "
            "`ss -lnp` tells; port 0 takes a free one)"
        )


# 7. wrong transport name in --listen


@pytest.mark.parametrize("address", ["upd:0.0.0.0:5060", "0.0.0.0:5060", "tls:0.0.0.0:5061", "5060"])
def test_wrong_transport_name(tmp_path: Path, write: Write, address: str) -> None:
    write(ROUTER + ROUTE)
    assert complaint(tmp_path, "serve", "routes.py", "--listen", address) == (
        f"listen address '{address}': the transport is udp or tcp, as in 'udp:0.0.0.0:5060'"
    )


# 8. no router in the file


def test_no_router(tmp_path: Path, write: Write) -> None:
    write("def request_route(request):\n    request.reply(200)\n")
    assert complaint(tmp_path, "serve", "routes.py") == ("routes.py: no Router in it; make one: 'router = Router(...)'")


# 9. two routers


def test_two_routers_of_other_names(tmp_path: Path, write: Write) -> None:
    write(f"{IMPORTS}inside = Router()\noutside = Router()\n")
    assert complaint(tmp_path, "serve", "routes.py") == (
        "routes.py: no 'router' in it, but Routers of other names: say which, routes.py:inside or routes.py:outside"
    )


def test_a_router_made_twice(tmp_path: Path, write: Write) -> None:
    write(f"{ROUTER}{PRE_ROUTING.format('frame.drop()')}\nrouter = Router()\n{ROUTE}")
    assert complaint(tmp_path, "serve", "routes.py") == (
        "routes.py:9: router is made a second time (the first is in line 3), and what was declared on the first is "
        "lost; make one, or give each a name of its own"
    )


def test_two_request_routes(tmp_path: Path, write: Write) -> None:
    write(ROUTER + ROUTE + ROUTE)
    assert complaint(tmp_path, "serve", "routes.py") == (
        "routes.py:9: the router has a request_route already (line 5); there is one, and it may call other functions"
    )


# 10. exception in pre-routing


async def test_exception_in_pre_routing(
    autojump_clock: object, lab: Lab, tmp_path: Path, write: Write, errors: Logged
) -> None:
    write(ROUTER + PRE_ROUTING.format('blocked = {}["10.0.0.2"]') + ROUTE)
    await lab.serve(loaded(tmp_path))
    request = lab.peer().request("OPTIONS", call_id="call-1")
    assert (await lab.peer("10.0.0.4").ask("OPTIONS")).status == 500
    said, *traceback = errors()[0].splitlines()
    assert said.endswith(
        f"pre-routing raised on <Frame OPTIONS, {len(request)} bytes from udp:10.0.0.2:5060>, Call-ID call-1"
    )
    assert f'  File "{tmp_path}/routes.py", line 7, in pre_routing' in traceback
    assert traceback[-1] == "KeyError: '10.0.0.2'"


# and one of those who come from Kamailio


def test_a_pseudo_variable_that_is_none(tmp_path: Path, write: Write) -> None:
    write(ROUTER + PRE_ROUTING.format('frame.log("from $src_ip")') + ROUTE)
    assert complaint(tmp_path, "serve", "routes.py") == (
        "routes.py:7: $src_ip is not a pseudo-variable; did you mean $si? There are $rm $ru $rU $rd $rp $rs $rr $fu "
        "$fU $fd $fn $ft $tu $tU $td $tn $tt $ci $cs $ct $cl $ua $si $sp $Ri $Rp $pr $proto $rb $ml $mb $Tf $Ts $null "
        "$hdr(name) $var(name); a dollar is $$"
    )
