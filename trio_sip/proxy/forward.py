"""The bytes of a forwarded message (RFC 3261 16.6, 16.7): mostly the bytes that came."""

from __future__ import annotations

from functools import lru_cache

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.model import Request, Response
from trio_sip.message.shapes import CONTENT_LENGTH, MAX_FORWARDS
from trio_sip.message.values import split_commas
from trio_sip.message.write import assemble, start_line
from trio_sip.proxy.via import further_vias, rest_of_top_line, stamp, stamp_with_port

__all__ = ["DEFAULT_MAX_FORWARDS", "forwarded_request", "forwarded_response", "next_via", "own_via"]

DEFAULT_MAX_FORWARDS = 70


def own_via(transport: str, sent_by: Address, branch: bytes) -> bytes:
    """The Via header line of ours, without CRLF. It asks for `rport`, so that answers find us behind a NAT."""
    return b"%b;branch=%b;rport" % (_own_sent_by(transport, sent_by), branch)


@lru_cache(maxsize=256)
def _own_sent_by(transport: str, sent_by: Address) -> bytes:
    return f"Via: SIP/2.0/{transport.upper()} {sent_by}".encode()


def forwarded_request(request: Request, source: Address, via: bytes, *, reliable: bool = False) -> bytes:
    """The request with our Via line on top, the sender's Via stamped, and Max-Forwards one less.

    `reliable`: it came over a connection. Raises `RemoteProtocolError` (483) where Max-Forwards is 0.
    """
    hops = request.max_forwards
    if hops == 0:
        raise RemoteProtocolError("Max-Forwards is 0", 483)
    hops = DEFAULT_MAX_FORWARDS if hops is None else hops - 1
    stamped = stamp_with_port(request, source) if reliable else stamp(request, source)
    if request.facts[MAX_FORWARDS] is not None and _can_splice(request):
        return _spliced_request(request, via, stamped, b"%d" % hops)
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
    facts = message.facts
    return message.match is not None and message.plain_via and facts[CONTENT_LENGTH] is not None and message.untouched


def _spliced_request(request: Request, via: bytes, stamped: bytes, hops: bytes) -> bytes:
    data, match = request.data, request.match
    assert match is not None
    (from_1, to_1, new_1), (from_2, to_2, new_2) = sorted(
        ((*match.span("via"), stamped), (*match.span("max_forwards"), hops))
    )
    rest = data[data.find(b"\r\n") : from_1], new_1, data[to_1:from_2], new_2, data[to_2 : request.body_end]
    return b"".join((start_line(request), b"\r\n", via, *rest))


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


def next_via(response: Response) -> bytes | None:
    """The via-parm below ours, which says where the response goes (16.7 item 3); None where ours was the only one."""
    if response.match is not None and response.plain_via and response.layout.vias > 1:
        rest: bytes = response.match["next_via"]
    else:
        further = further_vias(response)
        if not further:
            return None
        rest = further[0]
    if b"," not in rest:
        return rest
    return split_commas(rest.decode("utf-8", "surrogateescape"))[0].encode("utf-8", "surrogateescape")
