"""The order in which Trio runs the tasks of one instant, drawn from a seed.

    with pinned_task_order(7):
        trio.run(simulation, clock=MockClock(autojump_threshold=0))

Trio shuffles the tasks that can run at the same moment, so that nobody leans on an order it does not promise. A mock
clock fixes the time and not that order. Here the shuffling stays and is repeatable: one seed is one run, exactly, and
another seed is another order that Trio might have chosen.

What comes from outside the run is not part of it: threads, sockets and signals wake tasks when they please. The task
through which threads call into Trio (`TrioToken.run_sync_soon`) is kept out of the draw, so that a thread which only
looks in, as the server's watchdog does, changes nothing.

This leans on two names inside Trio, as pytest-trio does for Hypothesis. A Trio without them gets a `RuntimeWarning`,
and its own order.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from typing import Any

import trio

__all__ = ["pinned_task_order"]

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
_RANDOM = "_r"


@contextmanager
def pinned_task_order(seed: int) -> Iterator[None]:
    """Let every `trio.run` in this block order tasks of one instant by `seed`. Enter it before the run begins.

    Entered during a run, it holds from then on. It holds for all threads: run no other Trio beside it.
    """
    scheduler: Any = getattr(getattr(trio, "_core", None), "_run", None)
    if not (hasattr(scheduler, _SWITCH) and isinstance(getattr(scheduler, _RANDOM, None), random.Random)):
        warnings.warn(
            f"the order of tasks is not pinned: Trio {trio.__version__} has no {_SWITCH} and {_RANDOM} any more;"
            " runs of one seed may differ",
            RuntimeWarning,
            stacklevel=3,
        )
        yield
        return
    before = getattr(scheduler, _SWITCH), getattr(scheduler, _RANDOM)
    setattr(scheduler, _SWITCH, True)
    setattr(scheduler, _RANDOM, _TaskOrder(f"{seed} task order"))
    try:
        yield
    finally:
        setattr(scheduler, _SWITCH, before[0])
        setattr(scheduler, _RANDOM, before[1])


class _TaskOrder(random.Random):
    """Trio sorts a batch of tasks by age, and has it shuffled by this."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        from_outside = [task for task in x if _is_entry(task)]
        inside = [task for task in x if not _is_entry(task)]
        super().shuffle(inside)
        x[:] = inside + from_outside


def _is_entry(task: object) -> bool:
    """Whether this is the task in which Trio runs what other threads ask for."""
    return isinstance(task, trio.lowlevel.Task) and "run_sync_soon" in task.name
