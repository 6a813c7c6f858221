"""Messages that are malformed where only a proxy looks: each is answered or dropped, and nothing ends."""

from __future__ import annotations

import logging
import random
from functools import partial

import pytest
import trio

from trio_sip import Request, Response, Router, serve
from trio_sip.testing import SimulatedNetwork, make_request

SERVER = "10.0.0.1:5060"


def _request(old: str = "", new: str = "", method: str = "OPTIONS") -> bytes:
    text = (
        "OPTIONS sip:u@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
        "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    assert old in text
    return text.replace(old, new, 1).replace("OPTIONS", method).encode("utf-8", "surrogateescape")


def _response(via: str, reason: str = "OK") -> bytes:
    return (
        f"SIP/2.0 200 {reason}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\r\nVia: {via}\r\n"
        "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode("utf-8", "surrogateescape")


def _with(line: str, method: str = "OPTIONS") -> bytes:
    return _request("Max-Forwards", f"{line}\r\nMax-Forwards", method)


BRANCH = "branch=z9hG4bKx"
STRICT = _request("sip:u@10.0.0.1", "sip:10.0.0.1;lr")

# What is sent, and the status of the answer: 0 where it is forwarded, None where nothing comes
CASES: dict[str, tuple[bytes, int | None]] = {
    "rport too large": (_request(BRANCH, f"{BRANCH};rport=99999"), 200),
    "rport no number": (_request(BRANCH, f"{BRANCH};rport=x"), 200),
    "rport no number, forwarded": (_request(BRANCH, f"{BRANCH};rport=x", "INVITE"), 0),
    "rport no number, refused": (_request(BRANCH, f"{BRANCH};rport=x").replace(b": 70", b": seventy"), 400),
    "received no address": (_request(BRANCH, f'{BRANCH};received="a \udcff"'), 200),
    "maddr a name": (_request(BRANCH, f"{BRANCH};maddr=nowhere"), 200),
    "empty cseq": (_request("1 OPTIONS"), 400),
    "cseq too large": (_request("CSeq: 1", "CSeq: 99999999999"), 400),
    "empty route": (_with("Route:"), 200),
    "empty route, forwarded": (_with("Route:", "INVITE"), 0),
    "empty route, strict": (STRICT.replace(b"Max-F", b"Route:\r\nMax-F"), 200),
    "bad route": (_with("Route: <<<"), 400),
    "nul in a route": (_with('Route: <sip:10.0.0.1;lr>, "\\\0" <sip:x;lr>'), 400),
    "nul in a further route, forwarded": (_with('Route: "\\\0" <sip:10.0.0.9;lr>', "INVITE"), 0),
    "nul in proxy-require": (_with('Proxy-Require: "\\\0"'), 400),
    "folded proxy-require": (_with("Proxy-Require: a,\r\n b"), 420),
    "empty further via": (_with("Via:"), 200),
    "bad further via": (_with("Via: junk"), 400),
    "bad uri": (_request("sip:u@10.0.0.1", "sip:a b"), 400),
    "another version": (_request("SIP/2.0\r\n", "SIP/7.0\r\n"), 505),
    "nul in a display name": (_request("To: ", 'To: "\\\0"'), 200),
    "nul in a display name, refused": (_request("To: ", 'To: "\\\0"').replace(b": 70", b": x"), None),
    "response to a bad rport": (_response("SIP/2.0/UDP h;received=10.0.0.2;rport=x"), None),
    "response to a bad via": (_response("junk"), None),
    "response to no address": (_response('SIP/2.0/UDP h;received="\udcff "'), None),
    "response by no transport": (_response("SIP/2.0/CARRIER-PIGEON 10.0.0.2"), None),
    "response with a nul in its reason": (_response("SIP/2.0/UDP 10.0.0.2", '"\\\0"'), None),
}


def _router() -> Router:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method == "OPTIONS":
            request.reply(200)
        else:
            await request.forward("sip:sink@10.0.0.9")

    return router


def _failing_router() -> Router:
    router = _router()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        raise ValueError("a mistake in a reply route")

    return router


async def _send(nursery: trio.Nursery, router: Router, data: bytes) -> list[bytes]:
    """What the server sent because of `data`; a good OPTIONS is answered afterwards."""
    network = SimulatedNetwork()
    await nursery.start(
        partial(serve, router, listen=[f"udp:{SERVER}", f"tcp:{SERVER}"], network=network, watchdog=None)
    )
    network.endpoint("10.0.0.2", 40_000).send(data, to=SERVER)
    await trio.sleep(10)
    sent = [record.data for record in network.trace if record.source.host == "10.0.0.1"]
    caller = network.endpoint("10.0.0.3")
    caller.send(make_request("OPTIONS", f"sip:{SERVER}", source=caller.address), to=SERVER)
    assert (await caller.receive(1)).startswith(b"SIP/2.0 200 ")
    return sent


@pytest.mark.parametrize(("data", "status"), CASES.values(), ids=CASES)
async def test_one_datagram_ends_nothing(
    data: bytes,
    status: int | None,
    autojump_clock: object,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        sent = await _send(nursery, _router(), data)
    assert not caplog.records
    if status is None:
        assert sent == []
    else:
        expected = b"SIP/2.0 %d " % status if status else b"INVITE sip:sink@10.0.0.9 "
        assert [message.startswith(expected) for message in sent] == [True], sent


@pytest.mark.parametrize("data", [data for name, (data, _) in CASES.items() if "response" in name])
async def test_nor_does_it_when_the_reply_route_fails(
    data: bytes, autojump_clock: object, nursery: trio.Nursery
) -> None:
    assert await _send(nursery, _failing_router(), data) == []


def _accident(dice: random.Random, data: bytes) -> bytes:
    at = dice.randrange(len(data))
    to = at + dice.randrange(12)
    piece = dice.choice([b"\r\n", b"\r", b"\0", b" ", b"\r\n ", b":", b";rport=x", b",", b'"', b"<", b"\\\0", b"\xff"])
    return dice.choice([data[:at] + piece + data[at:], data[:at] + data[to:], data[:to] + data[at:]])


@pytest.mark.parametrize("router", [_router(), _failing_router()], ids=["sound", "failing"])
async def test_a_thousand_accidents_end_nothing(router: Router, autojump_clock: object, nursery: trio.Nursery) -> None:
    dice = random.Random(1)
    seeds = [data for data, _ in CASES.values()]
    network = SimulatedNetwork()
    await nursery.start(
        partial(serve, router, listen=[f"udp:{SERVER}", f"tcp:{SERVER}"], network=network, watchdog=None)
    )
    stranger, caller = network.endpoint("10.0.0.2", 40_000), network.endpoint("10.0.0.3")
    for _ in range(1000):
        stranger.send(_accident(dice, _accident(dice, dice.choice(seeds))), to=SERVER)
        await trio.sleep(0.01)
    caller.send(make_request("OPTIONS", f"sip:{SERVER}", source=caller.address), to=SERVER)
    assert (await caller.receive(1)).startswith(b"SIP/2.0 200 ")
