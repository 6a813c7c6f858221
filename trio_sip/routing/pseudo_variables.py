"""Kamailio's pseudo-variables, in log lines and in group names: `"[$Tf] $rm from [$si:$sp]"`.

A format is compiled once. What is taken from the message is taken from its bytes, so a frame that was never parsed
can be logged as well. What is not there is `<null>`, as Kamailio prints it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from trio_sip.errors import RemoteProtocolError
from trio_sip.message.frame import Frame
from trio_sip.message.peek import peek_header
from trio_sip.message.uri import Uri
from trio_sip.message.values import NameAddr

__all__ = ["NULL", "PSEUDO_VARIABLES", "expand"]

logger = logging.getLogger("trio_sip.routing")

NULL = "<null>"

Getter = Callable[[Frame], object]
_VARIABLE = re.compile(r"\$(?:(\$)|hdr\(([^)]{1,64})\)|([A-Za-z]{2,8}))", re.ASCII)


def _uri_text(frame: Frame) -> str | None:
    if not frame.is_request:
        return None
    parts = frame.data[: frame.data.find(b"\r\n")].split(b" ")
    return parts[1].decode("utf-8", "surrogateescape") if len(parts) == 3 else None


def _uri(frame: Frame) -> Uri | None:
    text = _uri_text(frame)
    return None if text is None else Uri.parse(text)


def _name_addr(name: str) -> Callable[[Frame], NameAddr | None]:
    def get(frame: Frame) -> NameAddr | None:
        value = frame.header(name)
        return None if value is None else NameAddr.parse(value)

    return get


_from, _to = _name_addr("From"), _name_addr("To")


def _part(whole: Callable[[Frame], object], path: str) -> Getter:
    """`path` of what `whole` gives, for example `uri.user`."""

    def get(frame: Frame) -> object:
        value = whole(frame)
        for name in path.split("."):
            if value is not None:
                value = getattr(value, name)
        return value

    return get


PSEUDO_VARIABLES: dict[str, Getter] = {
    "rm": lambda frame: frame.method,
    "ru": _uri_text,
    "rU": _part(_uri, "user"),
    "rd": _part(_uri, "host"),
    "rp": _part(_uri, "address_port"),
    "rs": lambda frame: frame.status,
    "fu": _part(_from, "uri"),
    "fU": _part(_from, "uri.user"),
    "fd": _part(_from, "uri.host"),
    "fn": _part(_from, "display_name"),
    "ft": _part(_from, "tag"),
    "tu": _part(_to, "uri"),
    "tU": _part(_to, "uri.user"),
    "td": _part(_to, "uri.host"),
    "tn": _part(_to, "display_name"),
    "tt": _part(_to, "tag"),
    "ci": lambda frame: frame.call_id,
    "cs": lambda frame: (frame.header("CSeq") or "").split(" ")[0] or None,
    "ct": lambda frame: frame.header("Contact"),
    "cl": lambda frame: frame.header("Content-Length"),
    "ua": lambda frame: frame.header("User-Agent"),
    "si": lambda frame: frame.source.host,
    "sp": lambda frame: frame.source.port,
    "Ri": lambda frame: frame.local.host,
    "Rp": lambda frame: frame.local.port,
    "pr": lambda frame: frame.transport,
    "proto": lambda frame: frame.transport,
    "ml": lambda frame: len(frame.data),
    "mb": lambda frame: frame.data.decode("utf-8", "replace"),
    "Tf": lambda frame: datetime.now().astimezone().strftime("%c"),
    "Ts": lambda frame: int(datetime.now().timestamp()),
}
"""By name, without the `$`; `$hdr(name)` and `$$` come on top."""


def expand(frame: Frame, text: str) -> str:
    """`text` with its pseudo-variables replaced. One that is not known stays as it is, and is warned of once."""
    return "".join(part if isinstance(part, str) else _show(part, frame) for part in _compiled(text))


def _show(getter: Getter, frame: Frame) -> str:
    try:
        value = getter(frame)
    except RemoteProtocolError:
        value = None
    return NULL if value is None else str(value)


@lru_cache(maxsize=512)
def _compiled(text: str) -> tuple[str | Getter, ...]:
    parts: list[str | Getter] = []
    at = 0
    for match in _VARIABLE.finditer(text):
        parts += [text[at : match.start()], _getter(match)]
        at = match.end()
    return (*parts, text[at:])


def _getter(match: re.Match[str]) -> str | Getter:
    dollar, header, name = match.groups()
    if dollar:
        return "$"
    if header:
        return lambda frame: peek_header(frame.data, header)
    if name in PSEUDO_VARIABLES:
        return PSEUDO_VARIABLES[name]
    logger.warning("$%s is not a pseudo-variable, and stays as it is; known are %s", name, ", ".join(PSEUDO_VARIABLES))
    return match[0]
