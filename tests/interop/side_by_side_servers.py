"""The same script four times: in Kamailio's own language, in its Python (KEMI), in ours, and in ours with its words.

Each server gets the same messages (`side_by_side_messages`) from the same three parties, one after the other, and what
the parties get back is kept. A probe follows each message; loopback and one process keep the order, so that when
the probe is answered, everything before it has been, and nothing is ever slept for.
"""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from interop.programs import HOST, free_port, program, run, running
from interop.side_by_side_messages import CASES, Case, Parties, answer_to, probe

from trio_sip import Request, Router, serve
from trio_sip.kamailio import forward, is_method, sl_send_reply

__all__ = ["SERVERS", "Answers", "Got", "collect"]

SECONDS = 5.0
"""How long an answer to a probe may take."""
MAX_HOPS_TO_ITSELF = 5
"""How often one message may come back to the server that sent it."""
_MAX_DATAGRAM = 65535
_TO_TAG = re.compile(rb"\r\nTo:[^\r]*;tag=([^;\r]+)")

# As in the configuration Kamailio comes with: Max-Forwards, sanity (and Proxy-Require), Route; then answer or forward.
_KAMAILIO = """#!KAMAILIO
debug=-1
log_stderror=yes
fork=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
server_signature=no
listen=udp:{host}:{port}
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "sanity.so"
{script}
"""
_NATIVE = """
request_route {
    if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (!sanity_check("18407", "7")) exit;
    loose_route();
    if (is_method("OPTIONS|REGISTER|SUBSCRIBE")) { sl_send_reply("200", "OK"); exit; }
    forward();
}
"""
_KEMI = """
kemi.onsend_route_callback="none"
kemi.reply_route_callback="none"
loadmodule "app_python3.so"
modparam("app_python3", "load", "{folder}/kemi_routes.py")
cfgengine "python"
"""
_KEMI_ROUTES = """import KSR


class Routes:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        if KSR.maxfwd.process_maxfwd(70) < 0:
            KSR.sl.sl_send_reply(483, "Too Many Hops")
            return 1
        if KSR.sanity.sanity_check(18407, 7) < 0:
            return 1
        KSR.rr.loose_route()
        if KSR.is_method_in("OR") or KSR.is_SUBSCRIBE():
            KSR.sl.sl_send_reply(200, "OK")
            return 1
        KSR.forward()
        return 1


def mod_init():
    return Routes()
"""


@attrs.frozen
class Got:
    """A message one of the parties got."""

    party: str
    data: bytes


@attrs.frozen
class Answers:
    """What one server did with every message."""

    parties: Parties
    by_case: dict[str, list[Got]]


def ours() -> Router:
    """The script, here. What Kamailio's asks its modules for is done before a route is called."""
    router = Router()

    @router.request_route("OPTIONS", "REGISTER", "SUBSCRIBE")
    async def answer(request: Request) -> None:
        request.reply(200)

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    return router


def in_kamailios_words() -> Router:
    """The same in `trio_sip.kamailio`."""
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if is_method("OPTIONS|REGISTER|SUBSCRIBE"):
            sl_send_reply("200", "OK")
            return
        await forward()

    return router


def collect(server: str, folder: Path) -> Answers:
    """Run one of `SERVERS`, and send it every message."""
    return trio.run(_collect_from, SERVERS[server], folder)


@asynccontextmanager
async def _native(folder: Path) -> AsyncIterator[int]:
    async with _kamailio(folder, _NATIVE) as port:
        yield port


@asynccontextmanager
async def _kemi(folder: Path) -> AsyncIterator[int]:
    (folder / "kemi_routes.py").write_text(_KEMI_ROUTES)
    async with _kamailio(folder, _KEMI.format(folder=folder)) as port:
        yield port


