"""Reading a message in one regular expression, where its header names stand in an order seen before.

A user agent writes its headers in the same order every time. A `Shape` is one such order, compiled: it checks the
head of a message, refuses control characters, and captures at one match what a router needs. That takes a
fraction of the time of `trio_sip.message.parse`, which stays the authority:

- a shape is compiled from a message the general reader has accepted, and is kept only if it reads that message alike;
- what a shape does not match goes to the general reader, so a shape can make a message faster, never accept or refuse
  it;
- a Via or an address that is out of the ordinary is captured whole and read by the general rules;
- compiling takes one to two milliseconds, so an order must have been seen `LEARN_AFTER` times, and more often the more
  shapes have been compiled: a flood of new orders is learned ever more slowly.

What is remembered of it by its value (URI, addresses, sent-by) is short in a shape, so that what is remembered stays
bounded; longer ones are left to the general reader. The patterns use possessive classes but no possessive groups,
which CPython before 3.11.5 gets wrong; and `(?:x|)` for what is optional, which made a match a fifth faster than
`(?:x)?`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.limits import MAX_BODY_BYTES
from trio_sip.message.peek import METHODS
from trio_sip.message.uri import Uri
from trio_sip.message.values import NameAddr, Via

if TYPE_CHECKING:
    from trio_sip.message.model import Message, Request, Response

__all__ = [
    "BRANCH",
    "CONTENT_LENGTH",
    "CSEQ",
    "LEARN_AFTER",
    "MAX_FORWARDS",
    "MAX_SHAPES",
    "NEXT_MARK",
    "NEXT_PROTOCOL",
    "NEXT_VIA",
    "PLAIN_VIA",
    "PLAIN_VIA_IN_RESPONSE",
    "REASON",
    "REQUESTS",
    "RESPONSES",
    "SENT_BY",
    "STATUS",
    "URI",
    "Layout",
    "Shape",
    "Shapes",
    "facts_of",
    "read_address",
    "read_request",
    "read_response",
    "sent_by_address",
]

LEARN_AFTER = 8
"""How often an order is seen before it is compiled; that often again for every `LEARN_AFTER` shapes compiled before."""
MAX_SHAPES = 256
"""Orders kept; all are forgotten when there are more."""
MAX_CANDIDATES = 256
"""Orders being counted; all are forgotten when there are more."""
MAX_SHAPE_LINES = 48
"""A message with more header lines than this is left to the general reader."""
MAX_ORDER_BYTES = 2048
"""A message whose header names are longer than this, all together, is left to the general reader."""
MAX_STARTS = 64
START_LENGTH = 9
"""Bytes that tell `OPTIONS s` from `INVITE si` from `SIP/2.0 2`."""

_TOKEN = rb"[0-9A-Za-z\-.!%*_+`'~]"
# field-value without controls; octets above ASCII pass, as they do in the general reader
_ANY = rb"[\t -~\x80-\xff]*+"
# sent-protocol LWS sent-by
_HOST_PORT = rb"(?:[0-9A-Za-z.\-]{1,255}+|\[[0-9A-Fa-f:.]{1,60}+\])(?::[0-9]{1,5}|)"
_SENT_BY = rb"SIP/2\.0/(?:UDP|TCP) (?P<sent_by>" + _HOST_PORT + rb")"
_BRANCH = rb";branch=(?P<branch>z9hG4bK" + _TOKEN + rb"++)"
# The Via a client writes: a branch, and `rport` without value before or behind it
_VIA = rb"(?P<via>" + _SENT_BY + rb"(?:(?P<rport>;rport)|)" + _BRANCH + rb"(?(rport)|(?:;rport|)))"
# The same as it comes back in a response, with what the server noted in it
_RPORT = rb";rport(?:=[0-9]{1,5}|)"
_VIA_IN_RESPONSE = (
    rb"(?P<via>" + _SENT_BY + _BRANCH + rb"(?:(?P<rport>" + _RPORT + rb")|)"
    rb"(?:;received=[0-9A-Fa-f.:]++|)(?(rport)|(?:" + _RPORT + rb"|)))"
)  # fmt: skip
_NAMES = re.compile(rb"\r\n([^:\r\n]{1,64}+):")
# The Via below ours in a response, if it is as `rport` and `received` are written by us
_NEXT_VIA = (
    rb"(?P<next_via>(?P<next_protocol>SIP/2\.0/(?:UDP|TCP) " + _HOST_PORT + rb");branch=" + _TOKEN + rb"++"
    rb"(?P<next_mark>(?:;rport=[0-9]{1,5}|)(?:;received=[0-9A-Fa-f.:]{1,60}+|)(?=\r\n))|" + _ANY + rb")"
)  # fmt: skip


def _or_any(pattern: bytes, name: bytes) -> bytes:
    return rb"(?:" + pattern + rb"|(?P<" + name + rb">" + _ANY + rb"))"


def _sip_uri(host: bytes) -> bytes:
    """A SIP URI of user and host, in which only the host is left to be judged."""
    return rb"sip:(?:[0-9A-Za-z\-_.!~*'()&=+$]{1,64}+@|)(?P<" + host + rb">" + _HOST_PORT + rb")"


def _name_addr(name: bytes) -> bytes:
    """name-addr, or an addr-spec without parameters; then at most `;tag=` and a token."""
    display = rb"(?:\"[ !#-\[\]-~]{0,128}+\" {0,8}+|" + _TOKEN[:-1] + rb" ]{0,128}+)"
    plain = display + rb"<" + _sip_uri(name + b"_host") + rb">"
    other = display + rb"<[!-;=?-~]{1,256}+>|sips?:[0-9A-Za-z_.@:%+\-]{1,256}+"
    tag = rb"(?:;tag=(?P<" + name + rb"_tag>" + _TOKEN + rb"++)|)"
    value = rb"(?P<" + name + rb"_value>(?:" + plain + rb"|(?P<" + name + rb"_addr>" + other + rb"))" + tag + rb")"
    return _or_any(value, name + b"_any")


_REQUEST_LINE = rb"(?P<method>[A-Z]{1,20}+) (?P<uri>" + _sip_uri(b"uri_host") + rb"(?= )|[!-~]{1,256}+) SIP/2\.0"
_STATUS_LINE = rb"SIP/2\.0 (?P<status>[1-6][0-9][0-9]) (?P<reason>[ -~]*+)"
_VALUES = {
    "from": _name_addr(b"from"),
    "to": _name_addr(b"to"),
    "call-id": rb"(?P<call_id>[!-~]++)",
    "max-forwards": rb"(?P<max_forwards>[1-9][0-9]?+)",
    "content-length": rb"(?P<content_length>[0-9]{1,5}+)",
}
_IN_REQUEST = _VALUES | {
    "via": _or_any(_VIA, b"via_any"),
    "cseq": rb"(?P<cseq_value>(?P<cseq>[0-9]{1,9}+) (?P=method))",
}
_IN_RESPONSE = _VALUES | {
    "via": _or_any(_VIA_IN_RESPONSE, b"via_any"),
    "next via": _NEXT_VIA,
    "cseq": rb"(?P<cseq_value>(?P<cseq>[0-9]{1,9}+) (?P<method>[A-Z]{1,20}+))",
}
PLAIN_VIA = re.compile(_VIA)
"""What `Message.plain_via` means, in a request."""
PLAIN_VIA_IN_RESPONSE = re.compile(_VIA_IN_RESPONSE)
_COMMON = (
    "via", "sent_by", "from_value", "from_tag", "to_value", "to_tag", "call_id", "cseq_value",
    "method", "content_length", "from_host", "to_host", "branch", "cseq",
)  # fmt: skip
SENT_BY = _COMMON.index("sent_by")
CONTENT_LENGTH = _COMMON.index("content_length")
BRANCH = _COMMON.index("branch")
CSEQ = _COMMON.index("cseq")
URI = STATUS = len(_COMMON)
MAX_FORWARDS = REASON = URI + 1
NEXT_VIA = URI + 2
NEXT_PROTOCOL, NEXT_MARK = NEXT_VIA + 1, NEXT_VIA + 2
"""Where these stand in `Message.facts`."""
_COMPARED = (
    "keys", "body_at", "body_end", "method", "top_via", "sent_by", "branch", "wants_rport", "plain_via",
    "from_value", "from_tag", "to_value", "to_tag", "call_id", "cseq_value", "cseq_number",
)  # fmt: skip

Match = re.Match[bytes]


class Layout:
    """The header names of a message: what can be said of it without a look at the values."""

    __slots__ = ("is_usual", "keys", "vias")

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.vias = keys.count("via")
        self.is_usual = self.vias == 1 and "route" not in keys and "proxy-require" not in keys
        """Whether a request like this needs no look at loops, Routes and extensions."""


_layout_remembered = lru_cache(maxsize=1024)(Layout)


def layout_of(keys: tuple[str, ...]) -> Layout:
    """The layout of a message with these keys."""
    return _layout_remembered(keys) if sum(map(len, keys)) <= MAX_ORDER_BYTES else Layout(keys)


class Shape:
    """One order of header names, compiled."""

    __slots__ = ("groups", "layout", "match")

    def __init__(self, pattern: bytes, wanted: tuple[str, ...], keys: tuple[str, ...]) -> None:
        # `absent` never takes part in a match: a header that is not in this order reads as None.
        compiled = re.compile(pattern + rb"\r\n(?:(?P<absent>(?!))|)")
        self.match: Callable[[bytes], Match | None] = compiled.match
        absent = compiled.groupindex["absent"]
        self.groups = tuple([compiled.groupindex.get(name, absent) for name in wanted])
        self.layout = layout_of(keys)


class Shapes:
    """The shapes learned so far. Bounded in every direction."""

    __slots__ = ("_first_line", "_seen", "_values", "_wanted", "by_order", "compiled", "latest")

    def __init__(self, first_line: bytes, values: dict[str, bytes], wanted: tuple[str, ...]) -> None:
        self._first_line = first_line
        self._values = values
        self._wanted = wanted
        self._seen: dict[tuple[bytes, ...], int] = {}
        self.latest: dict[bytes, Shape] = {}
        """By the first bytes of a message, the shape that matched last: tried before any look at the order."""
        self.by_order: dict[tuple[bytes, ...], Shape] = {}
        self.compiled = 0

    def find(self, data: bytes) -> Shape | None:
        """The shape for the order of names in `data`; it may not match for other reasons."""
        shape = self.by_order.get(_order_of(data)) if self.by_order else None
        if shape is not None:
            if len(self.latest) >= MAX_STARTS:
                self.latest.clear()
            self.latest[data[:START_LENGTH]] = shape
        return shape

    def learn(self, message: Message, take: Callable[[Any, bytes, Shape, Match], bool], more: tuple[str, ...]) -> None:
        """Count the order of a message the general reader accepted, and compile it when it is time."""
        if len(message.keys) > MAX_SHAPE_LINES:
            return
        order = _order_of(message.data)
        if sum(map(len, order)) > MAX_ORDER_BYTES:
            return
        seen = self._seen.get(order, 0) + 1
        if seen == 1 and len(self._seen) >= MAX_CANDIDATES:
            self._seen.clear()
        self._seen[order] = seen
        if seen != LEARN_AFTER * (1 + self.compiled // LEARN_AFTER):
            return
        self.compiled += 1
        shape = self._compile(message)
        match = shape.match(message.data)
        twin = type(message).__new__(type(message))
        if match and take(twin, message.data, shape, match) and _alike(twin, message, more):
            if len(self.by_order) >= MAX_SHAPES:
                self.by_order.clear()
            self.by_order[order] = shape

    def _compile(self, message: Message) -> Shape:
        parts = [self._first_line]
        vias = 0
        for key, line in zip(message.keys, message.received_lines, strict=True):
            if key == "via":
                vias += 1
                key = ("via", "next via")[vias - 1] if vias <= 2 else "further via"
            pattern = self._values.get(key, _ANY)
            parts.append(re.escape(line.partition(b":")[0]) + rb":[ \t]*+" + pattern)
        return Shape(rb"\r\n".join(parts) + rb"\r\n", self._wanted, message.keys)


REQUESTS = Shapes(_REQUEST_LINE, _IN_REQUEST, (*_COMMON, "uri", "max_forwards", "uri_host"))
RESPONSES = Shapes(_STATUS_LINE, _IN_RESPONSE, (*_COMMON, "status", "reason", "next_via", "next_protocol", "next_mark"))


def read_request(request: Request, data: bytes) -> bool:
    """Fill in `request` if a shape matches; False leaves it to the general reader."""
    shape = REQUESTS.latest.get(data[:START_LENGTH])
    match = None if shape is None else shape.match(data)
    if match is None:
        shape = REQUESTS.find(data)
        match = None if shape is None else shape.match(data)
    return shape is not None and match is not None and _take_request(request, data, shape, match)


def read_response(response: Response, data: bytes) -> bool:
    """Fill in `response` if a shape matches; False leaves it to the general reader."""
    shape = RESPONSES.latest.get(data[:START_LENGTH])
    match = None if shape is None else shape.match(data)
    if match is None:
        shape = RESPONSES.find(data)
        match = None if shape is None else shape.match(data)
    return shape is not None and match is not None and _take_response(response, data, shape, match)


def facts_of(
    via: tuple[bytes, bytes],
    from_: tuple[bytes, bytes | None],
    to: tuple[bytes, bytes | None],
    call_id: bytes,
    cseq: bytes,
    max_forwards: bytes | None = None,
) -> tuple[Any, ...]:
    """`Message.facts` of a message no shape has read: values and tags, via-parm and sent-by."""
    nothing = (None,) * (NEXT_MARK + 1)
    return (*via, *from_, *to, call_id, cseq, *nothing[8:MAX_FORWARDS], max_forwards, *nothing[NEXT_VIA:])


def learn_request(request: Request) -> None:
    """Learn from a request the general reader has read."""
    REQUESTS.learn(request, _take_request, ("uri_text", "max_forwards"))


def learn_response(response: Response) -> None:
    """Learn from a response the general reader has read."""
    RESPONSES.learn(response, _take_response, ("status", "reason"))


def _order_of(data: bytes) -> tuple[bytes, ...]:
    """The header names in order, as spelled. What is no header line is left out, and will not match."""
    return tuple(_NAMES.findall(data, 0, data.find(b"\r\n\r\n")))


def _alike(twin: Message, message: Message, more: tuple[str, ...]) -> bool:
    return all(getattr(twin, name) == getattr(message, name) for name in (*_COMPARED, *more))


def _take_request(request: Request, data: bytes, shape: Shape, match: Match) -> bool:
    facts = match.group(*shape.groups)
    (
        via, sent_by, _, _, _, _, _, _, method, length, from_host, to_host, _, _, _, _, uri_host,
    ) = facts  # fmt: skip
    request._uri = request._uri_text = None  # read when asked for
    try:
        if via is not None and from_host is not None and to_host is not None and uri_host is not None:
            _sound(sent_by, from_host, to_host, uri_host)
            request.facts = facts
            request.plain_via = True
            request.regular = shape.layout.is_usual
        else:
            _take_odd(request, facts, match)
            is_sip = Uri.parse(request.uri_text).is_sip
            request.regular = is_sip and request.plain_via and shape.layout.is_usual
    except RemoteProtocolError:
        return False
    request.method = METHODS.get(method) or method.decode()
    return _take_body(request, data, match, length, shape)


def _take_response(response: Response, data: bytes, shape: Shape, match: Match) -> bool:
    facts = match.group(*shape.groups)
    (
        via, sent_by, _, _, _, _, _, _, method, length, from_host, to_host, *_,
    ) = facts  # fmt: skip
    try:
        if via is not None and from_host is not None and to_host is not None:
            _sound(sent_by, from_host, to_host, b"")
            response.facts = facts
            response.plain_via = True
        else:
            _take_odd(response, facts, match)
    except RemoteProtocolError:
        return False
    response.method = METHODS.get(method) or method.decode()
    response._status = response._reason = None  # read when asked for
    return _take_body(response, data, match, length, shape)


def _take_body(message: Message, data: bytes, match: Match, length: bytes | None, shape: Shape) -> bool:
    message.data = data
    message.match = match
    message.start_changed = False
    message.layout = shape.layout
    message._lines = message._headers = message._body = None
    message.body_at = body_at = match.end()
    if length == b"0":
        message.body_end = body_at
    elif length is None:
        message.body_end = len(data)
    else:
        message.body_end = body_at + int(length)
        return message.body_end <= len(data) and int(length) <= MAX_BODY_BYTES
    return True


def _take_odd(message: Message, facts: tuple[Any, ...], match: Match) -> None:
    """What a pattern captured whole, read by the general rules. Raises `RemoteProtocolError`."""
    via, sent_by, from_value, from_tag, to_value, to_tag, *rest = facts
    if via is None:
        via, sent_by = message.read_via(match["via_any"].rstrip(b" \t"))
    else:
        message.plain_via = True
        sent_by_address(sent_by)
    if from_value is None:
        from_value, from_tag = read_address(match["from_any"])
    else:
        _check_address(match["from_host"], match["from_addr"])
    if to_value is None:
        to_value, to_tag = read_address(match["to_any"])
    else:
        _check_address(match["to_host"], match["to_addr"])
    message.facts = (via, sent_by, from_value, from_tag, to_value, to_tag, *rest)


def read_address(text: bytes) -> tuple[bytes, bytes | None]:
    """The value of a From or To header and its tag. Raises `RemoteProtocolError`."""
    value = text.strip(b" \t")
    tag = NameAddr.parse(value.decode("utf-8", "surrogateescape")).tag
    return value, None if tag is None else tag.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=4096)
def _sound(*hosts: bytes) -> None:
    """Check what a shape has captured as `host [":" port]`; `b""` is left out. Raises `RemoteProtocolError`."""
    for host in hosts:
        if host:
            sent_by_address(host)


def _check_address(host: bytes | None, address: bytes) -> None:
    if host is not None:
        sent_by_address(host)
    else:
        NameAddr.parse(address.decode())


@lru_cache(maxsize=4096)
def sent_by_address(text: bytes) -> Address:
    """`host [":" port]` as an address, by the rules of `Via`. Raises `RemoteProtocolError`."""
    via = Via.parse(f"SIP/2.0/UDP {text.decode()}")
    return Address(via.host, via.address_port)
