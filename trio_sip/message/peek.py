"""Looking at the bytes of a message without parsing it.

Pre-routing and shedding need a method, a Call-ID, a few header lines, and must not pay for a parse. What is found
here is what the parser would find in a well-formed message; of a malformed one it is a guess, and nothing here
raises.
"""

from __future__ import annotations

import re
from functools import lru_cache

from trio_sip.message.headers import COMPACT_FORMS
from trio_sip.message.limits import MAX_HEADER_BYTES

__all__ = ["METHODS", "line_pattern", "peek_call_id", "peek_header", "peek_lines", "peek_method", "peek_status"]

_LONG_TO_COMPACT = {long: compact for compact, long in COMPACT_FORMS.items()}
# As in `grammar.unfold`: the look-behind keeps a long run of blanks linear.
_FOLD = re.compile(rb"(?<![ \t])(?:[ \t]*+\r\n[ \t]++)+")
_METHOD = re.compile(rb"[0-9A-Za-z\-.!%*_+`'~]{1,128}+(?= )")
_CSEQ = re.compile(rb"[0-9]++[ \t]++([0-9A-Za-z\-.!%*_+`'~]++)")
_STATUS = re.compile(rb"(?i:SIP)/[0-9]\.[0-9] ([1-6][0-9][0-9])(?= )")
_VALUE = rb"[ \t]*+:[ \t]*+([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*)"
METHODS = {
    method.encode(): method
    for method in (
        "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER",
        "REGISTER", "SUBSCRIBE", "UPDATE",
    )
}  # fmt: skip


def peek_method(data: bytes) -> str | None:
    """The method of a request; of a response, the one CSeq names; None where there is none to see."""
    if data[3:4] == b"/" and data[:3].upper() == b"SIP":
        return _peek_method_of_response(data)
    method = METHODS.get(data[: data.find(b" ", 0, 33)])
    if method is not None:
        return method
    match = _METHOD.match(data)
    return None if match is None else match[0].decode("ascii")


def _peek_method_of_response(data: bytes) -> str | None:
    at = data.find(b"\r\nCSeq: ")
    if at > 0 and data.find(b"\r\n\r\n", 0, at + 4) < 0:  # in the head, not in a body
        at += 8
        method = METHODS.get(data[data.find(b" ", at) + 1 : data.find(b"\r\n", at)])
        if method is not None:
            return method
    match = _CSEQ.match(_find(data, "cseq") or b"")
    return None if match is None else match[1].decode("ascii")


def peek_status(data: bytes) -> int | None:
    """The status code of a response, None for a request."""
    match = _STATUS.match(data)
    return None if match is None else int(match[1])


def peek_call_id(data: bytes) -> str | None:
    """The Call-ID, None where there is none."""
    at = data.find(b"\r\nCall-ID: ")
    if at > 0:
        end = data.find(b"\r\n", at + 11)
        if data.find(b"\r\n\r\n", 0, at + 4) < 0 and data[end : end + 3] not in (b"\r\n ", b"\r\n\t"):
            return data[at + 11 : end].strip(b" \t").decode("utf-8", "surrogateescape")
    value = _find(data, "call-id")
    return None if value is None else value.decode("utf-8", "surrogateescape")


def peek_header(data: bytes, name: str) -> str | None:
    """The value of the first header called `name`, long or compact, folds joined; None where there is none."""
    value = _find(data, name.lower())
    return None if value is None else value.decode("utf-8", "surrogateescape")


def peek_lines(data: bytes, pattern: re.Pattern[bytes]) -> list[tuple[bytes, bytes]]:
    """(name, value) of every header line `pattern` finds, folds joined; made by `line_pattern`."""
    return [(match[1], _unfold(match[2])) for match in pattern.finditer(data, 0, _head_end(data))]


def _head_end(data: bytes) -> int:
    end = data.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)
    return len(data) if end < 0 else end + 2


def _unfold(value: bytes) -> bytes:
    return (_FOLD.sub(b" ", value) if b"\n" in value else value).strip(b" \t")


def line_pattern(*names: str) -> re.Pattern[bytes]:
    """Finds header lines with one of these names, long or compact; group 1 is the name, group 2 the value."""
    longs = [COMPACT_FORMS.get(name, name) for name in names]
    spelled = [text for long in longs for text in (long, _LONG_TO_COMPACT.get(long)) if text]
    alternatives = b"|".join(re.escape(text.encode("utf-8", "surrogateescape")) for text in spelled)
    return re.compile(rb"(?i)\r\n(" + alternatives + b")" + _VALUE)


_cached_pattern = lru_cache(maxsize=512)(line_pattern)


def _find(data: bytes, name: str) -> bytes | None:
    match = _cached_pattern(name).search(data, 0, _head_end(data))
    return None if match is None else _unfold(match[2])