@asynccontextmanager
async def _kamailio(folder: Path, script: str) -> AsyncIterator[int]:
    port = free_port("udp")
    config = folder / "kamailio.cfg"
    config.write_text(_KAMAILIO.format(host=HOST, port=port, script=script))
    kamailio = program("kamailio")
    status, printed = await run([kamailio, "-c", "-f", str(config)], folder)
    if "could not open the module" in printed or "could not find module" in printed:
        pytest.skip("a module of kamailio is not installed: " + printed[-500:])
    assert status == 0, printed
    command = [kamailio, "-DD", "-E", "-f", config, "-Y", folder, "-w", folder, "-x", "fm", "-X", "fm"]
    async with running([str(word) for word in command], "udp", port, folder):
        yield port


@asynccontextmanager
async def _serving(router: Router) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, router, listen=[f"udp:{HOST}:0"], watchdog=None))
        yield server.listeners[0].address.port
        nursery.cancel_scope.cancel()


Serving = Callable[[Path], AbstractAsyncContextManager[int]]
SERVERS: dict[str, Serving] = {
    "kamailio": _native,
    "kemi": _kemi,
    "ours": lambda folder: _serving(ours()),
    "words": lambda folder: _serving(in_kamailios_words()),
}


class _Run:
    """One server, and the parties around it."""

    def __init__(self, server: int, sockets: dict[str, trio.socket.SocketType]) -> None:
        self._sockets = sockets
        self.parties = Parties(server=server, **{name: each.getsockname()[1] for name, each in sockets.items()})
        self._probes = 0
        self._got: list[Got] = []

    async def answers(self, case: Case) -> list[Got]:
        """Send what the case says; everything the parties get."""
        self._got = []
        for send in case.sends:
            await self._send(send.party, send.text)
            await self._settle()
        for got in [got for got in self._got if got.party == "hop" and not got.data.startswith(b"SIP/2.0")]:
            for status, more in case.answers:
                await self._deliver("hop", answer_to(got.data, status, [self._filled(line) for line in more]))
        await self._settle()
        return self._got

    def _filled(self, line: str) -> str:
        return self.parties.fill_in(line).decode()

    async def _send(self, party: str, text: str) -> None:
        await self._deliver(party, self.parties.fill_in(text.replace("{tag}", self._last_tag())))

    def _last_tag(self) -> str:
        """The To tag of the last answer the client got."""
        found = [_TO_TAG.search(got.data) for got in self._got if got.party == "client"]
        return found[-1][1].decode() if found and found[-1] else "none"

    async def _deliver(self, party: str, data: bytes) -> None:
        await self._sockets[party].sendto(data, (HOST, self.parties.server))

    async def _settle(self) -> None:
        """Wait until everything sent so far has been dealt with, and what the server sent to itself as well."""
        for _ in range(MAX_HOPS_TO_ITSELF):
            await self._probe()

    async def _probe(self) -> None:
        self._probes += 1
        mark = f"probe-{self._probes}@".encode()
        await self._send("client", probe(self._probes))
        with trio.fail_after(SECONDS):
            while mark not in (data := await self._sockets["client"].recv(_MAX_DATAGRAM)):
                self._got.append(Got("client", data))
        for name, each in self._sockets.items():
            while name != "client" and each.is_readable():
                self._got.append(Got(name, await each.recv(_MAX_DATAGRAM)))

    async def begin(self) -> None:
        """Wait until the server answers: its port is open before it receives."""
        with trio.fail_after(SECONDS):
            await self._probe()


async def _collect_from(serving: Serving, folder: Path) -> Answers:
    with ExitStack() as stack:
        sockets = {name: stack.enter_context(_socket()) for name in ("client", "other", "hop")}
        for each in sockets.values():
            await each.bind((HOST, 0))
        async with serving(folder) as port:
            run = _Run(port, sockets)
            await run.begin()
            return Answers(run.parties, {case.name: await run.answers(case) for case in CASES})


def _socket() -> trio.socket.SocketType:
    return trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
