"""Messages to bytes.

`write_reply` makes a response to a request from the request's own raw values (RFC 3261 8.2.6.2); `write_message` writes a
request or response as it stands now.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from trio_sip.errors import LocalProtocolError
from trio_sip.message.headers import Headers
from trio_sip.message.model import Request, Response
from trio_sip.message.reasons import REASONS

__all__ = ["assemble", "start_line", "write_message", "write_reply"]


def start_line(message: Request | Response) -> bytes:
    """Request-Line or Status-Line, without its CRLF."""
    if isinstance(message, Request):
        return f"{message.method} {message.uri_text} SIP/2.0".encode("utf-8", "surrogateescape")
    return f"SIP/2.0 {message.status} {message.reason}".encode("utf-8", "surrogateescape")


def write_message(message: Request | Response) -> bytes:
    """The message as it stands: untouched header lines byte for byte, in order; Content-Length always there and right."""
    return assemble(message, message.headers.lines.copy())


def assemble(message: Request | Response, lines: list[bytes]) -> bytes:
    """The message with these header lines, of which the last ones are those of `message.headers`."""
    body = message.body
    keys = message.headers.keys
    if "content-length" not in keys:
        lines.append(b"Content-Length: %d" % len(body))
    elif message.body_changed or message.body_end != len(message.data):
        lines[len(lines) - len(keys) + keys.index("content-length")] = b"Content-Length: %d" % len(body)
    return b"\r\n".join((start_line(message), *lines, b"", body))


@lru_cache(maxsize=512)
def _status_line(status: int, reason: str | None) -> bytes:
    if not 100 <= status <= 699:
        raise LocalProtocolError(f"a status code is 100 to 699, not {status}")
    phrase = REASONS.get(status, "Unknown") if reason is None else reason
    if any(mark in phrase for mark in "\r\n\0"):
        raise LocalProtocolError(f"a reason phrase may not hold CR, LF or NUL: {phrase!r}")
    return b"SIP/2.0 %d %b\r\nVia: " % (status, phrase.encode("utf-8", "surrogateescape"))


def write_reply(
    status: int,
    reason: str | None,
    vias: bytes,
    from_value: bytes,
    to_value: bytes,
    call_id: bytes,
    cseq: bytes,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """A response. `vias` is the raw value of every Via, topmost first, joined by `\\r\\nVia: `; `to_value` has its tag.

    Raises `LocalProtocolError` for a status, a reason or a header that cannot be written.
    """
    more = b""
    if headers:
        more = b"\r\n".join((b"", *Headers(headers).lines))
    return b"%b%b\r\nFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\nCSeq: %b%b\r\nContent-Length: %d\r\n\r\n%b" % (
        _status_line(status, reason),
        vias,
        from_value,
        to_value,
        call_id,
        cseq,
        more,
        len(body),
        body,
    )
