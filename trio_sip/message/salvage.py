"""What a refusal needs, out of a request that nobody will parse, or that cannot be parsed.

A request that is shed for overload, or that is malformed, is answered all the same where its topmost Via is sound: that
says where the answer goes. From, To, Call-ID and CSeq are copied as far as they are there (RFC 3261 8.2.6.2).
"""

from __future__ import annotations

import re

from trio_sip.errors import RemoteProtocolError
from trio_sip.message import shapes
from trio_sip.message.headers import header_key
from trio_sip.message.model import Request
from trio_sip.message.peek import line_pattern, peek_lines, peek_method
from trio_sip.message.values import NameAddr

__all__ = ["salvage_request"]

_NEEDED = line_pattern("via", "from", "to", "call-id", "cseq")
_TAG = re.compile(rb";[ \t]*+tag[ \t]*+=", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# The Request-URI may hold anything here, also blanks; the last " SIP/" ends it.
_REQUEST_LINE = re.compile(rb"[^ \r\n]++ [^\r\n]+ SIP/[0-9.]++[ \t]*+\r\n", re.IGNORECASE)
# SIP-Version SLASH, at the beginning of a Via: of whatever version, it says where a 505 goes
_VIA_VERSION = re.compile(rb"SIP[ \t]*+/[ \t]*+[0-9]++\.[0-9]++(?=[ \t]*+/)", re.IGNORECASE)


def salvage_request(request: Request, data: bytes) -> bool:
    """Fill in of `request` what a reply is written from. False: there is not enough to answer."""
    if shapes.read_request(request, data):
        return True
    method = peek_method(data)
    if method is None or not _REQUEST_LINE.match(data):
        return False
    found: dict[str, list[bytes]] = {"from": [], "to": [], "call-id": [], "cseq": []}
    for name, value in peek_lines(data, _NEEDED):
        found.setdefault(header_key(name), []).append(value)
    if "via" not in found or any(_CONTROLS.search(value) for values in found.values() for value in values):
        return False
    found["via"] = [_VIA_VERSION.sub(b"SIP/2.0", value, count=1) for value in found["via"]]
    try:
        via = request.read_via(found["via"][0])
    except RemoteProtocolError:
        return False
    from_value, to_value, call_id, cseq = [(found[name] or [b""])[0] for name in ("from", "to", "call-id", "cseq")]
    to_tag = b"" if not to_value or _TAG.search(to_value) else None
    request.facts = shapes.facts_of(via, (from_value, _tag_of(from_value)), (to_value, to_tag), call_id, cseq)
    request.data = data
    request.method = method
    request.match = None
    request.regular = request.start_changed = False
    request.layout = shapes.layout_of(("via",) * len(found["via"]))
    request._lines = [b"Via: " + value for value in found["via"]]
    request._headers = request._body = None
    return True


def _tag_of(value: bytes) -> bytes | None:
    """The From tag if it can be read: our To tag is made of it, and the ACK of our answer is recognised by that."""
    try:
        tag = NameAddr.parse(value.decode("utf-8", "surrogateescape")).tag
    except RemoteProtocolError:
        return None
    return None if tag is None else tag.encode("utf-8", "surrogateescape")
