"""Route headers: those that lead here are taken off, the next one says where to go (RFC 3261 16.4, 16.6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from trio_sip.address import Address, Destination
from trio_sip.errors import LocalProtocolError, RemoteProtocolError, TransportError
from trio_sip.message.headers import Headers
from trio_sip.message.model import Request
from trio_sip.message.uri import CACHED_LENGTH, Uri
from trio_sip.message.values import NameAddr, split_commas

__all__ = ["next_destination", "next_hop", "remove_own_routes", "request_uri", "uri_address"]


def uri_address(uri: Uri) -> Address:
    """The address a SIP URI names: `maddr` or host, the port or its default."""
    return Address(uri.maddr or uri.host or "", uri.address_port)


def remove_own_routes(request: Request, is_ours: Callable[[Address], bool]) -> None:
    """Undo strict routing, and take off the Route that led here (16.4).

    Of a double Record-Route (RFC 5658) both Routes are taken off.
    """
    if "route" not in request.keys:
        return
    if request.uri.is_sip and request.uri.lr and is_ours(uri_address(request.uri)) and request.routes:
        request.uri = _take_route(request, -1).uri
    for _ in range(2):
        routes = request.routes
        if not (routes and routes[0].uri.is_sip and is_ours(uri_address(routes[0].uri))):
            return
        _take_route(request, 0)


def next_hop(request: Request) -> Uri:
    """The URI this request goes to next. Towards a strict router the Request-URI is put behind the Routes."""
    routes = request.routes if request.has("route") else ()
    if not routes:
        return request.uri
    first = routes[0]
    if not first.uri.lr:
        _take_route(request, 0)
        request.headers.add("Route", f"<{request.uri}>")
        request.uri = first.uri
    return first.uri


def next_destination(request: Request) -> Destination:
    """Where `next_hop` leads to. Raises `TransportError` where it names no host."""
    hop = next_hop(request)
    text = request.uri_text if hop is request.uri else str(hop)
    return _destination(text) if len(text) <= CACHED_LENGTH else _find_destination(hop)


@lru_cache(maxsize=4096)
def _destination(text: str) -> Destination:
    return _find_destination(Uri.parse(text))


def _find_destination(hop: Uri) -> Destination:
    if not hop.is_sip or not hop.host:
        raise TransportError(f"{str(hop)[:80]!r} names no host to forward to")
    transport = hop.transport or ("tls" if hop.scheme == "sips" else "udp")
    return Destination(transport.lower(), hop.maddr or hop.host, hop.address_port)


def request_uri(uri: Uri) -> Uri:
    """`uri` as a Request-URI may be: without headers and `method` (19.1.1)."""
    return uri.without_headers() if uri.headers or uri.parameter("method") is not None else uri


def _take_route(request: Request, which: int) -> NameAddr:
    """Remove and return the first (0) or the last (-1) Route; there is one."""
    headers = request.headers
    places = [at for at, key in enumerate(headers.keys) if key == "route"]
    lines = [(at, split_commas(line)) for at, line in zip(places, headers.get_all("Route"), strict=True)]
    at, values = [(at, values) for at, values in lines if values][which]
    taken = values.pop(which)
    if values:
        _replace(headers, at, ", ".join(values))
    else:
        headers.remove_line(at)
    return NameAddr.parse(taken)


def _replace(headers: Headers, at: int, value: str) -> None:
    """Write a Route line anew.

    What it holds came from the peer: an escaped NUL cannot be written, and is the peer's.
    """
    try:
        headers.replace_line(at, "Route", value)
    except LocalProtocolError as error:
        raise RemoteProtocolError(str(error)) from error
