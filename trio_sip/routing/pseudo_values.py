"""Where the values of pseudo-variables come from: the bytes of a frame, or a request or response as it is now."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from trio_sip.message.frame import Frame
from trio_sip.message.grammar import QUOTED_STRING, write_host
from trio_sip.message.peek import line_pattern, peek_lines
from trio_sip.message.uri import Uri
from trio_sip.message.values import NameAddr
from trio_sip.message.write import start_line, write_message
from trio_sip.routing.request import Request
from trio_sip.routing.response import Response
from trio_sip.routing.script_variables import script_variables

__all__ = ["VALUES", "Getter", "Message", "header_getter", "variable_getter"]

Message = Frame | Request | Response
Getter = Callable[[Message], str | int | None]
"""May raise `RemoteProtocolError`: what is malformed is not there."""

_QUOTED = re.compile(QUOTED_STRING)


def _header(message: Message, name: str) -> str | None:
    return message.header(name) if isinstance(message, Frame) else message.headers.get(name)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# The start line


def _start_line(frame: Frame) -> list[str]:
    return _text(frame.data[: frame.data.find(b"\r\n")]).split(" ", 2)


def _uri_text(message: Message) -> str | None:
    if isinstance(message, Frame):
        words = _start_line(message)
        return words[1] if message.is_request and len(words) == 3 else None
    return message.uri_text if isinstance(message, Request) else None


def _uri(message: Message) -> Uri | None:
    if isinstance(message, Request):
        return message.uri
    text = _uri_text(message)
    return None if text is None else Uri.parse(text)


def _status(message: Message) -> int | None:
    return None if isinstance(message, Request) else message.status


def _reason(message: Message) -> str | None:
    if isinstance(message, Frame):
        words = _start_line(message)
        return words[2] if not message.is_request and len(words) == 3 else None
    return message.reason if isinstance(message, Response) else None


# Addresses


def _uri_in(name: str) -> Callable[[Message], Uri | None]:
    def get(message: Message) -> Uri | None:
        value = _header(message, name)
        return None if value is None else NameAddr.parse(value).uri

    return get


def _whole(uri: Callable[[Message], Uri | None]) -> Getter:
    def get(message: Message) -> str | None:
        found = uri(message)
        return None if found is None else str(found)

    return get


def _user(uri: Callable[[Message], Uri | None]) -> Getter:
    def get(message: Message) -> str | None:
        found = uri(message)
        return None if found is None else found.user

    return get


def _host(uri: Callable[[Message], Uri | None]) -> Getter:
    def get(message: Message) -> str | None:
        found = uri(message)
        return write_host(found.host) if found is not None and found.host else None

    return get


def _port(message: Message) -> int | None:
    uri = _uri(message)
    return None if uri is None else uri.address_port


def _display_name(name: str) -> Getter:
    """With its quotes, as it was received."""

    def get(message: Message) -> str | None:
        value = _header(message, name)
        if value is None:
            return None
        quoted = _QUOTED.match(value)
        if quoted is not None:
            return quoted[0]
        return value[: value.index("<")].strip() if NameAddr.parse(value).display_name else None

    return get


def _tag(name: str) -> Getter:
    def get(message: Message) -> str | None:
        value = _header(message, name)
        return None if value is None else NameAddr.parse(value).tag or None

    return get


# Header lines


def _line(name: str) -> Getter:
    return lambda message: _header(message, name)


def _cseq(message: Message) -> str | None:
    words = (_header(message, "CSeq") or "").split()
    return words[0] if words else None


def _content_length(message: Message) -> str | int | None:
    if not isinstance(message, Frame) and message.body_changed:
        return len(message.body)
    return _header(message, "Content-Length")


def header_getter(name: str, index: str | None) -> Getter:
    """The header line of that name, the first or the one at `index`; `-1` is the last, `*` all with commas between."""
    if index is None:
        return _line(name)
    pattern = line_pattern(name.lower())

    def values(message: Message) -> list[str]:
        if isinstance(message, Frame):
            return [_text(value) for _, value in peek_lines(message.data, pattern)]
        return message.headers.get_all(name)

    if index == "*":
        return lambda message: ",".join(values(message)) or None
    number = int(index)

    def get(message: Message) -> str | None:
        found = values(message)
        return found[number] if -len(found) <= number < len(found) else None

    return get


# The whole


def _body(message: Message) -> str:
    body = message.data.partition(b"\r\n\r\n")[2] if isinstance(message, Frame) else message.body
    return _text(body)


def _bytes(message: Message) -> bytes:
    if isinstance(message, Frame) or (message.untouched and message.data.startswith(start_line(message) + b"\r\n")):
        return message.data
    return write_message(message)


def variable_getter(name: str) -> Getter:
    """`$var(name)`."""

    def get(message: Message) -> str | int | None:
        frame = message if isinstance(message, Frame) else message.frame
        value = script_variables(frame).get(name)
        return value if value is None or isinstance(value, (str, int)) else str(value)

    return get


_from, _to = _uri_in("From"), _uri_in("To")

VALUES: dict[str, Getter] = {
    "rm": lambda message: message.method,
    "ru": _uri_text,
    "rU": _user(_uri),
    "rd": _host(_uri),
    "rp": _port,
    "rs": _status,
    "rr": _reason,
    "fu": _whole(_from),
    "fU": _user(_from),
    "fd": _host(_from),
    "fn": _display_name("From"),
    "ft": _tag("From"),
    "tu": _whole(_to),
    "tU": _user(_to),
    "td": _host(_to),
    "tn": _display_name("To"),
    "tt": _tag("To"),
    "ci": _line("Call-ID"),
    "cs": _cseq,
    "ct": _line("Contact"),
    "cl": _content_length,
    "ua": _line("User-Agent"),
    "si": lambda message: message.source.host,
    "sp": lambda message: message.source.port,
    "Ri": lambda message: message.local.host,
    "Rp": lambda message: message.local.port,
    "pr": lambda message: message.transport,
    "proto": lambda message: message.transport,
    "rb": _body,
    "ml": lambda message: len(_bytes(message)),
    "mb": lambda message: _text(_bytes(message)),
    "Tf": lambda message: time.ctime(),
    "Ts": lambda message: int(time.time()),
    "null": lambda message: None,
}
"""By name, without the `$`; `$hdr(name)`, `$var(name)` and `$$` come on top."""
