"""The bytes of a forwarded message (RFC 3261 16.6, 16.7): mostly the bytes that came."""

from __future__ import annotations

from functools import lru_cache

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.model import Request, Response
from trio_sip.message.shapes import CONTENT_LENGTH, NEXT_MARK, NEXT_PROTOCOL, NEXT_VIA
from trio_sip.message.values import split_commas
from trio_sip.message.write import assemble, start_line
from trio_sip.proxy.via import (
    ResponseTarget,
    further_vias,
    response_target,
    rest_of_top_line,
    stamp,
    stamp_with_port,
    stamped_target,
)

__all__ = ["DEFAULT_MAX_FORWARDS", "forwarded_request", "forwarded_response", "next_target", "next_via", "own_via"]

DEFAULT_MAX_FORWARDS = 70


def own_via(transport: str, sent_by: Address, branch: bytes) -> bytes:
    """The Via header line of ours, without CRLF. It asks for `rport`, so that answers find us behind a NAT."""
    return b"%b%b;rport" % (_own_via_start(transport, sent_by), branch)


@lru_cache(maxsize=256)
def _own_via_start(transport: str, sent_by: Address) -> bytes:
    return f"Via: SIP/2.0/{transport.upper()} {sent_by};branch=".encode()


def forwarded_request(request: Request, source: Address, via: bytes, *, reliable: bool = False) -> bytes:
    """The request with our Via line on top, the sender's Via stamped, and Max-Forwards one less.

    `reliable`: it came over a connection. Raises `RemoteProtocolError` (483) where Max-Forwards is 0.
    """
    hops = request.max_forwards
    if hops == 0:
        raise RemoteProtocolError("Max-Forwards is 0", 483)
    stamped = stamp_with_port(request, source) if reliable else stamp(request, source)
    if hops is not None and _can_splice(request):
        return _spliced_request(request, via, stamped, b"%d" % (hops - 1))
    hops = DEFAULT_MAX_FORWARDS if hops is None else hops - 1
    keys = request.headers.keys
    lines = request.headers.lines.copy()
    if stamped != request.top_via and "via" in keys:
        rest = rest_of_top_line(request)
        lines[keys.index("via")] = b"Via: " + (b", ".join((stamped, rest)) if rest else stamped)
    if "max-forwards" in keys:
        lines[keys.index("max-forwards")] = b"Max-Forwards: %d" % hops
    else:
        lines.append(b"Max-Forwards: %d" % hops)
    return assemble(request, [via, *lines])


def _can_splice(message: Request | Response) -> bool:
    """Whether a shape has said where everything is, and nothing has been changed: the common case."""
    if message.match is None or message.facts[CONTENT_LENGTH] is None:
        return False
    return message.plain_via and message.untouched


def _spliced_request(request: Request, via: bytes, stamped: bytes, hops: bytes) -> bytes:
    data, match = request.data, request.match
    assert match is not None
    first = data.find(b"\r\n")
    from_1, to_1 = match.span("via")
    from_2, to_2 = match.span("max_forwards")
    if to_1 > from_2:
        from_1, to_1, stamped, from_2, to_2, hops = from_2, to_2, hops, from_1, to_1, stamped
    return b"%b\r\n%b%b%b%b%b%b" % (
        start_line(request), via, data[first:from_1], stamped, data[to_1:from_2], hops, data[to_2 : request.body_end],
    )  # fmt: skip


def forwarded_response(response: Response) -> bytes:
    """The response without its topmost via-parm, which was ours."""
    if _can_splice(response):
        return _spliced_response(response)
    keys = response.headers.keys
    lines = response.headers.lines.copy()
    if "via" in keys:
        rest = rest_of_top_line(response)
        at = keys.index("via")
        lines[at : at + 1] = [b"Via: " + rest] if rest else []
    return assemble(response, lines)


def _spliced_response(response: Response) -> bytes:
    data, match = response.data, response.match
    assert match is not None
    via_from, via_to = match.span("via")
    line = data.rfind(b"\r\n", 0, via_from)
    return b"".join((start_line(response), data[data.find(b"\r\n") : line], data[via_to : response.body_end]))


def next_target(response: Response) -> ResponseTarget | None:
    """Where it goes by the via-parm below ours (16.7 item 3); None where ours was the only one."""
    facts = response.facts
    if facts[NEXT_MARK] is not None and response.plain_via:
        return stamped_target(facts[NEXT_PROTOCOL], facts[NEXT_MARK])
    via = next_via(response)
    return None if via is None else response_target(via)


def next_via(response: Response) -> bytes | None:
    """The via-parm below ours; None where ours was the only one."""
    rest: bytes | None = response.facts[NEXT_VIA] if response.plain_via else None
    if rest is None:
        rest = next(iter(further_vias(response)), None)
    if rest is None or b"," not in rest:
        return rest
    return split_commas(rest.decode("utf-8", "surrogateescape"))[0].encode("utf-8", "surrogateescape")
