"""`trio-sip serve`: a server from its first line to its last, and the signals that end it.

The first SIGTERM or Ctrl-C drains, the second stops at once. A route that clings to its task (by a shielded
scope, or a thread that does not return) is waited for `HOLD_ON` seconds past its time, and no longer.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from typing import overload

import trio

import trio_sip
from trio_sip.cli.output import printable, say
from trio_sip.errors import ListenError
from trio_sip.routing.router import Router
from trio_sip.server import FLUSH_SECONDS, Server, serve

__all__ = ["HOLD_ON", "STOPPED", "ServerRun"]

STOPPED = 1
"""Exit status of a server that was not let end in order."""
HOLD_ON = 2.0
"""Seconds after which a server that cannot be cancelled is ended by the system."""


class ServerRun(trio.TaskStatus[Server]):
    """One run of a server: `status = await ServerRun(...).run()`."""

    def __init__(
        self, name: str, router: Router, listen: Sequence[str], *, grace: float, watchdog: float | None
    ) -> None:
        self._name = name
        self._router = router
        self._listen = listen
        self._grace = grace
        self._watchdog = watchdog
        self._server: Server | None = None
        self._status = 0
        self._forced: threading.Timer | None = None

    async def run(self) -> int:
        """Serve until a signal; the exit status. Raises `ListenError`."""
        failure: ListenError | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            # This is what the receiver leaves behind: a signal that comes when all is drained does not spoil the end.
            signal.signal(number, signal.SIG_IGN)
        try:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                    try:
                        await serve(self._router, listen=self._listen, watchdog=self._watchdog, task_status=self)
                    except ListenError as error:  # out of the nursery, which would wrap it
                        failure = error
                    nursery.cancel_scope.cancel()
        finally:
            self._force_after(None)
        if failure is not None:
            raise failure
        self._sum_up()
        return self._status

    @overload
    def started(self: trio.TaskStatus[None]) -> None: ...

    @overload
    def started(self, value: Server) -> None: ...

    def started(self, value: Server | None = None) -> None:
        """The server listens: say so, in one line."""
        assert value is not None
        self._server = value
        listeners = ", ".join(map(str, value.listeners))
        groups = ", ".join(_workers(name, group.statistics().workers) for name, group in value.groups.items())
        name = f"trio-sip {trio_sip.__version__}: {printable(self._name)}"
        say(f"{name} listens on {listeners}; groups {groups or 'none'}")

    async def _obey(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        number = await anext(signals)
        if self._server is not None:
            self._server.shutdown(self._grace)
            say(f"trio-sip: {_signal_name(number)}, draining for up to {self._grace:g} s")
            self._force_after(self._grace + FLUSH_SECONDS + HOLD_ON)
            await anext(signals)
        self._status = STOPPED
        self._force_after(HOLD_ON)
        everything.cancel()

    def _force_after(self, seconds: float | None) -> None:
        if self._forced is not None:
            self._forced.cancel()
        if seconds is not None:
            self._forced = threading.Timer(seconds, _end_by_force)
            self._forced.daemon = True
            self._forced.start()

    def _sum_up(self) -> None:
        if self._server is None:
            return
        counted = self._server.statistics()
        received, groups = counted.reception, list(counted.groups.values())
        say(
            f"trio-sip: {'stopped' if self._status == 0 else 'stopped at once'};"
            f" {counted.routing.requests} requests, {counted.routing.responses} responses,"
            f" {received.shed + sum(group.shed for group in groups)} shed,"
            f" {received.timed_out + sum(group.timed_out for group in groups)} timed out,"
            f" {received.failed + sum(group.failed for group in groups)} failed"
        )


def _workers(name: str, number: int) -> str:
    return f"{printable(name)} ({number} worker{'' if number == 1 else 's'})"


def _signal_name(number: int) -> str:
    return signal.Signals(number).name


def _end_by_force() -> None:
    say("trio-sip: a route cannot be cancelled; ended without it")
    os._exit(STOPPED)
