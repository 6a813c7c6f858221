"""Bytes to messages.

`parse(data)` gives a `Request` or a `Response`, or raises `RemoteProtocolError` with the status to answer; no bytes
give anything else. One datagram is one message: what follows Content-Length is dropped, and too little is an error
(RFC 3261 18.3).

Strict where smuggling starts: bare CR or LF, NUL, a header line without colon, two Content-Lengths. Liberal where
RFC 4475 asks for it: folded lines, white space before the colon, compact forms, any order, control characters that a
quoted-pair escapes.

A message whose header names stand in a well-known order is read by a `Shape` in one regular expression; everything
else, and everything a shape refuses, by `_read_head` here. Both fill in the same fields with the same values.
"""

from __future__ import annotations

import re
from functools import lru_cache

from trio_sip.errors import RemoteProtocolError
from trio_sip.message import shapes
from trio_sip.message.headers import header_key, raw_value
from trio_sip.message.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADER_LINES
from trio_sip.message.model import Message, Request, Response, missing
from trio_sip.message.uri import Uri
from trio_sip.message.values import CSeq, parse_decimal

__all__ = ["is_response", "parse", "read_any_request", "read_request", "read_response", "skip_empty_lines"]

# Octets that can only be line ends, or garbage: CTL without HTAB (RFC 3261 25.1).
_CONTROLS = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
_NOT_CONTROLS = bytes(octet for octet in range(256) if octet not in _CONTROLS)
# quoted-pair = "\" (%x00-09 / %x0B-0C / %x0E-7F)
_QUOTED_PAIR = re.compile(rb"\\[\x00-\x09\x0b\x0c\x0e-\x7f]")
# Method: a token
_METHOD = re.compile(rb"[0-9A-Za-z\-.!%*_+`'~]++")
# Status-Line = SIP-Version SP Status-Code SP Reason-Phrase CRLF
_STATUS_LINE = re.compile(rb"(SIP/\d++\.\d++) ([1-6]\d\d) (.*+)", re.IGNORECASE | re.DOTALL)
_VERSION = re.compile(rb"SIP/\d++\.\d++", re.IGNORECASE)
# callid = word [ "@" word ], taken liberally: anything visible without white space
_CALL_ID = re.compile(rb"[!-~]++")

_SINGLE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type")
_MANDATORY = {"via": "Via", "from": "From", "to": "To", "call-id": "Call-ID", "cseq": "CSeq"}
MAX_METHOD_LENGTH = 32
MAX_FORWARDS = 255


def is_response(data: bytes) -> bool:
    """Whether the start line is a Status-Line. No method can begin like one, `/` is not a token character."""
    return data[3:4] == b"/" and data[:3].upper() == b"SIP"


def skip_empty_lines(data: bytes) -> bytes:
    """`data` without the CRLFs that stand before a start line (RFC 3261 7.5)."""
    at = 0
    while data.startswith(b"\r\n", at):
        at += 2
    return data[at:] if at else data


def parse(data: bytes) -> Request | Response:
    """Read one whole message; empty lines before it are skipped (7.5). Raises `RemoteProtocolError`."""
    data = skip_empty_lines(data)
    if is_response(data):
        response = Response()
        read_response(response, data)
        return response
    request = Request()
    read_request(request, data)
    return request


def read_request(request: Request, data: bytes) -> None:
    """Fill in a new `Request` (or a subclass of it) from a datagram. Raises `RemoteProtocolError`."""
    if not shapes.read_request(request, data):
        read_any_request(request, data)


def read_any_request(request: Request, data: bytes) -> None:
    """The general reader of requests, which `read_request` turns to where no shape matches."""
    start, lines, keys, body_at = _split_head(data)
    parts = start.split(b" ")
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]) or not _VERSION.fullmatch(parts[2]):
        raise RemoteProtocolError(f"not a Request-Line: {start[:80]!r}")
    if parts[2].upper() != b"SIP/2.0":
        raise RemoteProtocolError(f"SIP version {parts[2].decode('ascii', 'replace')} is not supported", 505)
    if len(parts[0]) > MAX_METHOD_LENGTH:
        raise RemoteProtocolError(f"a method of {len(parts[0])} characters")
    method = parts[0].decode("ascii")
    request.regular = False
    request._uri_text = parts[1].decode("utf-8", "surrogateescape")
    request._uri = Uri.parse(request._uri_text)
    _read_head(request, data, lines, keys, body_at)
    if request.method != method:
        raise RemoteProtocolError(f"CSeq names {request.method}, the request is {method} (RFC 3261 8.1.1.5)")
    shapes.learn_request(request)


