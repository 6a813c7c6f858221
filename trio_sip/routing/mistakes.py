"""What is wrong in a routes file and can be told before a message comes.

`find_mistakes` finds what cannot be meant: a coroutine nobody awaits, an `await` of what returns nothing, a
pseudo-variable there is none of. `find_doubts` finds what may be meant, and is only told by
`trio-sip check`: a group that is not there, a call that blocks. Both say nothing where they would have to guess.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from trio_sip.routing import pseudo_variables
from trio_sip.routing.pseudo_variables import HOLE
from trio_sip.routing.scope import Method
from trio_sip.routing.source import Call, Source

__all__ = ["Finding", "find_doubts", "find_mistakes"]

_WORDS = "trio_sip.kamailio"
_AWAITED_WORDS = ("drop", "forward")

# Which argument is a format, by place and name: of a frame's method, of a word of trio_sip.kamailio.
_FORMATS = {
    "Frame.log": (0, "text"),
    "Frame.delegate": (0, "group"),
    "sworker_task": (0, "gname"),
    "xdbg": (0, "fmt"),
    "xinfo": (0, "fmt"),
    "xwarn": (0, "fmt"),
    "xerr": (0, "fmt"),
    "sl_send_reply": (1, "reason"),
    "forward": (0, "uri"),
    "pv_get": (0, "name"),
}
_GROUPS = ("Frame.delegate", "sworker_task")

_BLOCKING = {
    "time": {"sleep"},
    "socket": {"create_connection", "getaddrinfo", "getfqdn", "gethostbyaddr", "gethostbyname", "gethostbyname_ex"},
    "requests": {"delete", "get", "head", "options", "patch", "post", "put", "request"},
    "httpx": {"delete", "get", "head", "options", "patch", "post", "put", "request"},
    "subprocess": {"call", "check_call", "check_output", "run"},
    "urllib": {"urlopen"},
    "os": {"system"},
}
"""By the package a function is from."""


class Finding(NamedTuple):
    """What was found, and on which line."""

    line: int
    text: str


def find_mistakes(source: Source) -> Iterator[Finding]:
    """What cannot be meant."""
    for call in source.calls():
        text = _not_awaited(call) or _awaited_in_vain(call)
        if text:
            yield Finding(source.line_of(call.node), text)
        given = _format_of(call)
        for mistake in pseudo_variables.find_mistakes(given or ""):
            yield Finding(source.line_of(call.node), mistake)


def find_doubts(source: Source, groups: Collection[str]) -> Iterator[Finding]:
    """What may be meant, in a file whose routers have these worker groups."""
    for call in source.calls():
        text = _no_such_group(call, groups) or _blocks(call)
        if text:
            yield Finding(source.line_of(call.node), text)


def _not_awaited(call: Call) -> str | None:
    if not call.is_statement or not _has_to_be_awaited(call):
        return None
    if call.is_in_async:
        return f"{call.shown}() does nothing without await; write: await {_short(call)}"
    return (
        f"{call.shown}() does nothing in a plain def, which cannot await it: make that an 'async def', and write: "
        f"await {_short(call)}"
    )


def _has_to_be_awaited(call: Call) -> bool:
    word = _word(call.target)
    if word is not None:  # in pre-routing, which is no `async def`, drop() is not awaited
        return word in _AWAITED_WORDS and call.is_in_async
    return _is_coroutine_function(call.target)


def _awaited_in_vain(call: Call) -> str | None:
    target = call.target
    word = _word(target)
    if not call.is_awaited:
        return None
    if word is not None and word not in _AWAITED_WORDS and not _is_coroutine_function(target):
        return f"{call.shown}() is not awaited; write: {_short(call)}"
    if isinstance(target, Method) and inspect.isfunction(_function(target)) and not _is_coroutine_function(target):
        return f"{call.shown}() is not awaited; write: {_short(call)}"
    return None


def _function(target: Any) -> Any:
    return getattr(target.kind, target.name, None) if isinstance(target, Method) else target


def _is_coroutine_function(target: Any) -> bool:
    return inspect.iscoroutinefunction(_function(target))


def _short(call: Call) -> str:
    """The call as it is written, its arguments where they are few."""
    written = call.written
    return written if len(written) <= 60 else f"{call.shown}(...)"


def _word(target: Any) -> str | None:
    """Which of Kamailio's words this is. (Their module is a floor above, and known by its name only.)"""
    module = getattr(target, "__module__", None)
    return target.__name__ if inspect.isfunction(target) and module == _WORDS else None


def _name(call: Call) -> str | None:
    target = call.target
    return f"{target.kind.__name__}.{target.name}" if isinstance(target, Method) else _word(target)


def _format_of(call: Call) -> str | None:
    where = _FORMATS.get(_name(call) or "")
    return None if where is None else call.text(*where)


def _no_such_group(call: Call, groups: Collection[str]) -> str | None:
    if _name(call) not in _GROUPS:
        return None
    group = _format_of(call)
    if group is None or "$" in group or HOLE in group or group in groups:
        return None
    return (
        f"no router here has a worker group {group!r}, only {', '.join(map(repr, groups)) or 'none at all'}: what is "
        f"delegated there is processed in the receive task; declare WorkerGroup({group!r}), or mend the name"
    )


def _blocks(call: Call) -> str | None:
    target = call.target
    package = (getattr(target, "__module__", None) or "").split(".")[0].lstrip("_")
    package = {"posix": "os", "nt": "os"}.get(package, package)
    name = getattr(target, "__name__", "")
    if isinstance(target, Method) or name not in _BLOCKING.get(package, ()) or not call.runs_in_the_loop:
        return None
    if not call.is_in_async:
        return f"{call.shown}() holds up all other messages, and pre-routing cannot wait: do it in a route, in a worker"
    if (package, name) == ("time", "sleep"):
        return f"{call.shown}() holds up all other messages; write: await trio.sleep(...)"
    return f"{call.shown}() holds up all other messages; write: await trio.to_thread.run_sync({call.shown}, ...)"
