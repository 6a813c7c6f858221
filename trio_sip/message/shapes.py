"""Reading a message in one regular expression, where its header names stand in an order seen before.

A user agent writes its headers in the same order every time. A `Shape` is one such order, compiled: it checks the head of
a message, refuses control characters, and captures at one match what a router needs. That takes a third of the time of
`trio_sip.message.parse`, which stays the authority:

- a shape is compiled from a message the general reader has accepted, and is kept only if it reads that message alike;
- what a shape does not match goes to the general reader, so a shape can make a message faster, never accept or refuse it;
- shapes are learned seldom (compiling one takes about a millisecond): an order must be seen `LEARN_AFTER` times, and the
  more often the more shapes have been compiled, so that a flood of new orders costs nothing noticeable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.limits import MAX_BODY_BYTES
from trio_sip.message.uri import Uri
from trio_sip.message.values import NameAddr, Via

if TYPE_CHECKING:
    from trio_sip.message.model import Message, Request, Response

__all__ = ["LEARN_AFTER", "MAX_SHAPES_PER_START", "PLAIN_VIA", "PLAIN_VIA_IN_RESPONSE", "Shapes", "observe_request", "observe_response", "read_request", "read_response"]

LEARN_AFTER = 8
"""How often an order is seen before it is compiled; this many times more for each shape compiled so far."""
MAX_SHAPES_PER_START = 4
"""Shapes tried for one start of a message, the latest to match first."""
MAX_STARTS = 64
"""Different starts (`OPTIONS s`, `SIP/2.0 2`) shapes are kept for."""
MAX_CANDIDATES = 256
"""Orders being counted; all are forgotten when there are more."""
MAX_SHAPE_LINES = 48
"""A message with more header lines than this is left to the general reader."""
_START_LENGTH = 9

_TOKEN = rb"[0-9A-Za-z\-.!%*_+`'~]"
# field-value without controls; `obs-text` octets pass, as they do in the general reader
_ANY = rb"[\t -~\x80-\xff]*+"
# sent-protocol LWS sent-by
_SENT_BY = rb"SIP/2\.0/(?:UDP|TCP) (?P<sent_by>(?:[0-9A-Za-z.\-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{1,5}+)?+)"
_BRANCH = rb";branch=(?P<branch>" + _TOKEN + rb"++)"
# The Via a client writes: a branch, and `rport` without value before or behind it
_VIA = rb"(?P<via>" + _SENT_BY + rb"(?P<rport>;rport)?+" + _BRANCH + rb"(?(rport)|(?:;rport)?+))"
# The same as it comes back in a response, with what the server noted in it
_RPORT = rb";rport(?:=[0-9]{1,5}+)?+"
_VIA_IN_RESPONSE = (
    rb"(?P<via>" + _SENT_BY + _BRANCH + rb"(?P<rport>" + _RPORT + rb")?+"
    rb"(?:;received=[0-9A-Fa-f.:]++)?+(?(rport)|(?:" + _RPORT + rb")?+))"
)  # fmt: skip


def _name_addr(name: bytes) -> bytes:
    """name-addr, or an addr-spec without parameters; then at most `;tag=` and a token."""
    words = rb"(?:" + _TOKEN + rb"++ ++)*+" + _TOKEN + rb"*+"
    address = rb"(?:(?:\"[ !#-\[\]-~]*+\" *+|" + words + rb")<[!-;=?-~]++>|sips?:[\w.@:%+\-]++)"
    tag = rb"(?:;tag=(?P<" + name + rb"_tag>" + _TOKEN + rb"++))?+"
    return rb"(?P<" + name + rb"_value>(?P<" + name + rb"_addr>" + address + rb")" + tag + rb")"


_REQUEST_LINE = rb"(?P<method>[A-Z]{1,20}+) (?P<uri>[!-~]++) SIP/2\.0"
_STATUS_LINE = rb"SIP/2\.0 (?P<status>[1-6][0-9][0-9]) (?P<reason>[ -~]*+)"
_VALUES = {
    "from": _name_addr(b"from"),
    "to": _name_addr(b"to"),
    "call-id": rb"(?P<call_id>[!-~]++)",
    "max-forwards": rb"(?P<max_forwards>[0-9]{1,2}+)",
    "content-length": rb"(?P<content_length>[0-9]{1,5}+)",
}
_IN_REQUEST = _VALUES | {"via": _VIA, "cseq": rb"(?P<cseq_value>(?P<cseq>[0-9]{1,9}+) (?P=method))"}
_IN_RESPONSE = _VALUES | {"via": _VIA_IN_RESPONSE, "cseq": rb"(?P<cseq_value>(?P<cseq>[0-9]{1,9}+) (?P<method>[A-Z]{1,20}+))"}
_COMMON = (
    "via", "sent_by", "branch", "from_value", "from_addr", "from_tag", "to_value", "to_addr", "to_tag",
    "call_id", "cseq_value", "cseq", "method", "content_length",
)  # fmt: skip
_REQUEST_GROUPS = (*_COMMON, "uri", "max_forwards")
_RESPONSE_GROUPS = (*_COMMON, "status", "reason")

Groups = tuple[Any, ...]


class Shape:
    """One order of header names, compiled."""

    __slots__ = ("groups", "keys", "match")

    def __init__(self, pattern: bytes, wanted: tuple[str, ...], keys: tuple[str, ...]) -> None:
        # `absent` never takes part in a match: a header that is not in this order reads as None.
        compiled = re.compile(pattern + rb"\r\n(?P<absent>(?!))?+")
        self.match: Callable[[bytes], re.Match[bytes] | None] = compiled.match
        absent = compiled.groupindex["absent"]
        self.groups = tuple([compiled.groupindex.get(name, absent) for name in wanted])
        self.keys = keys


class Shapes:
    """The shapes learned so far, by the first bytes of the messages they read. Bounded in every direction."""

    __slots__ = ("_candidates", "_wanted", "by_start", "compiled")

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._candidates: dict[tuple[bytes, tuple[str, ...]], int] = {}
        self.by_start: dict[bytes, list[Shape]] = {}
        self.compiled = 0

    def find(self, data: bytes) -> tuple[Shape, re.Match[bytes]] | None:
        """The shape that matches the head of `data`, and its match."""
        known = self.by_start.get(data[:_START_LENGTH])
        if known is None:
            return None
        for at, shape in enumerate(known):
            match = shape.match(data)
            if match is not None:
                if at:
                    known.insert(0, known.pop(at))
                return shape, match
        return None

    def observe(self, message: Message, first_line: bytes, values: dict[str, bytes]) -> Shape | None:
        """Count the order of a message the general reader accepted; returns a new shape when it is time for one."""
        candidate = (message.data[:_START_LENGTH], message.keys)
        if len(message.keys) > MAX_SHAPE_LINES:
            return None
        seen = self._candidates.get(candidate, 0) + 1
        if seen == 1 and len(self._candidates) >= MAX_CANDIDATES:
            self._candidates.clear()
        self._candidates[candidate] = seen
        if seen < LEARN_AFTER * (1 + self.compiled):
            return None
        self._candidates[candidate] = 0
        self.compiled += 1
        return _compile(message, first_line, values, self._wanted)

    def keep(self, shape: Shape, data: bytes) -> None:
        """Try this shape first from now on, for messages that start as `data` does."""
        start = data[:_START_LENGTH]
        if start not in self.by_start and len(self.by_start) >= MAX_STARTS:
            self.by_start.clear()
        known = self.by_start.setdefault(start, [])
        known.insert(0, shape)
        del known[MAX_SHAPES_PER_START:]


PLAIN_VIA = re.compile(_VIA)
PLAIN_VIA_IN_RESPONSE = re.compile(_VIA_IN_RESPONSE)
_requests = Shapes(_REQUEST_GROUPS)
_responses = Shapes(_RESPONSE_GROUPS)


def read_request(request: Request, data: bytes, shapes: Shapes = _requests) -> bool:
    """Fill in `request` if a shape matches; False leaves it to the general reader."""
    found = shapes.find(data)
    return found is not None and _take_request(request, data, *found)


def read_response(response: Response, data: bytes, shapes: Shapes = _responses) -> bool:
    """Fill in `response` if a shape matches; False leaves it to the general reader."""
    found = shapes.find(data)
    return found is not None and _take_response(response, data, *found)


def observe_request(request: Request, shapes: Shapes = _requests) -> None:
    """Learn from a request the general reader has read."""
    shape = shapes.observe(request, _REQUEST_LINE, _IN_REQUEST)
    match = shape and shape.match(request.data)
    if shape and match:
        twin = type(request).__new__(type(request))
        if _take_request(twin, request.data, shape, match) and _alike(twin, request, ("uri_text", "max_forwards")):
            shapes.keep(shape, request.data)


def observe_response(response: Response, shapes: Shapes = _responses) -> None:
    """Learn from a response the general reader has read."""
    shape = shapes.observe(response, _STATUS_LINE, _IN_RESPONSE)
    match = shape and shape.match(response.data)
    if shape and match:
        twin = type(response).__new__(type(response))
        if _take_response(twin, response.data, shape, match) and _alike(twin, response, ("status", "reason")):
            shapes.keep(shape, response.data)


def _compile(
    message: Message, first_line: bytes, values: dict[str, bytes], wanted: tuple[str, ...]
) -> Shape | None:
    parts = [first_line]
    captured: set[str] = set()
    for key, line in zip(message.keys, message.received_lines, strict=True):
        name, _, value = line.partition(b":")
        space = b" " if value.startswith(b" ") else b""
        pattern = _ANY
        if key in values and key not in captured:
            captured.add(key)
            pattern = values[key]
        parts.append(re.escape(name + b":" + space) + pattern)
    return Shape(rb"\r\n".join(parts) + rb"\r\n", wanted, message.keys)


def _alike(twin: Message, message: Message, extra: tuple[str, ...]) -> bool:
    names = (
        "keys", "body_at", "body_end", "method", "top_via", "sent_by", "branch", "wants_rport", "plain_via", "from_value", "from_tag",
        "to_value", "to_tag", "call_id", "cseq_value", "cseq_number", *extra,
    )  # fmt: skip
    return all(getattr(twin, name) == getattr(message, name) for name in names)


def _take_request(request: Request, data: bytes, shape: Shape, match: re.Match[bytes]) -> bool:
    groups = match.group(*shape.groups)
    try:
        if not _take(request, data, shape, match, groups):
            return False
        request._uri_text = uri = groups[14].decode()
        request._uri = Uri.parse(uri)
    except RemoteProtocolError:
        return False
    request.max_forwards = None if groups[15] is None else int(groups[15])
    return True


def _take_response(response: Response, data: bytes, shape: Shape, match: re.Match[bytes]) -> bool:
    groups = match.group(*shape.groups)
    try:
        if not _take(response, data, shape, match, groups):
            return False
    except RemoteProtocolError:
        return False
    response.status = int(groups[14])
    response.reason = groups[15].decode()
    return True


def _take(message: Message, data: bytes, shape: Shape, match: re.Match[bytes], groups: Groups) -> bool:
    (
        via, sent_by, branch, from_value, from_addr, from_tag, to_value, to_addr, to_tag,
        call_id, cseq_value, cseq, method, content_length,
    ) = groups[:14]  # fmt: skip
    body_at = match.end()
    if content_length is None:
        body_end = len(data)
    else:
        body_end = body_at + int(content_length)
        if body_end > len(data) or body_end - body_at > MAX_BODY_BYTES:
            return False
    _check_address(from_addr)
    _check_address(to_addr)
    message.data = data
    message.keys = shape.keys
    message._lines = message._headers = message._body = None
    message.body_at = body_at
    message.body_end = body_end
    message.top_via = via
    message.sent_by = _sent_by(sent_by)
    message.branch = branch
    message.wants_rport = via.endswith(b";rport") or b";rport;" in via
    message.plain_via = True
    message.from_value = from_value
    message.from_tag = from_tag
    message.to_value = to_value
    message.to_tag = to_tag
    message.call_id = call_id.decode()
    message.cseq_value = cseq_value
    message.cseq_number = int(cseq)
    message.method = method.decode()
    return True


@lru_cache(maxsize=4096)
def _check_address(text: bytes) -> None:
    NameAddr.parse(text.decode())


@lru_cache(maxsize=4096)
def _sent_by(text: bytes) -> Address:
    """`host [":" port]` as an address, by the rules of `Via`. Raises `RemoteProtocolError`."""
    via = Via.parse(f"SIP/2.0/UDP {text.decode()}")
    return Address(via.host, via.address_port)
