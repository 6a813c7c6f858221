"""One side's view of a dialog: what its next request in it looks like, and where that goes (RFC 3261 12)."""

from __future__ import annotations

import attrs

from trio_sip.address import Address, is_ip_address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message import model
from trio_sip.message.uri import Uri
from trio_sip.message.values import NameAddr

__all__ = ["Dialog", "destination"]


@attrs.frozen(eq=False)
class Dialog:
    """`local` and `remote` are From and To, with their tags, of a request from this side."""

    call_id: str
    local: str
    remote: str
    target: str
    """The Request-URI: the other side's Contact."""
    routes: tuple[str, ...]
    """The route set, nearest first."""

    @classmethod
    def of_caller(cls, request: model.Request, response: model.Response) -> Dialog:
        """What the client knows after an answer from 101 to 299 (12.1.2)."""
        return cls(
            request.call_id,
            request.headers["From"],
            response.headers["To"],
            _contact(response, request.uri_text),
            tuple(str(route) for route in reversed(response.record_routes)),
        )

    @classmethod
    def of_callee(cls, request: model.Request, response: model.Response) -> Dialog:
        """What the server knows after its own answer from 101 to 299 (12.1.1)."""
        return cls(
            request.call_id,
            response.headers["To"],
            request.headers["From"],
            _contact(request, str(request.from_.uri)),
            tuple(str(route) for route in request.record_routes),
        )

    def uri_and_headers(self) -> tuple[str, list[tuple[str, str | None]]]:
        """The Request-URI, and From, To and Route, of a request in this dialog (12.2.1.1)."""
        uri, routes = self.target, list(self.routes)
        if routes and not (strict := NameAddr.parse(routes[0]).uri).lr:
            uri, routes = str(strict), [*routes[1:], f"<{self.target}>"]
        return uri, [("From", self.local), ("To", self.remote), *(("Route", route) for route in routes)]

    def next_hop(self) -> str:
        """The URI its requests are sent to: the first of the route set, or the target."""
        return str(NameAddr.parse(self.routes[0]).uri) if self.routes else self.target


def destination(uri: str, transport: str) -> Address:
    """The address a request for this URI is sent to over this transport. Raises `ValueError`: it says what to do."""
    what_to_do = "give the user agent a proxy=, or say to="
    try:
        parsed = Uri.parse(uri)
    except RemoteProtocolError as error:
        raise ValueError(f"{error}; {what_to_do}") from error
    host = parsed.maddr or parsed.host
    if not is_ip_address(host):
        raise ValueError(f"{uri} names no IP address to send to; {what_to_do}")
    if parsed.scheme == "sips" or parsed.transport not in (None, transport):
        wanted = parsed.transport or "tls"
        raise ValueError(f"{uri} is reached over {wanted}, and this user agent speaks {transport}; {what_to_do}")
    return Address(host, parsed.address_port)


def _contact(message: model.Message, otherwise: str) -> str:
    contacts = message.contacts
    return str(contacts[0].uri) if contacts else otherwise
