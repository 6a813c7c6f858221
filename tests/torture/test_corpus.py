"""Every message of the shared corpus through a router on a simulated network, against the manifest's verdict.

The router answers REGISTER and OPTIONS with 200 and forwards everything else to a sink. What a file is
expected to cause is read from the manifest; where the router deliberately does something else,
`disagreements.py` says why. After each message a good OPTIONS is answered, nothing is logged as an error, and
what was sent is well-formed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from disagreements import DISAGREEMENTS

from trio_sip import Request, Router, serve
from trio_sip.address import Address, is_ip_address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message import model
from trio_sip.message.framing import StreamFramer
from trio_sip.message.limits import MAX_MESSAGE_BYTES
from trio_sip.message.parse import is_response, parse
from trio_sip.testing import SimulatedNetwork, TraceRecord, make_request

CORPUS = Path(os.environ.get("TRIO_SIP_CORPUS") or "no-corpus")
MANIFEST = CORPUS / "manifest.json"
ENTRIES: list[dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.is_file() else []

pytestmark = pytest.mark.skipif(not ENTRIES, reason="TRIO_SIP_CORPUS is not set, or there is no corpus")

SERVER = Address("10.0.0.1", 5060)
LISTEN = [f"udp:{SERVER}", f"tcp:{SERVER}"]
SENDER = "10.0.0.2"
SINK = Address("10.0.0.9", 5060)
HOP_BY_HOP = {"via", "max-forwards", "content-length", "route"}


def _entries(*, stream: bool) -> list[Any]:
    chosen = [entry for entry in ENTRIES if entry["file"].startswith("hostile/stream/") is stream]
    return [pytest.param(entry, id=entry["file"], marks=_skip(entry)) for entry in chosen]


def _skip(entry: dict[str, Any]) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skip(reason="WebSocket is not supported")] if entry.get("transport") == "ws" else []


def _router() -> Router:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method in ("REGISTER", "OPTIONS"):
            request.reply(200)
            return
        request.headers.remove("Route")
        await request.forward(f"sip:sink@{SINK}")

    return router


@attrs.frozen
class Outcome:
    """What one message has caused."""

    sent: list[TraceRecord]

    @property
    def statuses(self) -> list[int]:
        return [int(record.data[8:11]) for record in self.sent if is_response(record.data)]

    @property
    def relayed(self) -> list[TraceRecord]:
        return [record for record in self.sent if not is_response(record.data)]

    @property
    def accepted(self) -> bool:
        return bool(self.relayed) or self.statuses == [200]


# What each element_action of the manifest accepts; for those without one, `_hostile`.
ACTIONS: dict[str, Callable[[Outcome, list[int]], bool]] = {
    "relay": lambda out, _: out.accepted,
    "accept": lambda out, _: out.accepted,
    "registrar_ok": lambda out, _: out.statuses == [200],
    "reject": lambda out, expected: not out.relayed and len(out.sent) == 1 and out.statuses[0] in expected,
    "reject_or_liberal": lambda out, expected: out.accepted or out.statuses[0] in expected,
    "relay_or_reject": lambda out, expected: out.accepted or out.statuses[0] in expected,
    "drop": lambda out, _: not out.sent,
    "must_not_crash": lambda out, _: True,
}

# Datagrams that are no SIP, or that nothing may be said to.
SILENT = (
    "crlf_only",
    "nul4",
    "stun_bind",
    "random_1k",
    "http_get",
    "status_000",
    "response_unknown_branch",
    "lf_only",
    "nul_in_callid",
    "via_maddr_bcast",
    "bad_via1",
    "bad_via3",
    "no_eom_reply",
    "opensips_parse_msg",
    "opensips_ghsa",
    "sipgo_",
    "es2021-05",
)


def _agrees(entry: dict[str, Any], data: bytes, outcome: Outcome) -> bool:
    expected = entry.get("expected_status")
    action = entry.get("element_action")
    if is_response(data):
        return action == "must_not_crash" or _response_agrees(entry, data, outcome)
    if action is not None:
        return ACTIONS[action](outcome, expected or [])
    if entry["set"] == "realworld":
        return _realworld(entry, data, outcome)
    if Path(entry["file"]).name.startswith(SILENT):
        return not outcome.sent
    if expected is None:
        return outcome.accepted or not outcome.sent or outcome.statuses[0] in (400, 416, 483)
    if outcome.statuses:
        return outcome.statuses[0] in expected
    return None in expected and not outcome.sent


def _response_agrees(entry: dict[str, Any], data: bytes, outcome: Outcome) -> bool:
    """A response goes on to the second Via, once, where that can be sent to."""
    if entry.get("element_action") == "drop" or not _is_well_formed(data):
        return not outcome.sent
    return len(outcome.statuses) == len(outcome.sent) <= 1


def _realworld(entry: dict[str, Any], data: bytes, outcome: Outcome) -> bool:
    """What phones send is taken, but for what RFC 3261 leaves no choice about."""
    if _too_short(entry) or b"\nTo:" not in data or _has_bare_line_end(data):
        return not outcome.accepted
    if b"\r\nMax-Forwards: 0\r\n" in data:
        return outcome.statuses == [483]
    if b"\r\nProxy-Require:" in data:
        return outcome.statuses == [420]
    return outcome.accepted


def _has_bare_line_end(data: bytes) -> bool:
    head = data.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"")
    return b"\r" in head or b"\n" in head


def _too_short(entry: dict[str, Any]) -> bool:
    """Content-Length promises more than the datagram has: 400 (18.3)."""
    return bool((entry.get("content_length") or 0) > (entry.get("body_octets") or 0))


def _is_well_formed(data: bytes) -> bool:
    try:
        parse(data)
    except RemoteProtocolError:
        return False
    return True


def _listen(data: bytes) -> list[str]:
    """Where the server listens: for a response also where its topmost Via says that it is."""
    listen = LISTEN.copy()
    if is_response(data) and _is_well_formed(data):
        sent_by = parse(data).sent_by
        if is_ip_address(sent_by.host) and sent_by.port and sent_by != SERVER:
            listen.append(f"udp:{sent_by}")
    return listen


def _check_relayed(data: bytes, relayed: bytes) -> None:
    before, after = parse(data), parse(relayed)
    assert isinstance(before, model.Request)
    assert isinstance(after, model.Request)
    assert after.body == before.body
    assert _end_to_end(after) == _end_to_end(before)
    assert after.sent_by == SERVER
    assert after.max_forwards == (70 if before.max_forwards is None else before.max_forwards - 1)
    assert [via.branch for via in after.vias[1:]] == [via.branch for via in before.vias]
    assert after.headers["Content-Length"].lstrip("0") in (str(len(before.body)), "")


def _end_to_end(message: model.Message) -> list[bytes]:
    pairs = zip(message.keys, message.received_lines, strict=True)
    return [line for key, line in pairs if key not in HOP_BY_HOP]


def _check_sent(data: bytes, outcome: Outcome) -> None:
    for record in outcome.sent:
        assert record.destination.port
        assert record.destination.host != "255.255.255.255"
        if not is_response(record.data):
            assert record.destination == SINK
            _check_relayed(data, record.data)
        else:
            _check_reply(data, record.data)


def _check_reply(data: bytes, reply: bytes) -> None:
    """What a refusal copies may be as malformed as it came, but it stays on its line."""
    head = reply.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    names = [line.partition(b":")[0].rstrip().lower() for line in head.split(b"\r\n")[1:]]
    assert set(names) <= {b"via", b"from", b"to", b"call-id", b"cseq", b"content-length", b"unsupported"}
    assert not any(octet in head.replace(b"\r\n", b"") for octet in (b"\r", b"\n", b"\0"))
    if reply.startswith(b"SIP/2.0 200 "):
        assert parse(reply).call_id == parse(data).call_id


async def _options_is_answered(network: SimulatedNetwork) -> None:
    caller = network.endpoint("10.0.0.3")
    caller.send(make_request("OPTIONS", f"sip:{SERVER}", source=caller.address), to=SERVER)
    assert (await caller.receive(1)).startswith(b"SIP/2.0 200 ")


@pytest.mark.parametrize("entry", _entries(stream=False))
async def test_datagram(
    entry: dict[str, Any], autojump_clock: object, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    data = (CORPUS / entry["file"]).read_bytes()
    network = SimulatedNetwork()
    start = partial(serve, _router(), listen=_listen(data), network=network, watchdog=None)
    with caplog.at_level(logging.ERROR):
        server = await nursery.start(start)
        ours = {listener.address for listener in server.listeners}
        sender = network.endpoint(SENDER, 40_000)
        sender.send(data, to=SERVER)
        await trio.sleep(1)
        outcome = Outcome([record for record in network.trace if record.source in ours])
        await _options_is_answered(network)
    assert not caplog.records
    assert _agrees(entry, data, outcome) is (entry["file"] not in DISAGREEMENTS), outcome
    _check_sent(data, outcome)


def test_every_disagreement_is_of_the_corpus() -> None:
    assert {entry["file"] for entry in ENTRIES} >= DISAGREEMENTS.keys()


# On a stream: the statuses answered, in order, and whether the connection ends.
STREAMS: dict[str, tuple[list[list[int]], bool]] = {
    "cl_wrap64_smuggle": ([[400, 413, 513]], True),
    "cl_max32_smuggle": ([[400, 413, 513]], True),
    "cl_neg32_smuggle": ([[400, 413, 513]], True),
    "cl_dup_diff": ([[400]], True),
    "no_cl_tcp": ([[400]], True),
    "pipelined_2": ([[200], [200]], False),
    "body_looks_like_sip": ([[200]], False),
    "slow_first_line": ([], True),
}


@attrs.frozen
class Conversation:
    """What came back on one connection: whole messages, and whether the server ended it."""

    messages: list[bytes]
    ended: bool


async def _converse(network: SimulatedNetwork, pieces: list[bytes], seconds: float = 15) -> Conversation:
    """Open a connection, write `pieces` one by one, and read until the server has nothing more to say."""
    stream = network.open_stream(Address(SENDER, 0), SERVER)
    with suppress(trio.BrokenResourceError):
        for piece in pieces:
            stream.send_nowait(piece)
            await trio.sleep(0.001)
    framer = StreamFramer()
    ended = False
    with trio.move_on_after(seconds):
        while data := await stream.receive_some():
            framer.feed(data)
        ended = True
    stream.reset()
    return Conversation(list(iter(framer.next_message, None)), ended)


def _cuts(data: bytes) -> list[list[bytes]]:
    """The whole, cut in two at several places, and in single bytes."""
    step = max(1, len(data) // 12)
    halves = [[data[:at], data[at:]] for at in range(1, len(data), step)]
    return [[data], *halves, [data[at : at + 1] for at in range(len(data))]]


@pytest.mark.parametrize("entry", _entries(stream=True))
async def test_stream(
    entry: dict[str, Any], autojump_clock: object, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    data = (CORPUS / entry["file"]).read_bytes()
    expected, ends = STREAMS[Path(entry["file"]).stem]
    network = SimulatedNetwork(latency=0.001)
    start = partial(serve, _router(), listen=LISTEN, network=network, watchdog=None)
    conversations = []
    with caplog.at_level(logging.ERROR):
        await nursery.start(start)
        for pieces in _cuts(data):
            conversations.append(await _converse(network, pieces))
        await _options_is_answered(network)
    assert not caplog.records
    for conversation in conversations:
        assert conversation == conversations[0]
    statuses = [int(message[8:11]) for message in conversations[0].messages]
    assert len(statuses) == len(expected)
    assert all(status in allowed for status, allowed in zip(statuses, expected, strict=True))
    assert conversations[0].ended is ends


async def test_two_messages_of_one_datagram_are_two_on_a_stream(autojump_clock: object, nursery: trio.Nursery) -> None:
    framer = StreamFramer()
    framer.feed((CORPUS / "rfc4475/dblreq.dat").read_bytes())
    data = b"".join([framer.next_message() or b"", framer.next_message() or b""])
    network = SimulatedNetwork()
    await nursery.start(partial(serve, _router(), listen=LISTEN, network=network))
    answered = await _converse(network, [data])
    assert [message[8:11] for message in answered.messages] == [b"200"]
    assert [record.data[:7] for record in network.trace if record.destination == SINK] == [b"INVITE "]


async def test_a_body_that_does_not_come_ends_the_connection(autojump_clock: object, nursery: trio.Nursery) -> None:
    data = (CORPUS / "rfc4475/clerr.dat").read_bytes()
    assert len(data) < MAX_MESSAGE_BYTES
    network = SimulatedNetwork()
    await nursery.start(partial(serve, _router(), listen=LISTEN, network=network))
    assert await _converse(network, [data], seconds=30) == Conversation([], ended=True)
