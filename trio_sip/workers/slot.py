"""A slot: where one message at a time is worked on.

Most routes never wait. So a slot begins a route by hand, and only if it does wait are deadline, turn and statistics
taken care of; a route that runs through costs none of that.

The cancel scope belongs to the slot, not to the message. Each message in turn lives in it, and only when something
cancels it (drop, deadline) is it left and a new one entered.
"""

from __future__ import annotations

import math
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol

import trio

from trio_sip.message.frame import Frame
from trio_sip.workers.handler import Job

__all__ = ["SLOT", "Owner", "Slot", "Watch"]

SLOT: ContextVar[Slot] = ContextVar("trio_sip.slot")
"""The slot this task works in; the tasks a route starts see it too. Set once for a worker, not for each message."""


class Watch:
    """What the event loop is busy with right now, for the watchdog's thread to read."""

    __slots__ = ("job",)

    def __init__(self) -> None:
        self.job: Job | Frame | None = None
        """A message in its route, or a frame in pre-routing."""


class Owner(Protocol):
    """Whose slot it is: a worker group, or a receive task."""

    def waits(self, slot: Slot, job: Job) -> float:
        """A route begins to wait. Returns when it has to end, in seconds of Trio's clock (`inf`: never)."""

    def goes_on(self, slot: Slot, job: Job) -> None:
        """That route has ended."""

    def count_failed(self) -> None: ...

    def count_timed_out(self) -> None: ...

    def count_dropped(self) -> None: ...


class Slot:
    """A cancel scope, and the message that lives in it."""

    __slots__ = ("_dropping", "_waiting", "group", "message", "owner", "scope", "variables", "watch")

    def __init__(self, owner: Owner, group: str | None, watch: Watch) -> None:
        self.owner = owner
        self.group = group
        """The name of the worker group, None in a receive task."""
        self.watch = watch
        self.message: Job | Frame | None = None
        """What is worked on here: a message in its route, a frame in pre-routing, or the last of them."""
        self.variables: tuple[Frame, dict[str, object]] | None = None
        """What a script keeps under a name while it works on one message, and the frame that message came as."""
        self.scope = trio.CancelScope()
        self._waiting: Job | None = None
        self._dropping = False

    async def serve(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` in this slot's scope until it returns, in a new scope each time a message was cancelled."""
        SLOT.set(self)
        while True:
            try:
                with trio.CancelScope() as self.scope:
                    await work()
                    return
            except Exception as error:
                # A route's own error that came along with its cancellation; any other is a bug of ours.
                if self._waiting is None:
                    raise
                self._end_with(error)
            except BaseException as error:
                self._cut_off(error)
                raise
            self._settle()

    def begin(self, job: Job) -> Coroutine[Any, Any, None] | None:
        """Run a route until it ends or waits. Returns None if it has ended, else what has to be awaited."""
        self.watch.job = self.message = job
        route = job.start()
        try:
            trap = route.send(None)
        except StopIteration:
            job.finished()
        except Exception as error:
            self.owner.count_failed()
            job.failed(error)
        else:
            return self._wait(job, route, trap)
        return self._leave() if self._dropping else None

    async def drop(self) -> NoReturn:
        """Cancel the message that lives here. Does not return."""
        self._dropping = True
        self.scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
        raise RuntimeError("drop() cannot end the message from within a shielded cancel scope")

    async def _wait(self, job: Job, route: Coroutine[Any, Any, None], trap: Any) -> None:
        self._waiting = job
        self.scope.deadline = self.owner.waits(self, job)
        try:
            await _resume(route, trap, self.watch, job)
        except Exception as error:
            self._end_with(error)
        else:
            self._waiting = None
            if self._dropping:
                self._count_dropped(job)
            elif self.scope.cancel_called:  # it was shielded, or took no notice
                self.owner.count_timed_out()
                job.timed_out()
            else:
                job.finished()
        finally:
            self.scope.deadline = math.inf
            self.owner.goes_on(self, job)
        if self.scope.cancel_called:
            await self._leave()

    async def _leave(self) -> None:
        """Leave the scope: it was cancelled, and the message that lived in it has ended all the same."""
        self._dropping = False
        await trio.lowlevel.checkpoint()

    def _cut_off(self, error: BaseException) -> None:
        """The server ends, and the message with it; a route's own error that came along is no reason to fail."""
        own, rest = error.split(Exception) if isinstance(error, BaseExceptionGroup) else (None, error)
        if own is not None and rest is not None and self._waiting is not None:
            self._end_with(own)
            raise rest
        if self._waiting is not None:
            self.owner.count_timed_out()
            self._waiting.timed_out()

    def _settle(self) -> None:
        """The scope was cancelled and left: say so to the message that lived in it."""
        job, self._waiting = self._waiting, None
        dropping, self._dropping = self._dropping, False
        if job is None:
            return
        if dropping:
            self._count_dropped(job)
        else:
            self.owner.count_timed_out()
            job.timed_out()

    def _count_dropped(self, job: Job) -> None:
        self.owner.count_dropped()
        job.dropped()

    def _end_with(self, error: Exception) -> None:
        job, self._waiting = self._waiting, None
        self.owner.count_failed()
        if job is not None:
            job.failed(error)


@types.coroutine
def _resume(route: Coroutine[Any, Any, None], trap: Any, watch: Watch, job: Job) -> Generator[Any, Any, None]:
    """Go on with a route that was begun by hand, as `await` would."""
    while True:
        watch.job = None
        try:
            value = yield trap
        except BaseException as error:
            watch.job = job
            resume: Callable[[Any], Any] = route.throw
            value = error
        else:
            watch.job = job
            resume = route.send
        try:
            trap = resume(value)
        except StopIteration:
            return
