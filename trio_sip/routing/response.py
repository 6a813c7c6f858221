"""A response being routed: what `reply_route` gets. It goes on by itself, by its Via, unless it is dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message import model
from trio_sip.message.frame import Frame
from trio_sip.message.parse import read_response
from trio_sip.proxy.forward import forwarded_response, next_target
from trio_sip.routing.core import Core
from trio_sip.routing.in_work import InWork
from trio_sip.workers.slot import Slot

__all__ = ["ReplyRoute", "Response"]

logger = logging.getLogger("trio_sip.routing")

ReplyRoute = Callable[["Response"], Coroutine[Any, Any, None]]
"""An asynchronous callable that looks at a response, may change or drop it."""


class Response(InWork, model.Response):
    """One response, in the reply route. When the route returns, it goes on to the next Via."""

    __slots__ = ("_core", "_dropped", "_route", "_slot", "frame")

    _route: ReplyRoute

    def __init__(self, frame: Frame, slot: Slot | None, core: Core) -> None:
        self.frame = frame
        self._slot = slot
        self._core = core
        self._dropped = False

    async def drop(self) -> NoReturn:
        """End it: it does not go on. Does not return."""
        self._dropped = True
        assert self._slot is not None
        await self._slot.drop()

    def pass_on(self) -> None:
        """Send it to the next Via (RFC 3261 16.7, 16.11). Does not wait; what cannot be sent is counted."""
        if self._dropped:
            return
        target = next_target(self)
        if target is None:
            self._core.counted.stray += 1
            return
        to, anew = target
        if to.transport == "tcp" and to != anew and not self._core.egress.is_connected(to):
            to = anew  # the connection is gone: 18.2.2 has us open one
        self._core.egress.send_soon(to, forwarded_response(self), self.frame._flow)
        self._core.counted.forwarded += 1

    def _pass_on_as_received(self) -> None:
        if not self._dropped:
            fresh = Response(self.frame, self._slot, self._core)
            read_response(fresh, self.frame.data)
            try:
                fresh.pass_on()
            except RemoteProtocolError as error:
                self._cannot_go_on(error)

    # The ends a worker calls

    def start(self) -> Coroutine[Any, Any, None]:
        """The route, called."""
        return self._route(self)

    def finished(self) -> None:
        """The route has returned."""
        try:
            self.pass_on()
        except RemoteProtocolError as error:
            self._cannot_go_on(error)
        except (LocalProtocolError, UnicodeEncodeError) as error:
            self.failed(error)  # the reply route has set what cannot be written

    def _cannot_go_on(self, error: RemoteProtocolError) -> None:
        logger.info("a response cannot go on: %s (Call-ID %s)", error, self.call_id)

    def failed(self, error: Exception) -> None:
        """The route has raised: the response goes on as it was received."""
        logger.error(
            "reply_route raised on %d, Call-ID %s; the response goes on as it was received",
            self.status, self.call_id, exc_info=error,
        )  # fmt: skip
        self._pass_on_as_received()

    def timed_out(self) -> None:
        """The time was up, or the server ends."""
        self._pass_on_as_received()

    def dropped(self) -> None:
        """The route has asked for its end."""
