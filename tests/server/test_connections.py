"""TCP: answers and responses go over the connection the request came on, while there is one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from trio_sip import Address, Request, Router, Server, serve
from trio_sip.message.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES
from trio_sip.testing import make_request, make_response
from trio_sip.testing.simulated_stream import SimulatedStream

if TYPE_CHECKING:
    from conftest import Lab

SERVER = Address("10.0.0.1", 5060)
ALICE = Address("10.0.0.2", 5060)
BOB_TCP = "sip:bob@10.0.0.3;transport=tcp"


def make_router() -> Router:
    """Answers OPTIONS at once, INFO after a second; forwards everything else."""
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method == "INFO":
            await trio.sleep(1)
        if request.method in ("INFO", "OPTIONS"):
            request.reply(200)
        else:
            await request.forward()

    return router


def connect(lab: Lab) -> SimulatedStream:
    return lab.network.open_stream(Address(ALICE.host, 0), SERVER)


def options(**fields: object) -> bytes:
    return make_request("OPTIONS", "sip:10.0.0.1", source=ALICE, transport="TCP", **fields)  # type: ignore[arg-type]


async def read_all(stream: trio.abc.Stream, seconds: float = 5.0) -> tuple[bytes, bool]:
    """What comes within that time, and whether the other side closed."""
    data = b""
    with trio.move_on_after(seconds):
        while piece := await stream.receive_some():
            data += piece
        return data, True
    return data, False


async def test_answers_come_back_over_the_connection(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(make_router())
    stream = connect(lab)
    await stream.send_all(options(call_id="one") + options(call_id="two"))
    data, closed = await read_all(stream)
    assert data.count(b"SIP/2.0 200 OK\r\n") == 2
    assert not closed
    assert server.statistics().connections.connected == 0


async def test_a_message_may_come_byte_by_byte(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(make_router())
    stream = connect(lab)
    data = options()
    for at in range(len(data)):
        await stream.send_all(data[at : at + 1])
        await trio.sleep(0.001)
    assert (await read_all(stream))[0].startswith(b"SIP/2.0 200 ")


async def test_a_connection_lost_before_the_answer_is_replaced_by_one_to_the_port_in_via(
    autojump_clock: object, lab: Lab
) -> None:
    server = await lab.serve(make_router())
    alice = lab.peer(transport="tcp")  # listens on the port its Via names
    stream = connect(lab)
    await stream.send_all(options().replace(b"OPTIONS", b"INFO"))
    await trio.sleep(0.1)
    stream.reset()
    assert (await alice.answer()).status == 200
    assert server.statistics().connections.connected == 1
    assert server.statistics().lost == 0


async def test_an_answer_nobody_can_be_found_for_is_counted_as_lost(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(make_router())
    stream = connect(lab)
    await stream.send_all(options().replace(b"OPTIONS", b"INFO"))
    await trio.sleep(0.1)
    stream.reset()
    await trio.sleep(10)
    assert server.statistics().lost == 1


@pytest.mark.parametrize(
    ("status", "length"),
    [(400, None), (400, "x"), (400, "-1"), (413, str(MAX_BODY_BYTES + 1)), (413, "9" * 30)],
)
async def test_a_stream_that_cannot_be_cut_is_answered_and_closed(
    autojump_clock: object, lab: Lab, status: int, length: str | None
) -> None:
    server = await lab.serve(make_router())
    stream = connect(lab)
    await stream.send_all(options(call_id="good"))
    assert (await stream.receive_some()).startswith(b"SIP/2.0 200 ")
    await stream.send_all(options(call_id="bad", headers=[("Content-Length", length)]))
    data, closed = await read_all(stream)
    assert data.startswith(b"SIP/2.0 %d " % status)
    assert b"Call-ID: bad" in data
    assert closed
    await stream.aclose()
    await trio.sleep(5)
    assert server.statistics().connections.open == 0


async def test_what_came_before_the_fault_is_answered_over_the_connection(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(make_router())
    stream = connect(lab)
    await stream.send_all(options(call_id="good") + options(call_id="bad", headers=[("Content-Length", "x")]))
    data, closed = await read_all(stream)
    assert b"SIP/2.0 200 " in data
    assert b"SIP/2.0 400 " in data
    assert closed


async def test_a_header_section_without_end_closes_the_connection(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(make_router())
    stream = connect(lab)
    await stream.send_all(b"OPTIONS sip:10.0.0.1 SIP/2.0\r\n" + b"X: y\r\n" * (MAX_HEADER_BYTES // 6 + 1))
    assert (await read_all(stream)) == (b"", True)
    assert (await lab.peer().ask()).status == 200
    await stream.aclose()
    await trio.sleep(5)
    assert server.statistics().connections.open == 0


async def test_a_ping_gets_its_pong(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(make_router())
    stream = connect(lab)
    await stream.send_all(b"\r\n\r\n")
    assert (await read_all(stream))[0] == b"\r\n"


@pytest.mark.parametrize("asks_for_rport", [True, False])
@pytest.mark.parametrize("onward", ["udp", "tcp"])
async def test_a_forwarded_response_goes_over_the_connection_its_request_came_on(
    autojump_clock: object, lab: Lab, onward: str, asks_for_rport: bool
) -> None:
    server = await lab.serve(make_router())
    bob = lab.peer("10.0.0.3", onward)
    stream = connect(lab)
    request = make_request("MESSAGE", f"sip:bob@10.0.0.3;transport={onward}", source=ALICE, transport="TCP")
    await stream.send_all(request if asks_for_rport else request.replace(b";rport", b""))
    bob.send(make_response(await bob.agent.receive(), 202))
    assert (await read_all(stream))[0].startswith(b"SIP/2.0 202 ")
    assert server.statistics().lost == 0


@pytest.mark.parametrize("asks_for_rport", [True, False])
async def test_a_forwarded_response_finds_the_port_in_via_when_the_connection_is_gone(
    autojump_clock: object, lab: Lab, asks_for_rport: bool
) -> None:
    await lab.serve(make_router())
    alice, bob = lab.peer(transport="tcp"), lab.peer("10.0.0.3")
    stream = connect(lab)
    request = make_request("MESSAGE", "sip:bob@10.0.0.3", source=ALICE, transport="TCP")
    await stream.send_all(request if asks_for_rport else request.replace(b";rport", b""))
    asked = await bob.agent.receive()
    stream.reset()
    await trio.sleep(0.1)
    bob.send(make_response(asked, 202))
    assert (await alice.answer()).status == 202


async def test_one_connection_onward_is_shared(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(make_router())
    alice, bob = lab.peer(), lab.peer("10.0.0.3", "tcp")
    for number in range(5):
        alice.request("MESSAGE", BOB_TCP, call_id=f"call-{number}")
    for _ in range(5):
        bob.agent.send(make_response(await bob.agent.receive(), 202), to=_connection(server, lab))
    assert await alice.statuses() == [202] * 5
    assert server.statistics().connections.connected == 1


def _connection(server: Server, lab: Lab) -> Address:
    """Where the server's connection to Bob comes from."""
    record = next(record for record in lab.network.trace if record.transport == "tcp")
    assert server.statistics().connections.open == 1
    return record.source


async def test_a_peer_that_refuses_is_answered_503(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(make_router())
    assert (await lab.peer().ask("MESSAGE", BOB_TCP)).status == 503


@pytest.mark.sockets
async def test_a_peer_that_has_closed_its_half_is_answered(nursery: trio.Nursery) -> None:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        await trio.sleep(0.05)
        request.reply(200)

    server: Server = await nursery.start(partial(serve, router, listen=["tcp:127.0.0.1:0"]))
    host, port = server.listeners[0].address
    stream = await trio.open_tcp_stream(host, port)
    data = make_request(
        "OPTIONS", "sip:a", source=Address("127.0.0.1", 5060), call_id="half", branch="z9hG4bK1", transport="TCP"
    )
    async with stream:
        await stream.send_all(data)
        await stream.send_eof()
        with trio.fail_after(5):
            assert (await stream.receive_some(4096)).startswith(b"SIP/2.0 200 OK\r\n")
            assert await stream.receive_some(4096) == b""
    server.shutdown(0)
