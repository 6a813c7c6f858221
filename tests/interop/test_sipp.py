"""Independent SIP programs against a real server on the loopback interface: SIPp, sipsak, Kamailio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from interop.programs import HOST, SECONDS, free_port, program, run, running

from trio_sip import Frame, Request, Router, Server, WorkerGroup, serve

pytestmark = [pytest.mark.sockets, pytest.mark.peer]

CALLS = 200


def forwarding_to(target: str) -> Router:
    """As routes/sworker.py: REGISTER in a group of its own, OPTIONS answered, everything else forwarded."""
    router = Router(groups=[WorkerGroup("default", workers=4), WorkerGroup("registrations", workers=2)])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.delegate("registrations" if frame.method == "REGISTER" else "default"):
            frame.drop()

    @router.request_route("OPTIONS")
    async def options(request: Request) -> None:
        request.reply(200, headers=[("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")])

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward(target)

    return router


@asynccontextmanager
async def serving(router: Router) -> AsyncIterator[Server]:
    """The server on UDP and TCP, each with a port of the system's choice."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, router, listen=[f"udp:{HOST}:0", f"tcp:{HOST}:0"], watchdog=None))
        yield server
        nursery.cancel_scope.cancel()


def port_of(server: Server, transport: str) -> int:
    return next(listener.address.port for listener in server.listeners if listener.transport == transport)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipp_calls_through_the_router_to_sipp(tmp_path: Path, transport: str) -> None:
    sipp, mode = program("sipp"), {"udp": "u1", "tcp": "t1"}[transport]
    uas, uac = free_port(transport), free_port(transport)
    common = ["-i", HOST, "-t", mode, "-nostdin"]
    router = forwarding_to(f"sip:service@{HOST}:{uas};transport={transport}")
    async with (
        running([sipp, "-sn", "uas", "-p", str(uas), *common], transport, uas, tmp_path),
        serving(router) as server,
    ):
        ours = f"{HOST}:{port_of(server, transport)}"
        limits = ["-m", str(CALLS), "-r", "200", "-timeout", str(SECONDS - 2), "-timeout_error"]
        status, printed = await run([sipp, "-sn", "uac", ours, "-p", str(uac), *common, *limits], tmp_path)
        assert status == 0, printed[-2000:]
        statistics = server.statistics()
        assert statistics.groups["default"].failed == 0
        assert statistics.routing.stray == 0
        assert statistics.lost == 0


async def test_sipsak_gets_its_answer(tmp_path: Path) -> None:
    sipsak = program("sipsak")
    async with serving(forwarding_to("sip:nobody@127.0.0.1:1")) as server:
        status, printed = await run([sipsak, "-vv", "-s", f"sip:{HOST}:{port_of(server, 'udp')}"], tmp_path)
        assert status == 0, printed
        assert "SIP/2.0 200 OK" in printed


async def test_kamailio_as_the_next_hop(tmp_path: Path) -> None:
    kamailio, sipsak = program("kamailio"), program("sipsak")
    port = free_port("udp")
    config = tmp_path / "kamailio.cfg"
    config.write_text(
        "#!KAMAILIO\ndebug=0\nlog_stderror=yes\nfork=yes\nchildren=1\ndisable_tcp=yes\nauto_aliases=no\ndns=no\nrev_dns=no\n"
        f'listen=udp:{HOST}:{port}\nloadmodule "sl.so"\n'
        'request_route { sl_send_reply("200", "Kamailio says so"); }\n'
    )
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward(f"sip:{HOST}:{port}")

    command = [kamailio, "-DD", "-E", "-f", str(config), "-Y", str(tmp_path), "-w", str(tmp_path)]
    async with running(command, "udp", port, tmp_path), serving(router) as server:
        status, printed = await run([sipsak, "-vv", "-s", f"sip:{HOST}:{port_of(server, 'udp')}"], tmp_path)
        assert status == 0, printed
        assert "200 Kamailio says so" in printed
        assert "received=" in printed or "rport=" in printed
