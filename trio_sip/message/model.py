"""A request or a response: what was received, and what a script makes of it.

The facts a router decides and answers by (top Via, tags, Call-ID, CSeq) are read once, when the message is parsed, and
stay as they were received whatever a script does to `headers` afterwards. `headers`, `uri` and `body` are what goes on
when the message is forwarded; the header lines are split only when somebody asks for them.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message import shapes
from trio_sip.message.headers import Headers
from trio_sip.message.uri import Uri
from trio_sip.message.values import CSeq, NameAddr, Via, parse_decimal, split_commas

__all__ = ["MAX_EXPIRES", "Message", "Request", "Response"]

MAX_EXPIRES = 2**32 - 1


class Message:
    """What requests and responses have in common. Made by `trio_sip.message.parse`, not by hand."""

    __slots__ = (
        "_body",
        "_headers",
        "_lines",
        "body_at",
        "body_end",
        "data",
        "facts",
        "layout",
        "match",
        "method",
        "plain_via",
        "start_changed",
    )

    data: bytes
    """The message as it was received."""
    method: str
    """The method; of a response, the one its CSeq names."""
    layout: shapes.Layout
    """Its header names."""
    match: re.Match[bytes] | None
    """How a shape has read it, with groups such as `via`; None where the general reader did."""
    facts: tuple[Any, ...]
    """Raw values, in the order of the properties below; what follows them is the reader's own."""
    plain_via: bool
    """Whether the topmost Via stands alone on its line and has nothing out of the ordinary: `shapes.PLAIN_VIA`."""
    start_changed: bool
    """Whether a script has set what stands in the start line."""
    body_at: int
    body_end: int
    _headers: Headers | None
    _lines: list[bytes] | None
    _body: bytes | None
    _plain_via: ClassVar[re.Pattern[bytes]]

    @property
    def keys(self) -> tuple[str, ...]:
        """The `header_key` of each header line received, in order."""
        return self.layout.keys

    @property
    def top_via(self) -> bytes:
        """The topmost via-parm, raw."""
        via: bytes = self.facts[0]
        return via

    @property
    def sent_by(self) -> Address:
        """The host and port the topmost Via names; the port is the transport's default where it names none."""
        return shapes.sent_by_address(self.facts[shapes.SENT_BY])

    @property
    def branch(self) -> bytes:
        """The branch of the topmost Via, or `b""`."""
        branch: bytes | None = self.facts[shapes.BRANCH]
        if branch is not None:
            return branch
        return (self._top_via().branch or "").encode("utf-8", "surrogateescape")

    @property
    def wants_rport(self) -> bool:
        """Whether the topmost Via asks for `rport` (RFC 3581)."""
        via = self.top_via
        if self.plain_via:
            return via.endswith(b";rport") or b";rport;" in via
        return self._top_via().wants_rport

    def _top_via(self) -> Via:
        return Via.parse(self.top_via.decode("utf-8", "surrogateescape"))

    @property
    def from_value(self) -> bytes:
        """The value of From, raw."""
        value: bytes = self.facts[2]
        return value

    @property
    def from_tag(self) -> bytes | None:
        tag: bytes | None = self.facts[3]
        return tag

    @property
    def to_value(self) -> bytes:
        """The value of To, raw."""
        value: bytes = self.facts[4]
        return value

    @property
    def to_tag(self) -> bytes | None:
        tag: bytes | None = self.facts[5]
        return tag

    @property
    def call_id_value(self) -> bytes:
        value: bytes = self.facts[6]
        return value

    @property
    def cseq_value(self) -> bytes:
        value: bytes = self.facts[7]
        return value

    @property
    def call_id(self) -> str:
        """The Call-ID (RFC 3261 20.8)."""
        return self.call_id_value.decode("utf-8", "surrogateescape")

    @property
    def cseq_number(self) -> int:
        """The number in CSeq (RFC 3261 20.16)."""
        return CSeq.parse(self.cseq_value.decode("utf-8", "surrogateescape")).number

    @property
    def headers(self) -> Headers:
        """The header lines, to read and to change."""
        if self._headers is None:
            lines = self._lines
            self._headers = Headers.from_lines(self.keys, list(lines) if lines is not None else self._split())
        return self._headers

    @property
    def untouched(self) -> bool:
        """Whether header lines and body still are what stands in `data`."""
        return self._body is None and (self._headers is None or not self._headers.edited)

    def has(self, key: str) -> bool:
        """Whether `headers` has a line with this `header_key`, without splitting them for that."""
        return key in (self.keys if self._headers is None else self._headers.keys)

    @property
    def body_changed(self) -> bool:
        """Whether a script has set the body."""
        return self._body is not None

    @property
    def body(self) -> bytes:
        """The body, octet for octet. It may be set; Content-Length follows when the message goes on."""
        if self._body is not None:
            return self._body
        return self.data[self.body_at : self.body_end]

    @body.setter
    def body(self, body: bytes) -> None:
        self._body = bytes(body)

    def read_via(self, value: bytes) -> tuple[bytes, bytes]:
        """The topmost via-parm and its sent-by, from the value of its header line. Raises `RemoteProtocolError`."""
        plain = self._plain_via.fullmatch(value)
        if plain is not None:
            shapes.sent_by_address(plain["sent_by"])
            self.plain_via = True
            return value, plain["sent_by"]
        text = value.decode("utf-8", "surrogateescape")
        top = split_commas(text)[0] if "," in text else text
        via = Via.parse(top)
        self.plain_via = False
        return top.encode("utf-8", "surrogateescape"), str(Address(via.host, via.address_port)).encode()

    def _split(self) -> list[bytes]:
        # Only for a message without folded lines: others come with their lines.
        return self.data[: self.body_at - 4].split(b"\r\n")[1:]

    @property
    def received_lines(self) -> list[bytes]:
        """The raw header lines as they were received, whatever became of `headers`."""
        return self._lines if self._lines is not None else self._split()

    # Typed values, parsed when asked for. Each raises `RemoteProtocolError` where the header cannot be read.

    @property
    def vias(self) -> tuple[Via, ...]:
        """Every via-parm, topmost first (RFC 3261 20.42)."""
        return tuple(Via.parse(text) for text in self._elements("Via"))

    @property
    def from_(self) -> NameAddr:
        """The From header (RFC 3261 20.20)."""
        return NameAddr.parse(self.headers["From"])

    @property
    def to(self) -> NameAddr:
        """The To header (RFC 3261 20.39)."""
        return NameAddr.parse(self.headers["To"])

    @property
    def cseq(self) -> CSeq:
        """The CSeq header (RFC 3261 20.16)."""
        return CSeq(self.cseq_number, self.method)

    @property
    def contacts(self) -> tuple[NameAddr, ...]:
        """Every Contact (RFC 3261 20.10); the `*` of an unregistration is not one of them."""
        return tuple(NameAddr.parse(text) for text in self._elements("Contact") if text != "*")

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """Every Route, topmost first (RFC 3261 20.34)."""
        return tuple(NameAddr.parse(text) for text in self._elements("Route"))

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """Every Record-Route, topmost first (RFC 3261 20.30)."""
        return tuple(NameAddr.parse(text) for text in self._elements("Record-Route"))

    @property
    def expires(self) -> int | None:
        """The Expires header in seconds (RFC 3261 20.19), or None."""
        value = self.headers.get("Expires")
        return None if value is None else parse_decimal(value, MAX_EXPIRES, "Expires")

    def _elements(self, name: str) -> list[str]:
        return [text for line in self.headers.get_all(name) for text in split_commas(line)]


