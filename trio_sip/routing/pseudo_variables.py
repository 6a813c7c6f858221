"""Kamailio's pseudo-variables, in log lines and in group names: `"[$Tf] $rm from [$si:$sp]"`.

A format is compiled once. Of a frame, values are taken from its bytes, without a parse; of a request or response, from
the message as it is now. What is not there is `<null>`, as Kamailio prints it. A name that is not known is an error
where the routes file is loaded (`find_mistakes`); in a format made only when a message comes, it stays as it is written
and is warned of once.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator
from functools import lru_cache

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message.grammar import is_token
from trio_sip.routing.pseudo_values import VALUES, Getter, Message, header_getter, variable_getter

__all__ = ["HOLE", "NULL", "PSEUDO_VARIABLES", "Message", "expand", "find_mistakes", "value_of"]

logger = logging.getLogger("trio_sip.routing")

NULL = "<null>"
PSEUDO_VARIABLES = (*(f"${name}" for name in VALUES), "$hdr(name)", "$var(name)", "$$")
"""All there are."""
HOLE = "\0"
"""Stands in a format for a part that is not known before a message comes; what touches it is not judged."""

MAX_WARNED = 256
"""Names warned of, at most: a format may hold what a peer wrote."""

# $$, $name, $name(argument), or the same in parentheses, then perhaps with [index]
_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)"
    r"|\((?P<whole>(?P<long>[A-Za-z0-9_]+)(?:\((?P<long_argument>[^()]*)\))?(?:\[(?P<index>-?[0-9]{1,3}|\*)\])?)\)"
    r"|(?P<open>\([^\s)]{0,40}\)?)"
    r"|(?P<with>hdr|var)\((?P<argument>[^()]*)\)"
    r"|(?P<name>[A-Za-z0-9_]+))",
    re.ASCII,
)
_WITH_ARGUMENT = {"hdr": "$hdr(Subject)", "var": "$var(count)"}
# What Kamailio has under another name, or what does here what it does there.
_INSTEAD = {
    "ruri": "ru",
    "from": "fu",
    "to": "tu",
    "src_ip": "si",
    "rsi": "rs",
    "bs": "cl",
    "avp": "var(name)",
    "xavp": "var(name)",
    "vn": "var(name)",
    "vz": "var(name)",
    "hfl": "hdr(name)",
}

_warned: set[str] = set()


class _UnknownError(Exception):
    """Says what is wrong with one reference."""


def expand(message: Message, text: str) -> str:
    """`text` with its pseudo-variables replaced. One that is not known stays as it is, and is warned of once."""
    return "".join([part if isinstance(part, str) else _show(part, message) for part in _compiled(text)])


def value_of(message: Message, name: str) -> str | int | None:
    """The value of one pseudo-variable, `"$fU"` or `"$hdr(Subject)"`; None where there is nothing.

    Raises `LocalProtocolError` where it is not a pseudo-variable, or more than one.
    """
    return _read(_single(name), message)


def find_mistakes(text: str) -> Iterator[str]:
    """What is wrong with each pseudo-variable of `text` that is none."""
    for match in _REFERENCE.finditer(text):
        if HOLE in match[0] or text[match.end() : match.end() + 1] == HOLE:
            continue
        try:
            _getter(match)
        except _UnknownError as mistake:
            yield str(mistake)


def _show(getter: Getter, message: Message) -> str:
    value = _read(getter, message)
    if value is None:
        return NULL
    text = str(value)
    # Bytes that are not UTF-8 were kept as surrogates, which no log can write.
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read(getter: Getter, message: Message) -> str | int | None:
    try:
        return getter(message)
    except RemoteProtocolError:
        return None


@lru_cache(maxsize=512)
def _compiled(text: str) -> tuple[str | Getter, ...]:
    parts: list[str | Getter] = []
    at = 0
    for match in _REFERENCE.finditer(text):
        parts += [text[at : match.start()], _getter_or_text(match)]
        at = match.end()
    return (*parts, text[at:])


def _getter_or_text(match: re.Match[str]) -> str | Getter:
    try:
        return _getter(match)
    except _UnknownError as mistake:
        if match[0] not in _warned and len(_warned) < MAX_WARNED:
            _warned.add(match[0])
            logger.warning("%s; it stays as it is", mistake)
        return match[0]


@lru_cache(maxsize=512)
def _single(name: str) -> Getter:
    match = _REFERENCE.fullmatch(name)
    try:
        getter = None if match is None else _getter(match)
    except _UnknownError as mistake:
        raise LocalProtocolError(str(mistake)) from None
    if getter is None or isinstance(getter, str):
        raise LocalProtocolError(f"{name!r} is not one pseudo-variable, as '$fU' or '$hdr(Subject)' is")
    return getter


def _getter(match: re.Match[str]) -> str | Getter:
    if match["dollar"]:
        return "$"
    if match["open"]:
        raise _UnknownError(
            f"{match[0]} is not understood: between $( and ) stands a pseudo-variable, perhaps with an index, as in "
            "$(hdr(Route)[-1]); there are no transformations, Python does that"
        )
    name = match["name"] or match["with"] or match["long"]
    argument = match["argument"] if match["whole"] is None else match["long_argument"]
    index = match["index"]
    if name in _WITH_ARGUMENT:
        return _with_argument(name, argument, index)
    if name not in VALUES:
        raise _UnknownError(_unknown(name))
    if match["whole"] is not None and (argument is not None or index is not None):
        raise _UnknownError(f"{match[0]}: ${name} has neither a name in parentheses nor an index")
    return VALUES[name]


def _with_argument(name: str, argument: str | None, index: str | None) -> Getter:
    example = _WITH_ARGUMENT[name]
    if not argument:
        raise _UnknownError(f"${name} needs a name in parentheses, as in {example}")
    if name == "var":
        if index is not None:
            raise _UnknownError(f"$var({argument}) has no index")
        return variable_getter(argument)
    if not is_token(argument):
        raise _UnknownError(f"$hdr({argument}): {argument!r} is not a header name")
    return header_getter(argument, index)


def _unknown(name: str) -> str:
    near = _INSTEAD.get(name) or _nearest(name)
    hint = f"; did you mean ${near}?" if near else "."
    return f"${name} is not a pseudo-variable{hint} There are {' '.join(PSEUDO_VARIABLES[:-1])}; a dollar is $$"


def _nearest(name: str) -> str | None:
    known = [*VALUES, *_WITH_ARGUMENT]
    same = [other for other in known if other.lower() == name.lower()]
    near = same or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return None if not near else f"{near[0]}(name)" if near[0] in _WITH_ARGUMENT else near[0]
