"""The branch a request is forwarded with, and the loop it can be recognised by (RFC 3261 16.6 item 8, 16.11, RFC 5393).

A branch is `z9hG4bK`, a keyed digest of what makes the request's transaction one (so that a retransmission, its
CANCEL and the ACK of its failure get the same), a dot, and a checksum of what it was routed by. A request that comes
back and was to be routed by the same again is a loop; with another Request-URI it is a spiral, and allowed. The
checksum keeps no secret: whoever forges one only has his own request refused.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from trio_sip.address import Address
from trio_sip.identifiers import Identifiers
from trio_sip.message.model import Request
from trio_sip.message.values import Via

__all__ = ["MAGIC_COOKIE", "branch_for", "is_loop"]

MAGIC_COOKIE = b"z9hG4bK"


def branch_for(request: Request, identifiers: Identifiers) -> bytes:
    """The branch to forward this request with, without state."""
    routed_by = _routed_by(request)
    transaction = b"\0".join((str(request.sent_by).encode(), request.branch or request.top_via, routed_by))
    return b"%b%b.%08x" % (MAGIC_COOKIE, identifiers.digest(transaction), crc32(routed_by))


def is_loop(request: Request, is_ours: Callable[[Address], bool]) -> bool:
    """Whether this request, one of whose Vias may be ours, was here before and would be routed the same way again."""
    ours = [via for via in request.vias if is_ours(Address(via.host, via.address_port)) and via.branch]
    if not ours:
        return False
    mark = f"{crc32(_routed_by(request)):08x}"
    return any(_routing_part(via) == mark for via in ours)


def _routing_part(via: Via) -> str:
    return (via.branch or "").rpartition(".")[2]


def _routed_by(request: Request) -> bytes:
    # Not Proxy-Require and credentials, which RFC 5393 would have: a CANCEL does not repeat them, and needs this
    # branch.
    parts = [
        request.received_uri,
        request.call_id_value,
        request.from_tag or request.from_value,
        request.cseq_value.split(None, 1)[0],
    ]
    if "route" in request.keys:
        parts += [line for key, line in zip(request.keys, request.received_lines, strict=True) if key == "route"]
    return b"\0".join(parts)
