"""Messages to bytes.

`write_reply` makes a response to a request from the request's own raw values (RFC 3261 8.2.6.2); `write_message`
writes a request or response as it stands now.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from trio_sip.errors import LocalProtocolError
from trio_sip.message.headers import Headers, value_of
from trio_sip.message.model import Request, Response
from trio_sip.message.reasons import REASONS

__all__ = ["assemble", "start_line", "write_message", "write_reply"]


def start_line(message: Request | Response) -> bytes:
    """Request-Line or Status-Line, without its CRLF. Raises `LocalProtocolError` where it would not stay one line."""
    if message.match is not None and not message.start_changed:
        return message.data[: message.data.find(b"\r\n")]
    if isinstance(message, Request):
        first, second, third = message.method, message.uri_text, "SIP/2.0"
    else:
        if not 100 <= message.status <= 699:
            raise LocalProtocolError(f"a status code is 100 to 699, not {message.status}")
        first, second, third = "SIP/2.0", str(message.status), message.reason
    if len(second) + len(third) > _CACHED_LENGTH:
        return _one_line(first, second, third)
    return _one_line_remembered(first, second, third)


def _one_line(*words: str) -> bytes:
    text = " ".join(words)
    if "\r" in text or "\n" in text or "\0" in text:
        raise LocalProtocolError(f"a start line may not hold CR, LF or NUL: {text[:80]!r}")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"a start line may not hold a lone surrogate: {text[:80]!r}") from error


_CACHED_LENGTH = 256
_one_line_remembered = lru_cache(maxsize=2048)(_one_line)


def write_message(message: Request | Response) -> bytes:
    """The message as it stands: untouched header lines byte for byte, in order; Content-Length always right."""
    return assemble(message, message.headers.lines.copy())


def assemble(message: Request | Response, lines: list[bytes]) -> bytes:
    """The message with these header lines: those of `message.headers`, more or fewer. `lines` is used up."""
    body = message.body
    headers = message.headers
    if "content-length" not in headers.keys:
        lines.append(b"Content-Length: %d" % len(body))
    elif headers.edited or message.body_changed or message.body_end != len(message.data):
        _correct_length(headers, lines, len(body))
    return b"\r\n".join((start_line(message), *lines, b"", body))


def _correct_length(headers: Headers, lines: list[bytes], length: int) -> None:
    """Leave one Content-Length, and that right; a line that is right stays as it is."""
    pairs = zip(headers.keys, headers.lines, strict=True)
    first, *more = [line for key, line in pairs if key == "content-length"]
    for line in more:
        lines.remove(line)
    if (value_of(first).lstrip("0") or "0") != str(length):
        lines[lines.index(first)] = b"Content-Length: %d" % length


@lru_cache(maxsize=512)
def _status_line(status: int, reason: str | None) -> bytes:
    if not 100 <= status <= 699:
        raise LocalProtocolError(f"a status code is 100 to 699, not {status}")
    phrase = REASONS.get(status, "Unknown") if reason is None else reason
    return b"%b\r\nVia: " % _one_line(f"SIP/2.0 {status} {phrase}")


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
    start = _status_line(status, reason)
    if not (from_value and to_value and call_id and cseq):
        return _write_fragment(start, vias, (from_value, to_value, call_id, cseq), headers)
    if not headers and not body:
        return b"%b%b\r\nFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\nCSeq: %b\r\nContent-Length: 0\r\n\r\n" % (
            start, vias, from_value, to_value, call_id, cseq,
        )  # fmt: skip
    more = b"\r\n".join((b"", *_further(headers)))
    return b"%b%b\r\nFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\nCSeq: %b%b\r\nContent-Length: %d\r\n\r\n%b" % (
        start, vias, from_value, to_value, call_id, cseq, more, len(body), body,
    )  # fmt: skip


def _further(headers: Iterable[tuple[str, str]]) -> list[bytes]:
    written = Headers(headers)
    for key in written.keys:
        if key in _WRITTEN_BY_US:
            raise LocalProtocolError(f"the {key} header of a reply is written by reply() itself, and cannot be given")
    return written.lines


def _write_fragment(start: bytes, vias: bytes, values: tuple[bytes, ...], headers: Iterable[tuple[str, str]]) -> bytes:
    """The answer to a request that has not all it must have: what is missing there is missing here."""
    named = zip((b"From", b"To", b"Call-ID", b"CSeq"), values, strict=True)
    lines = [b"%b: %b" % (name, value) for name, value in named if value]
    return b"\r\n".join((start + vias, *lines, *_further(headers), b"Content-Length: 0\r\n\r\n"))


_WRITTEN_BY_US = frozenset({"via", "from", "to", "call-id", "cseq", "content-length"})
