"""A thread that notices when the event loop stands still, and says which line holds it.

The event loop is asked to show itself every so often. When it does not within `limit` seconds, the stack of its
thread is logged, with the Call-ID of the message it worked on, and once more when it goes on, with for how long it
stood still. This is real time, not Trio's clock: a blocking call blocks a simulated clock as well.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from types import FrameType

import trio

from trio_sip.workers.slot import Watch

__all__ = ["Watchdog"]

logger = logging.getLogger("trio_sip.watchdog")

_STACK_DEPTH = 12
_PATROL = 0.2
"""How often the loop is asked, as a part of the limit."""


class Watchdog:
    """Watches the event loop it is started in. `run` is a task: cancel it to end the thread."""

    def __init__(self, watch: Watch, limit: float = 0.25) -> None:
        self._watch = watch
        self._limit = limit
        self._seen = threading.Event()
        self._over = threading.Event()
        self.stalls = 0
        """How often the event loop stood still for longer than the limit."""

    async def run(self) -> None:
        """Watch until cancelled."""
        thread = threading.Thread(
            target=self._patrol,
            args=(trio.lowlevel.current_trio_token(), threading.get_ident()),
            name="trio-sip watchdog",
            daemon=True,
        )
        thread.start()
        try:
            await trio.sleep_forever()
        finally:
            self._over.set()

    def _patrol(self, token: trio.lowlevel.TrioToken, watched: int) -> None:
        last_seen = time.monotonic()
        while not self._over.wait(self._limit * _PATROL):
            self._seen.clear()
            try:
                token.run_sync_soon(self._seen.set, idempotent=True)
            except trio.RunFinishedError:
                return
            left = last_seen + self._limit - time.monotonic()
            if not self._seen.wait(max(left, self._limit * _PATROL)) and not self._over.is_set():
                self._stands_still(last_seen, watched)
            last_seen = time.monotonic()

    def _stands_still(self, since: float, watched: int) -> None:
        self.stalls += 1
        job = self._watch.job
        call_id = "none" if job is None else job.call_id
        logger.warning(
            "the event loop stands still for more than %.2f s, Call-ID %s; put a call that blocks into a thread: "
            "await trio.to_thread.run_sync(function). It is at:\n%s",
            self._limit,
            call_id,
            _stack(sys._current_frames().get(watched)),
        )
        while not self._seen.wait(self._limit) and not self._over.is_set():
            pass
        logger.warning("the event loop goes on after %.2f s, Call-ID %s", time.monotonic() - since, call_id)


def _stack(frame: FrameType | None) -> str:
    if frame is None:
        return "(its thread has ended)"
    return "".join(traceback.format_stack(frame, limit=_STACK_DEPTH)).rstrip()
