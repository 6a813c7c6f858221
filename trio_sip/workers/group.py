"""A worker group: a name, a bounded channel, a nursery and N worker tasks (Kamailio's `async_workers_group`).

The channel holds raw frames. A worker takes what waits there one after the other, without a checkpoint between them,
and opens each afresh. Only as many workers are awake as there is work for: one that takes frames wakes the next when
its own route begins to wait.

With `ordered`, frames of one Call-ID run one at a time, in the order they arrived. Nothing is remembered for that while
routes run through; a route that waits holds the turn of its Call-ID, and frames of the same Call-ID are put aside
until it is done, while the workers go on with others.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import trio

from trio_sip.message.frame import Frame
from trio_sip.workers.handler import Handler, Job
from trio_sip.workers.settings import MAX_WORKERS, GroupStatistics, WorkerGroup
from trio_sip.workers.slot import Slot, Watch

__all__ = ["BATCH", "Group"]

BATCH = 64
"""Messages a worker processes before it lets other tasks run."""


class Group:
    """A running worker group."""

    def __init__(self, settings: WorkerGroup, handler: Handler, watch: Watch) -> None:
        self.name = settings.name
        self.settings = settings
        self._handler = handler
        self._watch = watch
        self._queue: deque[Frame] = deque()
        self._ready: deque[Frame] = deque()  # put aside once, their turn has come
        self._turns: dict[str | None, deque[Frame]] = {}  # by Call-ID: what waits behind a route that waits
        self._aside = 0
        self._limit = min(settings.max_age, settings.deadline or math.inf)
        self._closed = False
        self._nursery: trio.Nursery | None = None
        self._target = settings.workers
        self._workers = 0
        self._awake = 0  # workers that look for work, now or at their next step
        self._idle: list[trio.lowlevel.Task] = []
        self._stuck = trio.Event()
        self._now = 0.0
        self._delegated = self._refused = self._shed = self._processed = 0
        self._dropped = self._failed = self._timed_out = 0

    # The channel

    @property
    def length(self) -> int:
        """Frames that wait."""
        return len(self._queue) + len(self._ready) + self._aside

    def offer(self, frame: Frame) -> str | None:
        """Put a frame on the channel; returns None, or why it was refused: `"full"` or `"closed"`.

        A shedding group that is full deals with the frame itself, and returns None.
        """
        if self._closed:
            self._refused += 1
            return "closed"
        if len(self._queue) + len(self._ready) + self._aside >= self.settings.queue:
            if self.settings.when_full == "shed":
                self._shed_now(frame)
                return None
            self._refused += 1
            return "full"
        self._queue.append(frame)
        self._delegated += 1
        if not self._awake:
            self._wake_one()
        return None

    def close(self) -> None:
        """Take no more frames; the workers end when those that wait are done."""
        self._closed = True
        while self._idle:
            self._wake_one()

    def _take(self) -> Frame | None:
        """The next frame that is not too old to be worth any work."""
        while self._ready or self._queue:
            frame = self._ready.popleft() if self._ready else self._queue.popleft()
            if frame._arrived + self._limit > self._now:
                return frame
            self._expire(frame)
        return None

    def _expire(self, frame: Frame) -> None:
        deadline = self.settings.deadline
        if deadline is not None and frame._arrived + deadline <= self._now:
            self._timed_out += 1
            self._handler.shed(frame)
        else:
            self._shed_now(frame)

    def _shed_now(self, frame: Frame) -> None:
        self._shed += 1
        self._handler.shed(frame)

    # Workers

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the workers until `close` was called and all frames are done, or until cancelled.

        Frames that still wait when it is cancelled are shed: nothing is lost.
        """
        try:
            async with trio.open_nursery() as supervision:
                supervision.start_soon(self._supervise)
                async with trio.open_nursery() as self._nursery:
                    self.resize(self._target)
                    task_status.started()
                supervision.cancel_scope.cancel()
        finally:
            self._closed = True
            for frame in (*self._ready, *self._queue, *(f for turn in self._turns.values() for f in turn)):
                self._shed_now(frame)
            self._queue.clear()
            self._ready.clear()
            self._turns.clear()

    def resize(self, workers: int) -> None:
        """Have this many workers from now on. Those too many end when they are done with what they work on.

        Raises `ValueError` for less than one or more than `MAX_WORKERS`.
        """
        if not 1 <= workers <= MAX_WORKERS:
            raise ValueError(f"a worker group has 1 to {MAX_WORKERS} workers, not {workers}")
        self._target = workers
        while self._nursery is not None and self._workers < workers:
            self._workers += 1
            self._awake += 1
            self._nursery.start_soon(self._worker, name=f"worker of group {self.name}")
        for _ in range(self._workers - workers):
            self._wake_one()

    async def _worker(self) -> None:
        slot = Slot(self, self.name, self._watch)

        async def work() -> None:
            await self._work(slot)

        try:
            await slot.serve(work)
        finally:
            self._workers -= 1
            self._awake -= 1
            if (self._queue or self._ready) and not self._awake:
                self._wake_one()

    async def _work(self, slot: Slot) -> None:
        processed = 0
        open_frame = self._handler.open
        self._now = trio.current_time()
        while self._workers <= self._target:
            frame = self._take()
            if frame is None:
                if self._closed:
                    return  # what was put aside is taken by the worker it waits for
                await self._park()
                self._now = trio.current_time()
                continue
            if self._turns and frame.call_id in self._turns:
                self._put_aside(frame)
                continue
            self._processed += 1
            job = open_frame(frame, slot)
            if job is not None:
                waiting = slot.begin(job)
                if waiting is not None:
                    await waiting
                    self._now = trio.current_time()
            processed += 1
            if processed % BATCH == 0:
                await trio.lowlevel.checkpoint()
                self._now = trio.current_time()

    async def _park(self) -> None:
        task = trio.lowlevel.current_task()
        self._awake -= 1
        self._watch.job = None
        self._idle.append(task)

        def abort(_: Callable[[], object]) -> trio.lowlevel.Abort:
            self._idle.remove(task)
            self._awake += 1
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake_one(self) -> None:
        if self._idle:
            self._awake += 1
            trio.lowlevel.reschedule(self._idle.pop())
        else:
            self._stuck.set()

    # Turns: frames of one Call-ID, one at a time

    def _put_aside(self, frame: Frame) -> None:
        self._turns[frame.call_id].append(frame)
        self._aside += 1
        self._stuck.set()

    def waits(self, slot: Slot, job: Job) -> float:
        """A route begins to wait: it holds its Call-ID's turn, and another worker looks after the channel."""
        if self.settings.ordered:
            self._turns.setdefault(job.call_id, deque())
        self._awake -= 1
        if (self._queue or self._ready) and not self._awake:
            self._wake_one()
        return math.inf if self.settings.deadline is None else job.frame._arrived + self.settings.deadline

    def goes_on(self, slot: Slot, job: Job) -> None:
        """A route that waited has ended: what was put aside behind it comes next."""
        self._awake += 1
        behind = self._turns.pop(job.call_id, None)
        if behind:
            self._aside -= len(behind)
            self._ready.extend(behind)

    # Overload

    async def _supervise(self) -> None:
        """Shed what grows too old where no worker looks. Asleep unless there is such a thing."""
        while True:
            await self._stuck.wait()
            self._stuck = trio.Event()
            while self._limit < math.inf and (arrivals := self._out_of_sight()):
                await trio.sleep_until(min(arrivals) + self._limit)
                self._now = trio.current_time()
                for behind in self._turns.values():
                    self._aside -= self._expire_from(behind)
                if not self._idle:
                    self._expire_from(self._ready)
                    self._expire_from(self._queue)

    def _out_of_sight(self) -> list[float]:
        """When the oldest arrived of those put aside, and of the channel while every worker waits."""
        lines = (*self._turns.values(), *(() if self._idle else (self._ready, self._queue)))
        return [frames[0].arrived for frames in lines if frames]

    def _expire_from(self, frames: deque[Frame]) -> int:
        before = len(frames)
        # The same sum as slept for: a difference may round to the other side, and the supervisor would spin.
        while frames and frames[0].arrived + self._limit <= self._now:
            self._expire(frames.popleft())
        return before - len(frames)

    # Statistics

    def count_failed(self) -> None:
        self._failed += 1

    def count_timed_out(self) -> None:
        self._timed_out += 1

    def count_dropped(self) -> None:
        self._dropped += 1

    def statistics(self) -> GroupStatistics:
        """A snapshot."""
        idle = len(self._idle)
        now = trio.current_time()
        lines = (self._queue, self._ready, *self._turns.values())
        oldest = min((frames[0].arrived for frames in lines if frames), default=now)
        return GroupStatistics(
            name=self.name,
            queue_length=self.length,
            queue_age=now - oldest,
            workers=self._workers,
            busy=self._workers - idle,
            idle=idle,
            relaying=0,
            delegated=self._delegated,
            processed=self._processed,
            refused=self._refused,
            shed=self._shed,
            dropped=self._dropped,
            failed=self._failed,
            timed_out=self._timed_out,
        )

    def __repr__(self) -> str:
        return f"<Group {self.name!r}: {self._workers} workers, {self.length} of {self.settings.queue} queued>"
