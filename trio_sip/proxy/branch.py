"""The branch a request is forwarded with, and the loop it can be recognised by (RFC 3261 16.6 item 8, 16.11, RFC 5393).

A branch is `z9hG4bK`, a keyed digest of what makes the request's transaction one (so that a retransmission, its
CANCEL and the ACK of its failure get the same), a dot, and a checksum of what it was routed by. A request that comes
back and was to be routed by the same again is a loop; with another Request-URI it is a spiral, and allowed. The
checksum keeps no secret: whoever forges one only has his own request refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from zlib import crc32

from trio_sip.address import Address
from trio_sip.identifiers import Identifiers
from trio_sip.message.model import Request
from trio_sip.message.shapes import BRANCH, CSEQ, SENT_BY, URI, sent_by_address
from trio_sip.message.values import Via

__all__ = ["MAGIC_COOKIE", "branch_for", "is_loop"]

MAGIC_COOKIE = b"z9hG4bK"


def branch_for(request: Request, identifiers: Identifiers) -> bytes:
    """The branch to forward this request with, without state."""
    routed_by = _routed_by(request)
    facts = request.facts
    sender = facts[BRANCH] or request.branch or request.top_via
    transaction = b"%b\0%b\0%b" % (_sent_by(facts[SENT_BY]), sender, routed_by)
    return b"%b%b.%08x" % (MAGIC_COOKIE, identifiers.digest(transaction), crc32(routed_by))


@lru_cache(maxsize=4096)
def _sent_by(text: bytes) -> bytes:
    """A sent-by as every spelling of it is: with its port."""
    return str(sent_by_address(text)).encode()


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
    facts = request.facts
    routed_by = b"%b\0%b\0%b\0%b" % (
        facts[URI] or request.received_uri,
        request.call_id_value,
        request.from_tag or request.from_value,
        facts[CSEQ] or request.cseq_value.split(None, 1)[0],
    )
    if not request.layout.is_usual and "route" in request.keys:
        pairs = zip(request.keys, request.received_lines, strict=True)
        routed_by = b"\0".join((routed_by, *(line for key, line in pairs if key == "route")))
    return routed_by
