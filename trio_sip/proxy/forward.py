"""The bytes of a forwarded message (RFC 3261 16.6, 16.7): mostly the bytes that came."""

from __future__ import annotations

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.model import Request, Response
from trio_sip.message.values import Via, split_commas
from trio_sip.message.write import assemble
from trio_sip.proxy.via import further_vias, rest_of_top_line, stamp, stamp_with_port

__all__ = ["DEFAULT_MAX_FORWARDS", "forwarded_request", "forwarded_response", "next_via", "own_via"]

DEFAULT_MAX_FORWARDS = 70


def own_via(transport: str, sent_by: Address, branch: bytes) -> bytes:
    """The Via header line of ours, without CRLF. It asks for `rport`, so that answers find us behind a NAT."""
    return b"Via: SIP/2.0/%b %b;branch=%b;rport" % (transport.upper().encode(), str(sent_by).encode(), branch)


def forwarded_request(request: Request, source: Address, via: bytes, *, reliable: bool = False) -> bytes:
    """The request with our Via line on top, the sender's Via stamped, and Max-Forwards one less.

    `reliable`: it came over a connection. Raises `RemoteProtocolError` (483) where Max-Forwards is 0.
    """
    if request.max_forwards == 0:
        raise RemoteProtocolError("Max-Forwards is 0", 483)
    keys = request.headers.keys
    lines = request.headers.lines.copy()
    stamped = stamp_with_port(request, source) if reliable else stamp(request, source)
    if stamped != request.top_via and "via" in keys:
        rest = rest_of_top_line(request)
        lines[keys.index("via")] = b"Via: " + (b", ".join((stamped, rest)) if rest else stamped)
    hops = DEFAULT_MAX_FORWARDS if request.max_forwards is None else request.max_forwards - 1
    if "max-forwards" in keys:
        lines[keys.index("max-forwards")] = b"Max-Forwards: %d" % hops
    else:
        lines.append(b"Max-Forwards: %d" % hops)
    return assemble(request, [via, *lines])


def forwarded_response(response: Response) -> bytes:
    """The response without its topmost via-parm, which was ours."""
    keys = response.headers.keys
    lines = response.headers.lines.copy()
    if "via" in keys:
        rest = rest_of_top_line(response)
        at = keys.index("via")
        lines[at : at + 1] = [b"Via: " + rest] if rest else []
    return assemble(response, lines)


def next_via(response: Response) -> Via | None:
    """The via-parm below ours, which says where the response goes (16.7 item 3); None where ours was the only one."""
    rest = further_vias(response)
    if not rest:
        return None
    text = rest[0].decode("utf-8", "surrogateescape")
    return Via.parse(split_commas(text)[0] if "," in text else text)

