"""What is checked before a request is routed (RFC 3261 16.3), beyond what parsing has refused already."""

from __future__ import annotations

from collections.abc import Callable

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.grammar import is_token, shown
from trio_sip.message.model import Request
from trio_sip.message.values import split_commas
from trio_sip.proxy.branch import MAGIC_COOKIE, is_loop

__all__ = ["SCHEMES", "check_request"]

SCHEMES = frozenset({"sip", "sips", "tel"})
"""The Request-URI schemes a route is asked about; others get 416."""
_NOT_CHALLENGED = frozenset({"ACK", "CANCEL"})


def check_request(request: Request, is_ours: Callable[[Address], bool]) -> None:
    """Raise `RemoteProtocolError` with the status to answer, where this request must not be routed."""
    if request.uri.scheme not in SCHEMES:
        raise RemoteProtocolError(f"the scheme of {request.uri_text[:80]!r} is not understood", 416)
    if request.branch == MAGIC_COOKIE:
        raise RemoteProtocolError("the branch of the topmost Via is nothing but the magic cookie", 400)
    if request.max_forwards == 0 and request.method != "OPTIONS":
        raise RemoteProtocolError("Max-Forwards is 0", 483)
    if "proxy-require" in request.keys and request.method not in _NOT_CHALLENGED:
        _refuse_extensions([tag for line in request.headers.get_all("Proxy-Require") for tag in split_commas(line)])
    alone = request.plain_via and request.layout.vias == 1
    if (not alone or is_ours(request.sent_by)) and is_loop(request, is_ours):
        raise RemoteProtocolError("this request was here before (Via) and would take the same way again", 482)


def _refuse_extensions(tags: list[str]) -> None:
    """Raise for what Proxy-Require asks of us (16.3 item 5); we understand no option tag."""
    for tag in tags:
        if not is_token(tag):
            raise RemoteProtocolError(f"{shown(tag)} in Proxy-Require is not an option tag")
    if tags:
        wanted = ", ".join(tags)
        raise RemoteProtocolError(f"Proxy-Require: {wanted}", 420, (("Unsupported", wanted),))
