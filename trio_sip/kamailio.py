"""Kamailio's words, for routes ported from a Kamailio script.

    from trio_sip.kamailio import drop, sworker_task, xinfo

    @router.pre_routing
    def pre_routing(frame):
        if sworker_task("default"):
            xinfo("delegated [$Tf] [$si:$sp]")
            drop()

They act on the message being processed: the frame in pre-routing, the request or response in its route and in the
tasks that route has started, while it runs. Anywhere else they raise `LocalProtocolError`; a task that outlives its
route, in a nursery of your own, finds another message, and has to be given what it needs. What is 1 and -1 in
Kamailio is True and False. In a route `drop` and `forward` are awaited. Formats, group names, reasons and targets may
hold pseudo-variables.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from trio_sip.errors import LocalProtocolError, RemoteProtocolError, TransportError
from trio_sip.message.frame import Frame
from trio_sip.message.uri import Uri
from trio_sip.routing.pseudo_variables import Message, expand, value_of
from trio_sip.routing.request import Request
from trio_sip.routing.response import Response
from trio_sip.routing.script_variables import XDATA, script_variables
from trio_sip.workers.slot import SLOT

__all__ = [
    "drop",
    "forward",
    "is_method",
    "pv_get",
    "pv_set",
    "sl_send_reply",
    "sworker_active",
    "sworker_task",
    "xdbg",
    "xerr",
    "xinfo",
    "xwarn",
]

logger = logging.getLogger("trio_sip.routes")


def _message(word: str) -> Message:
    slot = SLOT.get(None)
    message = None if slot is None else slot.message
    if not isinstance(message, (Frame, Request, Response)):
        raise LocalProtocolError(
            f"{word}() acts on the message being processed, and here is none: call it in pre_routing, in a "
            "request_route or a reply_route, or in a task one of them has started"
        )
    return message


def _request(word: str, instead: str) -> Request:
    message = _message(word)
    if isinstance(message, Request):
        return message
    place = "pre-routing" if isinstance(message, Frame) else "a reply_route"
    raise LocalProtocolError(f"{word}() is for a request_route, and this is {place}; {instead}")


# The sworker module


def sworker_task(gname: str, xdata: object = None) -> bool:
    """Delegate the frame to the worker group `gname`, in pre-routing; `Frame.delegate`.

    True: the group has it, and the script says `drop()`; without that, too, it is processed once. False: no such group,
    or it is full, or this is not pre-routing; a warning says which, and processing goes on here. `xdata`, else what
    `$var(xdata)` is set to, reaches the route as `request.xdata` and as `$var(xdata)`.
    """
    message = _message("sworker_task")
    frame = message if isinstance(message, Frame) else message.frame
    return frame.delegate(gname, script_variables(frame).get(XDATA) if xdata is None else xdata)


def sworker_active() -> bool:
    """Whether a worker processes the message, rather than the receive task; `Request.worker_active`."""
    message = _message("sworker_active")
    return not isinstance(message, Frame) and message.worker_active


# The core


def drop() -> Any:
    """End the message: nothing more is done or sent for it. Does not return.

    In pre-routing it is called, `drop()`; in a route it is awaited, `await drop()`. (That is why its type is `Any`: a
    type checker that asks for the `await` would ask for it in pre-routing, too.)
    """
    return _message("drop").drop()


def forward(uri: str | None = None) -> Coroutine[Any, Any, bool]:
    """Send the request on without state, once: `await forward("sip:$rU@10.0.0.5")`; `Request.forward`.

    False where it cannot be sent, which is logged; the route may try elsewhere, or answer. `uri` becomes the
    Request-URI, where Kamailio changes the destination alone; without it the request goes where its topmost Route or
    its Request-URI says. Raises what `Request.forward` raises, but for `TransportError`.
    """
    request = _request("forward", "what is not dropped goes on by itself")
    return _forward(request, uri)


async def _forward(request: Request, uri: str | None) -> bool:
    target = None if uri is None else expand(request, uri)
    try:
        await request.forward(target)
    except TransportError as error:
        logger.warning("forward(%s): %s (%s, Call-ID %s)", target or "", error, request.method, request.call_id)
        return False
    return True


def is_method(methods: str) -> bool:
    """Whether the message has one of these methods: `is_method("INVITE|ACK")`. Of a response, the one in CSeq."""
    method = _message("is_method").method
    return method is not None and method in [name.strip() for name in methods.upper().split("|")]


def sl_send_reply(code: int | str, reason: str | None = None) -> bool:
    """Answer the request without a transaction; `Request.reply`. True; what cannot be answered raises as there."""
    request = _request("sl_send_reply", "only a request is answered, and only in its route")
    if not str(code).isdecimal():
        raise LocalProtocolError(f"sl_send_reply: a status code is a number from 100 to 699, not {code!r}")
    request.reply(int(code), None if reason is None else expand(request, reason))
    return True


# The pv module


def pv_get(name: str) -> str | int | None:
    """The value of a pseudo-variable: `pv_get("$fU")`, `pv_get("$var(count)")`; None where Kamailio has `$null`.

    Raises `LocalProtocolError` where it is none.
    """
    return value_of(_message("pv_get"), name)


def pv_set(name: str, value: str | int | None) -> None:
    """Set `$var(name)`, for as long as the message is worked on here, or `$ru`, the Request-URI; None unsets a `$var`.

    Raises `LocalProtocolError` for any other.
    """
    message = _message("pv_set")
    if name == "$ru" and isinstance(message, Request) and isinstance(value, str):
        message.uri = _uri(value)
    elif name.startswith("$var(") and name.endswith(")") and len(name) > len("$var()"):
        variables = script_variables(message if isinstance(message, Frame) else message.frame)
        variables[name[len("$var(") : -1]] = value
    else:
        raise LocalProtocolError(f"pv_set: {name} cannot be set, only $var(name), and $ru to text in a request_route")


def _uri(text: str) -> Uri:
    try:
        return Uri.parse(text)
    except RemoteProtocolError as error:  # the script's fault, not the peer's
        raise LocalProtocolError(f"pv_set: $ru cannot be {text!r}: {error}") from error


# The xlog module


def xdbg(fmt: str) -> None:
    """Log a line at level DEBUG, pseudo-variables replaced. A line break at its end is left out: a log has its own."""
    _log(logging.DEBUG, _message("xdbg"), fmt)


def xinfo(fmt: str) -> None:
    """The same at level INFO; `Frame.log`."""
    _log(logging.INFO, _message("xinfo"), fmt)


def xwarn(fmt: str) -> None:
    """The same at level WARNING."""
    _log(logging.WARNING, _message("xwarn"), fmt)


def xerr(fmt: str) -> None:
    """The same at level ERROR."""
    _log(logging.ERROR, _message("xerr"), fmt)


def _log(level: int, message: Message, fmt: str) -> None:
    if logger.isEnabledFor(level):
        logger.log(level, "%s", expand(message, fmt.removesuffix("\n")))
