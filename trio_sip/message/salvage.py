"""What a refusal needs, out of a request that nobody will parse, or that cannot be parsed.

A request that is shed for overload, or that is malformed, is answered all the same where its Via, From, To, Call-ID and
CSeq can be made out (RFC 3261 8.2.6.2). Only its topmost Via must be sound: it says where the answer goes.
"""

from __future__ import annotations

import re

from trio_sip.errors import RemoteProtocolError
from trio_sip.message import shapes
from trio_sip.message.headers import header_key
from trio_sip.message.model import Request
from trio_sip.message.parse import read_via
from trio_sip.message.peek import line_pattern, peek_lines, peek_method

__all__ = ["salvage_request"]

_NEEDED = line_pattern("via", "from", "to", "call-id", "cseq")
_TAG = re.compile(rb";[ \t]*+tag[ \t]*+=", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_REQUEST_LINE = re.compile(rb"[^ \r\n]++ [^\r\n]++ SIP/[0-9.]++[ \t]*+\r\n", re.IGNORECASE)


def salvage_request(request: Request, data: bytes) -> bool:
    """Fill in of `request` what a reply is written from. False: there is not enough to answer."""
    if shapes.read_request(request, data):
        return True
    method = peek_method(data)
    if method is None or not _REQUEST_LINE.match(data):
        return False
    found: dict[str, list[bytes]] = {}
    for name, value in peek_lines(data, _NEEDED):
        found.setdefault(header_key(name), []).append(value)
    if len(found) < 5 or any(_CONTROLS.search(value) for values in found.values() for value in values):
        return False
    try:
        read_via(request, found["via"][0].decode("utf-8", "surrogateescape"))
    except RemoteProtocolError:
        return False
    request.data = data
    request.method = method
    request.keys = ("via",) * len(found["via"])
    request._lines = [b"Via: " + value for value in found["via"]]
    request._headers = request._body = None
    request.from_value, request.from_tag = found["from"][0], None
    request.to_value = found["to"][0]
    request.to_tag = b"" if _TAG.search(request.to_value) else None
    request.call_id = found["call-id"][0].decode("utf-8", "surrogateescape")
    request.cseq_value, request.cseq_number = found["cseq"][0], 0
    return True
