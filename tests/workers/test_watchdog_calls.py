"""The watchdog, in real time: where the event loop stood still, with which message, for how long."""

from __future__ import annotations

import logging
import re
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from trio_sip import Frame, Request, Router, serve
from trio_sip.testing import SimulatedNetwork, make_request

BLOCKS = 0.25
SOURCE = Path(__file__).read_text().splitlines()


def blocking(where: str) -> Router:
    router = Router()

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if where == "pre-routing" and frame.method == "INFO":
            time.sleep(BLOCKS)

    @router.request_route
    async def request_route(request: Request) -> None:
        if where == "route after waiting" and request.method == "INFO":
            await trio.sleep(0.001)
        if where != "pre-routing" and request.method == "INFO":
            time.sleep(BLOCKS)  # noqa: ASYNC251
        request.reply(200)

    return router


async def ask(router: Router, watchdog: float | None) -> int:
    """Two requests; the second one blocks. Returns how many stalls were counted."""
    network = SimulatedNetwork(latency=0.001)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve, router, listen=["udp:10.0.0.1:5060"], network=network, watchdog=watchdog)
        )
        alice = network.endpoint("10.0.0.2")
        for method in ("OPTIONS", "INFO"):
            alice.send(
                make_request(method, "sip:10.0.0.1", source=alice.address, call_id=f"the-{method}"),
                to="10.0.0.1:5060",
            )
            assert (await alice.receive(5)).startswith(b"SIP/2.0 200 ")
        await trio.sleep(0.05)
        stalls: int = server.statistics().stalls
        nursery.cancel_scope.cancel()
    return stalls


@pytest.mark.parametrize("where", ["route", "route after waiting", "pre-routing"])
async def test_it_names_line_call_id_and_duration(caplog: pytest.LogCaptureFixture, where: str) -> None:
    assert await ask(blocking(where), watchdog=0.05) >= 1
    lines = [record for record in caplog.records if record.name == "trio_sip.watchdog"]
    about = [record.getMessage() for record in lines if "time.sleep(BLOCKS)" in record.getMessage()]
    assert len(about) == 1
    assert "Call-ID the-INFO" in about[0]
    line = re.search(rf'File "{re.escape(__file__)}", line (\d+), in \w+\n\s+time\.sleep\(BLOCKS\)', about[0])
    assert line is not None
    assert "time.sleep(BLOCKS)" in SOURCE[int(line[1]) - 1]
    over = next(record.getMessage() for record in lines if "goes on after" in record.getMessage())
    seconds = re.search(r"after (\d\.\d+) s", over)
    assert seconds is not None
    assert 0.15 <= float(seconds[1]) <= 1.0
    assert all(record.levelno == logging.WARNING for record in lines)


async def test_it_does_nothing_when_off(caplog: pytest.LogCaptureFixture) -> None:
    assert await ask(blocking("route"), watchdog=None) == 0
    assert caplog.records == []
