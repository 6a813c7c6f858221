"""What is done to a Via, and what a Via says about where a response goes.

`received` and `rport` are written into the topmost Via of a request by whoever received it (RFC 3261 18.2.1, RFC 3581
4); what the sender put there itself is never believed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from trio_sip.address import DEFAULT_PORT, Address, Destination, is_ip_address
from trio_sip.message.model import Message
from trio_sip.message.values import Via

__all__ = [
    "ResponseTarget",
    "further_vias",
    "reply_address",
    "response_target",
    "rest_of_top_line",
    "rport_mark",
    "stamp",
    "stamp_with_port",
    "stamped_target",
]


@lru_cache(maxsize=4096)
def rport_mark(source: Address) -> bytes:
    """What is written behind `;rport` in a Via."""
    return b"=%d;received=%b" % (source.port, source.host.encode())


def stamp(message: Message, source: Address) -> bytes:
    """The topmost Via of a request, with `received` and `rport` as `source` has it."""
    if not message.plain_via:
        return _stamp_parsed(message, source)
    via = message.top_via
    if via.endswith(b";rport"):
        return via + rport_mark(source)
    if b";rport;" in via:
        return via.replace(b";rport", b";rport" + rport_mark(source), 1)
    return via if message.sent_by.host == source.host else via + b";received=" + source.host.encode()


def stamp_with_port(message: Message, source: Address) -> bytes:
    """As `stamp`, with `rport` also where it was not asked for.

    So the response to a request that came over a connection, and is forwarded without state, finds that
    connection again (18.2.2).
    """
    if message.plain_via and b";rport" not in message.top_via:
        return message.top_via + b";rport" + rport_mark(source)
    return _stamp_parsed(message, source, with_port=True)


def _stamp_parsed(message: Message, source: Address, with_port: bool = False) -> bytes:
    text = message.top_via.decode("utf-8", "surrogateescape")
    via = Via.parse(text)
    asked = with_port or via.parameter("rport") is not None
    if asked:
        via = via.with_parameter("rport", str(source.port))
    if asked or via.host != source.host or via.received is not None:
        via = via.with_parameter("received", source.host)
        text = str(via)
    return text.encode("utf-8", "surrogateescape")


def reply_address(message: Message, source: Address) -> Address | None:
    """Where a reply to a request that came in a datagram goes; None: back to where it came from (18.2.2, RFC 3581)."""
    if not message.plain_via:
        via = Via.parse(message.top_via.decode("utf-8", "surrogateescape"))
        if via.maddr is not None and is_ip_address(via.maddr):
            return Address(via.maddr, via.address_port)
        if via.parameter("rport") is not None:
            return None
    if message.wants_rport:
        return None
    port = message.sent_by.port
    if port in (source.port, 0):
        return None
    return Address(source.host, port)


def further_vias(message: Message) -> tuple[bytes, ...]:
    """The raw values of all Via lines as received, without the topmost via-parm."""
    if message.plain_via and message.layout.vias == 1:
        return ()
    values = _via_values(message)
    rest = _without_first(values[0])
    return (rest, *values[1:]) if rest else tuple(values[1:])


def rest_of_top_line(message: Message) -> bytes:
    """What follows the topmost via-parm on its own header line; b"" where it stands alone."""
    return b"" if message.plain_via else _without_first(_via_values(message)[0])


def _via_values(message: Message) -> list[bytes]:
    pairs = zip(message.keys, message.received_lines, strict=True)
    return [line.partition(b":")[2].strip() for key, line in pairs if key == "via"]


def _without_first(value: bytes) -> bytes:
    """A Via line's value without its first via-parm; commas in quotes do not count."""
    quoted = False
    skip = False
    for at, octet in enumerate(value):
        if skip:
            skip = False
        elif octet == 0x5C and quoted:
            skip = True
        elif octet == 0x22:
            quoted = not quoted
        elif octet == 0x2C and not quoted:
            return value[at + 1 :].strip()
    return b""


class ResponseTarget(NamedTuple):
    """Where a response goes when `via` is its topmost Via (18.2.2, RFC 3581 4)."""

    to: Destination
    anew: Destination
    """Where a new connection is opened to, when the one it should take is gone."""


def response_target(via: bytes) -> ResponseTarget:
    """What one raw via-parm says. Raises `RemoteProtocolError`."""
    return _response_target(Via.parse(via.decode("utf-8", "surrogateescape")))


@lru_cache(maxsize=4096)
def stamped_target(protocol: bytes, mark: bytes) -> ResponseTarget:
    """What a via-parm says, of which only `SIP/2.0/UDP host:port` and what stands behind the branch are looked at."""
    return response_target(protocol + mark)


def _response_target(via: Via) -> ResponseTarget:
    host = via.received or via.maddr or via.host
    port = via.rport if via.received and via.rport else via.port
    transport = via.transport.lower()
    to = Destination(transport, host, port or DEFAULT_PORT)
    return ResponseTarget(to, to._replace(port=via.address_port))