def read_response(response: Response, data: bytes) -> None:
    """Fill in a new `Response` (or a subclass of it) from a datagram. Raises `RemoteProtocolError`."""
    if shapes.read_response(response, data):
        return
    start, lines, keys, body_at = _split_head(data)
    match = _STATUS_LINE.fullmatch(start)
    if not match:
        raise RemoteProtocolError(f"not a Status-Line: {start[:80]!r}")
    if match[1].upper() != b"SIP/2.0":
        raise RemoteProtocolError(f"SIP version {match[1].decode('ascii', 'replace')} is not supported", 505)
    response._status = int(match[2])
    response._reason = match[3].decode("utf-8", "surrogateescape")
    _read_head(response, data, lines, keys, body_at)
    shapes.learn_response(response)


def _split_head(data: bytes) -> tuple[bytes, list[bytes], tuple[str, ...], int]:
    """The start line, the header lines (a folded one whole) with their keys, and where the body starts."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        raise RemoteProtocolError("no empty line ends the header section")
    head = data[:end]
    lines = head.split(b"\r\n", MAX_HEADER_LINES * 8)
    if len(lines) > MAX_HEADER_LINES * 8:
        raise RemoteProtocolError(f"more than {MAX_HEADER_LINES * 8} lines before the body")
    if head.translate(None, _NOT_CONTROLS) != b"\r\n" * (len(lines) - 1):
        _check_controls(lines)
    if b"\r\n " in head or b"\r\n\t" in head:
        lines = _join_folds(lines)
    if len(lines) > MAX_HEADER_LINES + 1:
        raise RemoteProtocolError(f"more than {MAX_HEADER_LINES} header lines")
    start = lines.pop(0)
    return start, lines, _keys_of(lines), end + 4


def _check_controls(lines: list[bytes]) -> None:
    for at, line in enumerate(lines):
        bare = _QUOTED_PAIR.sub(b"", line) if at and b'"' in line else line
        if any(octet in bare for octet in (b"\r", b"\n", b"\0")):
            raise RemoteProtocolError(f"bare CR, LF or NUL in {line[:80]!r}")


def _join_folds(lines: list[bytes]) -> list[bytes]:
    joined: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if len(joined) < 2:
                raise RemoteProtocolError("the start line is folded")
            joined[-1].append(line)
        else:
            joined.append([line])
    return [b"\r\n".join(parts) for parts in joined]


def _keys_of(lines: list[bytes]) -> tuple[str, ...]:
    names = [line.partition(b":") for line in lines]
    for line, (_, colon, _) in zip(lines, names, strict=True):
        if not colon:
            raise RemoteProtocolError(f"a header line without colon: {line[:80]!r}")
    spelled = tuple([name for name, _, _ in names])
    remembered = sum(map(len, spelled)) <= shapes.MAX_ORDER_BYTES
    return _checked_keys_remembered(spelled) if remembered else _checked_keys(spelled)


def _checked_keys(names: tuple[bytes, ...]) -> tuple[str, ...]:
    keys = tuple([header_key(name) for name in names])
    for single in _SINGLE:
        if keys.count(single) > 1:
            raise RemoteProtocolError(f"more than one {single} header")
    for name, shown in _MANDATORY.items():
        if name not in keys:
            raise missing(shown)
    return keys


_checked_keys_remembered = lru_cache(maxsize=1024)(_checked_keys)


def _read_head(message: Message, data: bytes, lines: list[bytes], keys: tuple[str, ...], body_at: int) -> None:
    message.data = data
    message.layout = shapes.layout_of(keys)
    message.match = None
    message.start_changed = False
    message._lines = lines
    message._headers = message._body = None
    message.body_at = body_at
    message.body_end = _body_end(data, lines, keys, body_at)
    cseq = raw_value(lines[keys.index("cseq")])
    message.method = _cseq(cseq).method
    call_id = raw_value(lines[keys.index("call-id")])
    if not _CALL_ID.fullmatch(call_id):
        raise RemoteProtocolError(f"not a Call-ID: {call_id[:80]!r}")
    hops = raw_value(lines[keys.index("max-forwards")]) if "max-forwards" in keys else None
    if hops is not None:
        _max_forwards(hops)
    message.facts = shapes.facts_of(
        message.read_via(raw_value(lines[keys.index("via")])),
        shapes.read_address(raw_value(lines[keys.index("from")])),
        shapes.read_address(raw_value(lines[keys.index("to")])),
        call_id,
        cseq,
        hops,
    )


def _cseq(value: bytes) -> CSeq:
    return CSeq.parse(value.decode("utf-8", "surrogateescape"))


def _content_length(value: bytes) -> int:
    return parse_decimal(value.decode("utf-8", "surrogateescape"), MAX_BODY_BYTES, "Content-Length")


def _max_forwards(value: bytes) -> int:
    return parse_decimal(value.decode("utf-8", "surrogateescape"), MAX_FORWARDS, "Max-Forwards")


def _body_end(data: bytes, lines: list[bytes], keys: tuple[str, ...], body_at: int) -> int:
    if "content-length" not in keys:
        return len(data)
    length = _content_length(raw_value(lines[keys.index("content-length")]))
    if body_at + length > len(data):
        raise RemoteProtocolError(f"Content-Length is {length}, but only {len(data) - body_at} bytes follow")
    return body_at + length
