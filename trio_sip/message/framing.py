"""Cut the bytes of a stream into SIP messages (RFC 3261 7.5 and 18.3).

`StreamFramer` is fed what was read, in pieces of any size, and gives whole messages: start line, header
section, empty line and as many bytes of body as Content-Length says. It looks for nothing else. Whether a
message is SIP is for the parser to say, so a bare CR, a bare LF or a NUL in the header section passes here.
Lines end with CRLF and nothing else; what a more lenient reader might take for a line or for the end of the
header section never moves a boundary.

Once a boundary is in doubt everything after it is, so a `FramingError` is terminal: answer it, then close.
Every way to cut the stream into pieces gives the same messages and the same error, and the cost is linear
in the bytes fed.
"""

from __future__ import annotations

import re

import attrs

from trio_sip.errors import RemoteProtocolError
from trio_sip.message.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_MESSAGE_BYTES

__all__ = ["FramingError", "FramingLimits", "StreamFramer"]

_END_OF_HEADERS = b"\r\n\r\n"
_MAX_LENGTH_DIGITS = 10

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")

# Content-Length  =  ( "Content-Length" / "l" ) HCOLON 1*DIGIT
# HCOLON          =  *( SP / HTAB ) ":" SWS
# The value runs to the first CRLF that is not the beginning of a folded line.
_CONTENT_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*+:([^\r]*+(?:\r(?!\n(?![ \t]))[^\r]*+)*)", re.IGNORECASE)

# LWS  =  [*WSP CRLF] 1*WSP
_LENGTH_VALUE = re.compile(rb"(?:[ \t]|\r\n[ \t])*0*+([0-9]*+)(?<=[0-9])(?:[ \t]|\r\n[ \t])*")


@attrs.frozen
class FramingLimits:
    """The largest header section, with its empty line, the largest body, and both together, in bytes."""

    header: int = MAX_HEADER_BYTES
    body: int = MAX_BODY_BYTES
    message: int = MAX_MESSAGE_BYTES


class FramingError(RemoteProtocolError):
    """The stream cannot be cut any further.

    `data` is the header section if it was complete, for the answer.
    """

    def __init__(self, message: str, status: int = 400, data: bytes | None = None) -> None:
        super().__init__(message, status)
        self.data = data


class StreamFramer:
    """The reading end of one stream.

    >>> framer = StreamFramer()
    >>> framer.feed(b"OPTIONS sip:a SIP/2.0\\r\\nl: 2\\r\\n\\r\\nhi\\r\\n")
    >>> framer.next_message()
    b'OPTIONS sip:a SIP/2.0\\r\\nl: 2\\r\\n\\r\\nhi'
    >>> framer.next_message()
    """

    __slots__ = ("_buffer", "_empty_lines", "_error", "_length", "_pongs", "_searched", "limits")

    def __init__(self, limits: FramingLimits | None = None) -> None:
        self.limits = FramingLimits() if limits is None else limits
        self._buffer = bytearray()
        self._searched = 0  # no end of headers begins before this index
        self._length = 0  # of the message at the head of the buffer; 0 until its header section is complete
        self._empty_lines = 0
        self._pongs = 0
        self._error: FramingError | None = None

    def __repr__(self) -> str:
        state = "refused" if self._error else "partial" if self.is_partial else "between messages"
        return f"<StreamFramer {state}, {len(self._buffer)} bytes buffered>"

    def feed(self, data: bytes | bytearray) -> None:
        """Take what was read. After an error nothing is kept any more."""
        if self._error is None:
            self._buffer += data

    def next_message(self) -> bytes | None:
        """Give the next whole message, or None when more bytes are needed.

        Raises `FramingError` (at this and every later call): status 413 when the body would be too large,
        400 when Content-Length is absent, not a number or contradicts itself, or the header section too
        large.
        """
        if self._error is not None:
            raise self._error
        if not self._length:
            try:
                self._length = self._measure()
            except FramingError as error:
                self._error = error
                self._buffer.clear()
                raise
        if not self._length or len(self._buffer) < self._length:
            return None
        return self._take()

    @property
    def is_partial(self) -> bool:
        """Whether a message has begun and is not complete.

        Meaningful once `next_message` has returned None.
        """
        return bool(self._buffer)

    def take_pongs(self) -> int:
        """How many pings (double CRLF between messages) to answer with a CRLF each (RFC 5626 4.4.1)."""
        pongs, self._pongs = self._pongs, 0
        return pongs

    def _take(self) -> bytes:
        message = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = self._searched = self._empty_lines = 0
        return message

    def _measure(self) -> int:
        self._skip_empty_lines()
        end = self._buffer.find(_END_OF_HEADERS, self._searched)
        header = end + len(_END_OF_HEADERS)
        if end >= 0 and header <= self.limits.header:
            return header + self._body_length(bytes(self._buffer[:header]))
        if len(self._buffer) >= self.limits.header:
            raise FramingError(f"the header section is longer than {self.limits.header} bytes")
        self._searched = max(0, len(self._buffer) - len(_END_OF_HEADERS) + 1)
        return 0

    def _skip_empty_lines(self) -> None:
        if found := _EMPTY_LINES.match(self._buffer):
            length = found.end()
            del found  # a match holds its buffer, and a held buffer cannot shrink
            del self._buffer[:length]
            pongs, self._empty_lines = divmod(self._empty_lines + length // 2, 2)
            self._pongs += pongs

    def _body_length(self, header: bytes) -> int:
        values = _CONTENT_LENGTH.findall(header, 0, len(header) - len(_END_OF_HEADERS))
        lengths = {_length(value, header) for value in values}
        if not lengths:
            raise FramingError("no Content-Length, and a stream cannot be cut without it", data=header)
        if len(lengths) > 1:
            raise FramingError("Content-Length is there more than once, with different values", data=header)
        digits = lengths.pop()
        room = min(self.limits.body, self.limits.message - len(header))
        if len(digits) > _MAX_LENGTH_DIGITS or (length := int(digits or b"0")) > room:
            raise FramingError(f"the body is longer than {room} bytes", status=413, data=header)
        return length


def _length(value: bytes, header: bytes) -> bytes:
    """The digits of one Content-Length without leading zeros; none at all mean 0."""
    found = _LENGTH_VALUE.fullmatch(value)
    if found is None:
        raise FramingError("Content-Length is not a number", data=header)
    return found[1]
