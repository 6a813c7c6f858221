"""A request being routed: what `request_route` gets, and what it can do with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NoReturn

from trio_sip.address import Destination
from trio_sip.errors import LocalProtocolError, RemoteProtocolError, TransportError
from trio_sip.message import model
from trio_sip.message.frame import Frame
from trio_sip.message.uri import Uri
from trio_sip.message.write import write_reply
from trio_sip.proxy.branch import branch_for
from trio_sip.proxy.forward import forwarded_request, own_via
from trio_sip.proxy.route_set import next_destination, request_uri
from trio_sip.proxy.via import further_vias, reply_address, rport_mark, stamp
from trio_sip.routing.core import RETRY_AFTER, Core
from trio_sip.routing.in_work import InWork
from trio_sip.workers.slot import Slot

__all__ = ["Request", "Route"]

logger = logging.getLogger("trio_sip.routing")

Route = Callable[["Request"], Coroutine[Any, Any, None]]
"""An asynchronous callable that decides on a request."""


class Request(InWork, model.Request):
    """One request, in the route that decides on it.

    A route ends a request by `reply`, `forward` or `drop`. A route that returns without any of them is a mistake: the
    request is answered 500, and a warning names the route.
    """

    __slots__ = ("_core", "_ended", "_route", "_slot", "frame")

    _route: Route

    def __init__(self, frame: Frame, slot: Slot | None, core: Core) -> None:
        self.frame = frame
        self._slot = slot
        self._core = core
        self._ended: str | None = None

    # What can be done with it

    def reply(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer it, back over the flow it came on (RFC 3261 8.2.6, 18.2.2). Does not wait.

        The To tag is the same for a retransmission. `headers` are (name, value) pairs; a `body` wants a Content-Type
        among them. Provisional answers (1xx) may be many, the final one is the last.

        Raises `LocalProtocolError` for an ACK, for a second final answer, after `forward`, and for values that would
        not be SIP, or for a header `reply` writes itself; `TransportError` where the answer is too long for UDP. After
        `drop` nothing is sent.
        """
        if self._ended is not None and self._was_dropped(f"answered {status}"):
            return
        if self.method == "ACK":
            raise LocalProtocolError("an ACK is never answered (RFC 3261 17)")
        via, _, from_value, from_tag, to_value, to_tag, call_id, cseq, *_ = self.facts
        if to_tag is None and status != 100:
            to_value = b"%b;tag=%b" % (to_value, self._core.identifiers.digest(call_id + (from_tag or b"")))
        flow = self.frame._flow
        usual = self.regular and via.endswith(b";rport")
        vias = via + rport_mark(flow.remote) if usual else self._stamped_vias()
        data = write_reply(status, reason, vias, from_value, to_value, call_id, cseq, headers, body)
        address = None if usual or flow.reliable else reply_address(self, flow.remote)
        if address is not None:
            self._core.egress.send_soon(Destination(flow.transport, *address), data, flow)
        else:
            try:
                flow.send(data)
            except TransportError:
                if not flow.reliable:
                    raise
                # The connection it came on is gone: 18.2.2 has us open one to the port its Via names.
                self._core.egress.send_soon(Destination("tcp", flow.remote.host, self.sent_by.port), data)
        if status >= 200:
            self._ended = "answered"
        self._core.counted.replied += 1

    def _stamped_vias(self) -> bytes:
        stamped = stamp(self, self.frame._flow.remote)
        if self.plain_via and self.layout.vias == 1:
            return stamped
        return b"\r\nVia: ".join((stamped, *further_vias(self)))

    async def forward(self, target: Uri | str | None = None) -> None:
        """Send it on without state (RFC 3261 16.6, 16.11): this one message, once. Its responses find their way by Via.

        `target` becomes the Request-URI. The next hop is the topmost Route, where there is one, else the Request-URI.
        Waits only for a name to be resolved or a connection to be opened.

        Raises `TransportError` where it cannot be sent, and the route may try elsewhere; `RemoteProtocolError` (483)
        where Max-Forwards is 0; `LocalProtocolError` where it was answered or forwarded already.
        """
        if self._was_dropped("forwarded"):
            return
        core = self._core
        came_by = self.frame._flow
        branch = branch_for(self, core.identifiers)
        if target is not None:
            self.uri = request_uri(_target(target))
        to = next_destination(self)
        flow = core.egress.flow_nowait(to, came_by)
        if flow is None:
            flow = await core.egress.flow_to(to, came_by)
            if self._was_dropped("forwarded"):  # it may have ended meanwhile
                return
        via = own_via(flow.transport, core.egress.sent_by(flow), branch)
        flow.send(forwarded_request(self, came_by.remote, via, reliable=came_by.reliable))
        self._ended = "forwarded"
        core.counted.forwarded += 1

    async def drop(self) -> NoReturn:
        """End it: everything started for it is cancelled, nothing more is sent for it. Does not return."""
        self._ended = "dropped"
        assert self._slot is not None  # only a request nobody has parsed has none, and that one has no route
        await self._slot.drop()

    def own_tag(self) -> bytes:
        """The To tag of our answers to this request: the same for a retransmission and for the ACK of an answer."""
        return self._core.identifiers.digest(self.call_id_value + (self.from_tag or b""))

    def refuse(self, error: RemoteProtocolError) -> None:
        """Answer what `error` says, unless this is an ACK or has ended already."""
        self._answer(error.status, None if error.status != 400 else _short(error), error.headers)

    def _answer(self, status: int, reason: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer for a route that did not, unless this is an ACK or has ended already."""
        if self._ended is not None or self.method == "ACK":
            return
        try:
            self.reply(status, reason, headers)
        except TransportError as error:
            logger.info("the answer %d to %s is lost: %s", status, self.source, error)

    def _was_dropped(self, wanted: str) -> bool:
        """Whether it was dropped. Raises `LocalProtocolError` where it has ended otherwise."""
        if self._ended is None:
            return False
        if self._ended == "dropped":
            return True
        raise LocalProtocolError(f"this {self.method} was {self._ended} already; it cannot be {wanted}")

    # The ends a worker calls

    def start(self) -> Coroutine[Any, Any, None]:
        """The route, called."""
        return self._route(self)

    def finished(self) -> None:
        """The route has returned."""
        if self._ended is None and self.method != "ACK":
            logger.warning(
                "%s returned without reply, forward or drop; answered 500 (%s, Call-ID %s)",
                describe(self._route), self.method, self.call_id,
            )  # fmt: skip
            self._answer(500)

    def failed(self, error: Exception) -> None:
        """The route has raised."""
        name = describe(self._route)
        if isinstance(error, RemoteProtocolError):
            logger.warning("%s: %s (%s, Call-ID %s)", name, error, self.method, self.call_id)
            self._answer_as_told(error)
        elif isinstance(error, TransportError):
            logger.warning("%s: %s (%s, Call-ID %s)", name, error, self.method, self.call_id)
            self._answer(503)
        else:
            logger.error("%s raised on %s, Call-ID %s", name, self.method, self.call_id, exc_info=error)
            self._answer(500)

    def _answer_as_told(self, error: RemoteProtocolError) -> None:
        """Answer what a route has raised; 500 where that cannot be answered."""
        try:
            self.refuse(error if 300 <= error.status <= 699 else RemoteProtocolError(str(error)))
        except LocalProtocolError as wrong:
            logger.error("%s raised an error that cannot be answered: %s", describe(self._route), wrong)
            self._answer(500)

    def timed_out(self) -> None:
        """The time was up, or the server ends."""
        held_back = self._core.notes.check(self._route)
        if held_back is not None:
            logger.warning(
                "%s was cancelled, its time was up (%s, Call-ID %s; %d more like this)",
                describe(self._route), self.method, self.call_id, held_back,
            )  # fmt: skip
        self._answer(503, headers=(("Retry-After", str(RETRY_AFTER)),))

    def dropped(self) -> None:
        """The route has asked for its end."""


def _target(target: Uri | str) -> Uri:
    """The script's target. What is wrong with it is the script's fault, not the peer's."""
    if isinstance(target, Uri):
        return target
    try:
        return Uri.parse(target)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"forward to {target!r}: {error}") from error


def _short(error: RemoteProtocolError) -> str:
    """What is wrong, as a reason phrase: visible ASCII."""
    text = str(error).encode("ascii", "replace").decode()
    return "Bad Request: " + "".join(mark if mark.isprintable() else "?" for mark in text)[:120]


def describe(route: Callable[..., Any]) -> str:
    """A route as a person finds it: name, file and line."""
    code = getattr(route, "__code__", None)
    name = getattr(route, "__qualname__", repr(route))
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"