class Request(Message):
    """A SIP request (RFC 3261 7.1)."""

    __slots__ = ("_uri", "_uri_text", "regular")

    _plain_via = shapes.PLAIN_VIA
    regular: bool
    """Whether a shape has read it and found nothing that needs a second look: a SIP URI, a plain Via with a branch,
    Max-Forwards not 0, no Route, no Proxy-Require, one Via."""
    _uri_text: str | None
    _uri: Uri | None

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255, or None where there is none."""
        value = self.facts[shapes.MAX_FORWARDS]
        return None if value is None else int(value)

    @property
    def uri(self) -> Uri:
        """The Request-URI. It may be set, to a `Uri` or to text."""
        if self._uri is None:
            self._uri = Uri.parse(self.uri_text)
        return self._uri

    @uri.setter
    def uri(self, uri: Uri | str) -> None:
        self._uri = Uri.parse(uri) if isinstance(uri, str) else uri
        self._uri_text = str(self._uri)
        self.start_changed = True

    @property
    def received_uri(self) -> bytes:
        """The Request-URI as it was received, raw."""
        uri: bytes | None = self.facts[shapes.URI]
        return uri if uri is not None else self.data[: self.data.find(b"\r\n")].split(b" ")[1]

    @property
    def uri_text(self) -> str:
        """The Request-URI as text: byte for byte as received until a script sets it."""
        if self._uri_text is None:
            self._uri_text = str(self.facts[shapes.URI], "ascii")
        return self._uri_text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.uri_text} Call-ID={self.call_id!r}>"


class Response(Message):
    """A SIP response (RFC 3261 7.2)."""

    __slots__ = ("_reason", "_status")

    _plain_via = shapes.PLAIN_VIA_IN_RESPONSE
    _status: int | None
    _reason: str | None

    @property
    def status(self) -> int:
        """100 to 699. It may be set."""
        if self._status is None:
            self._status = int(self.facts[shapes.STATUS])
        return self._status

    @status.setter
    def status(self, status: int) -> None:
        self._status = status
        self.start_changed = True

    @property
    def reason(self) -> str:
        """The reason phrase; it may be empty. It may be set."""
        if self._reason is None:
            self._reason = str(self.facts[shapes.REASON], "ascii")
        return self._reason

    @reason.setter
    def reason(self, reason: str) -> None:
        self._reason = reason
        self.start_changed = True

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.status} {self.reason} CSeq={self.cseq_number} {self.method} Call-ID={self.call_id!r}>"


def missing(name: str) -> RemoteProtocolError:
    """The error for a message without a header it must have."""
    return RemoteProtocolError(f"the {name} header is missing", 400)
