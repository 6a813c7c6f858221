"""The receive task: takes what one port or connection has received, runs pre-routing on each frame, and delegates it or
processes it in place.

There is one `Reception` for all receive tasks of a server; it is what a `Frame` asks to be delegated, dropped or shed.
Processing in place is for quick answers: a route that waits there holds up its port, so it is cancelled after
`in_place_deadline` seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, NoReturn, Protocol

import attrs
import trio

from trio_sip.address import Flow
from trio_sip.errors import LocalProtocolError
from trio_sip.message.frame import Dropped, Frame
from trio_sip.message.parse import skip_empty_lines
from trio_sip.workers.group import Group
from trio_sip.workers.handler import Handler, Job
from trio_sip.workers.rate_limit import RateLimit
from trio_sip.workers.slot import Slot, Watch

__all__ = ["Reception", "ReceptionStatistics", "Source"]

logger = logging.getLogger("trio_sip.workers")
routes_logger = logging.getLogger("trio_sip.routes")

Received = list[tuple[bytes, Flow]]


class Source(Protocol):
    """A UDP port or a stream connection, to receive from."""

    async def receive_many(self) -> Received:
        """Wait for messages; returns at least one, with the flow back to its sender."""


@attrs.define
class ReceptionStatistics:
    """What the receive tasks have done since the server was started."""

    received: int = 0
    keep_alives: int = 0
    """Datagrams that are no message and want none: empty lines, NULs, STUN."""
    delegated: int = 0
    in_place: int = 0
    dropped: int = 0
    shed: int = 0
    failed: int = 0
    timed_out: int = 0


class Reception:
    """What all receive tasks of a server share."""

    def __init__(
        self,
        groups: Mapping[str, Group],
        handler: Handler,
        pre_routing: Callable[[Frame], None],
        *,
        expand: Callable[[Frame, str], str],
        in_place_deadline: float,
        watch: Watch,
    ) -> None:
        self._groups = groups
        self._handler = handler
        self._pre_routing = pre_routing
        self._expand = expand
        self._in_place_deadline = in_place_deadline
        self._watch = watch
        self._warnings = RateLimit()
        self.counted = ReceptionStatistics()

    async def receive(self, source: Source) -> None:
        """Receive from `source` until it raises. One task for each source."""
        slot = Slot(self, None, self._watch)
        batch: Iterator[tuple[bytes, Flow]] = iter(())
        now = 0.0

        async def work() -> None:
            nonlocal batch, now
            while True:
                # A message that is cancelled ends this call; the next one goes on behind it.
                for data, flow in batch:
                    waiting = self._take(Frame(data, flow, now, self), slot)
                    if waiting is not None:
                        await waiting
                received = await source.receive_many()
                now = trio.current_time()
                batch = iter(received)
                self.counted.received += len(received)

        try:
            await slot.serve(work)
        finally:
            for data, flow in batch:  # cancelled in the midst of them
                self.counted.shed += 1
                self._handler.shed(Frame(data, flow, now, self))

    def _take(self, frame: Frame, slot: Slot) -> Coroutine[Any, Any, None] | None:
        """Pre-route one frame, and process it here unless it is done. Returns what has to be awaited, if anything."""
        if frame._data[:1] < b"!" and not self._is_message(frame):
            self.counted.keep_alives += 1
            return None
        self._watch.job = frame
        try:
            self._pre_routing(frame)
        except Dropped:
            pass
        except Exception as error:
            self._pre_routing_failed(frame, error)
        if frame._done:
            return None
        frame._done = True
        self.counted.in_place += 1
        job = self._handler.open(frame, slot)
        return None if job is None else slot.begin(job)

    def _is_message(self, frame: Frame) -> bool:
        """Whether anything follows the empty lines this frame starts with."""
        frame._data = skip_empty_lines(frame._data)
        return frame._data[:1] >= b"!"

    def _pre_routing_failed(self, frame: Frame, error: Exception) -> None:
        self.counted.failed += 1
        if not frame._done:
            frame._done = True
            self._handler.pre_routing_failed(frame, error)
        else:
            logger.error(
                "pre-routing raised on %r, Call-ID %s, after it was done with it",
                frame, frame.call_id, exc_info=error,
            )  # fmt: skip

    # What a frame can ask for

    def delegate(self, frame: Frame, name: str, xdata: object) -> bool:
        """See `Frame.delegate`."""
        if frame._done:
            self._refuse(frame, name, "the frame was delegated, dropped or processed before")
            return False
        group = self._groups.get(name)
        if group is None:
            group = self._groups.get(self._expand(frame, name)) if "$" in name else None
            if group is None:
                self._refuse(frame, name, f"there is no such group, only {', '.join(self._groups) or 'none at all'}")
                return False
        frame._xdata = xdata
        refused = group.offer(frame)
        if refused is None:
            frame._done = True
            self.counted.delegated += 1
            return True
        self._refuse(frame, name, f"it is {refused}")
        return False

    def drop(self, frame: Frame) -> NoReturn:
        """See `Frame.drop`."""
        self._check_pre_routing(frame, "drop")
        if not frame._done:
            frame._done = True
            self.counted.dropped += 1
        raise Dropped

    def shed(self, frame: Frame) -> NoReturn:
        """See `Frame.shed`."""
        self._check_pre_routing(frame, "shed")
        if not frame._done:
            frame._done = True
            self.counted.shed += 1
            self._handler.shed(frame)
        raise Dropped

    def log(self, frame: Frame, text: str) -> None:
        """See `Frame.log`."""
        if routes_logger.isEnabledFor(logging.INFO):
            routes_logger.info("%s", self._expand(frame, text))

    def _check_pre_routing(self, frame: Frame, what: str) -> None:
        if self._watch.job is not frame:
            raise LocalProtocolError(
                f"frame.{what}() is for pre-routing; a route says await request.drop(), or request.reply(503)"
            )

    def _refuse(self, frame: Frame, name: str, why: str) -> None:
        suppressed = self._warnings.check((name, why))
        if suppressed is not None:
            more = f" ({suppressed} more like this)" if suppressed else ""
            logger.warning("not delegated to group %r: %s; processing continues in the receive task%s", name, why, more)

    # Processing in place: this is the owner of the receive tasks' slots

    def waits(self, slot: Slot, job: Job) -> float:
        return trio.current_time() + self._in_place_deadline

    def goes_on(self, slot: Slot, job: Job) -> None:
        pass

    def count_failed(self) -> None:
        self.counted.failed += 1

    def count_timed_out(self) -> None:
        self.counted.timed_out += 1

    def count_dropped(self) -> None:
        self.counted.dropped += 1
