"""What a server has left over: `assert_no_leaks(server)`.

A server that has nothing to do has its own tasks, idle, and nothing else. This looks for the rest: frames that wait,
routes at work, connections, tasks that routes have started and not ended, wherever they were started.

What may stay behind at the end of a test, where the `sip_serve` fixture asserts this: anything that ends by itself.
The test's user agents are closed, which resets their connections. Then the server gets `SETTLE_SECONDS` of virtual
time. What it has not ended by then nobody would end, and is a leak. At last it is shut down with no grace, and all its
tasks have to end at once.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator
from math import inf

import trio
import trio.testing

from trio_sip.message.frame import Frame
from trio_sip.server import Server
from trio_sip.testing.simulated_network import SimulatedNetwork
from trio_sip.workers.group import Group
from trio_sip.workers.slot import SLOT, Slot

__all__ = ["SETTLE_SECONDS", "assert_no_leaks", "find_leaks", "settle"]

SETTLE_SECONDS = 240.0
"""Virtual seconds what is in work at the end of a test gets. Longer than any timer of RFC 3261 (a proxy's timer C)."""
_LOOKS_EVERY = 0.5

_IDLE = frozenset(
    {
        "ConnectionPool.run",
        "ConnectionPool.serve_listener",
        "Egress.run",
        "Group._supervise",
        "Group._worker",
        "Group.run",
        "Reception._receive_from",
        "Reception.receive",
        "SimulatedUdpPort.run_outbox",
        "UdpSocketPort.run_outbox",
        "Watchdog.run",
    }
)
"""Tasks a server has for as long as it runs. A worker or a receive task is idle when no route of its waits."""
_LISTED_ELSEWHERE = frozenset({"ConnectionPool._connect", "ConnectionPool._serve", "StreamConnection.run_writer"})


def assert_no_leaks(server: Server) -> None:
    """Raise `AssertionError`, which lists all a server has left to do; for servers that run and for those that ended.

    Messages on their way, open connections and routes at work count, so let them end first. To be called in the same
    `trio.run` as the server.
    """
    __tracebackhide__ = True
    leaks = find_leaks(server)
    if leaks:
        raise AssertionError("\n".join([f"{server!r} has left over:", *(f"  - {leak}" for leak in leaks)]))


def find_leaks(server: Server) -> list[str]:
    """What is left over, one line each; nothing for an idle server."""
    now = trio.current_time()
    return [*_frames(server, now), *_routes(server, now), *_connections(server), *_strays(server)]
    # Transactions, and the timers that are set, belong here as soon as the server has them.


async def settle(servers: Iterable[Server], network: SimulatedNetwork, seconds: float = SETTLE_SECONDS) -> None:
    """Wait until nothing is on its way any more and no server has anything left over, `seconds` at most."""
    servers = list(servers)
    with trio.move_on_after(seconds):
        await trio.testing.wait_all_tasks_blocked()
        while any(find_leaks(server) for server in servers) or _is_under_way(network):
            await trio.sleep(_LOOKS_EVERY)
            await trio.testing.wait_all_tasks_blocked()


def _is_under_way(network: SimulatedNetwork) -> bool:
    now = trio.current_time()
    return any(arrival > now for record in network.trace for arrival in record.arrivals)


# Frames


def _frames(server: Server, now: float) -> Iterator[str]:
    for group in server.groups.values():
        for frame in (*group._ready, *group._queue):
            yield f"{_shown(frame, now)}, waits on the channel of group {group.name!r}: {_why_waiting(group)}"
        for behind in group._turns.values():
            for frame in behind:
                yield f"{_shown(frame, now)}, waits in group {group.name!r} for its turn behind the same Call-ID"


def _why_waiting(group: Group) -> str:
    """A frame waits because no worker is free."""
    statistics = group.statistics()
    return f"{statistics.busy} of {statistics.workers} workers are busy"


def _shown(frame: Frame, now: float) -> str:
    what = f"{frame.status} ({frame.method})" if frame.status is not None else frame.method
    return f"{what} from {frame.source}, Call-ID {frame.call_id}, received {now - frame.arrived:.3f} s ago"


# Routes at work


def _routes(server: Server, now: float) -> Iterator[str]:
    for slot in _slots(server):
        job = slot._waiting
        if job is not None:
            where = "in the receive task" if slot.group is None else f"in a worker of group {slot.group!r}"
            yield f"{_shown(job.frame, now)}, {where}: {_route(job)} has not returned{_until(slot, now)}"


def _route(job: object) -> str:
    route = getattr(job, "_route", None)
    code = getattr(inspect.unwrap(route), "__code__", None) if route is not None else None
    if code is None:
        return "its route"
    beside = os.path.relpath(code.co_filename)
    file = code.co_filename if beside.startswith(os.pardir) else beside
    return f"{code.co_name} ({file}:{code.co_firstlineno})"


def _until(slot: Slot, now: float) -> str:
    return "" if slot.scope.deadline == inf else f", and has {slot.scope.deadline - now:.3f} s left"


def _slots(server: Server) -> list[Slot]:
    """Where the server works on messages: each has a task, and that task and those below it know it."""
    slots = (task.context.get(SLOT) for task in _tasks_of(server))
    return list({id(slot): slot for slot in slots if slot is not None}.values())


# Connections


def _connections(server: Server) -> Iterator[str]:
    for connection in sorted(server._pool._open, key=lambda each: each.remote):
        state = "open" if connection.is_open else "closing"
        queued = connection.statistics().queued
        more = f", {queued} messages to be sent" if queued else ""
        yield f"tcp connection {connection.local} to {connection.remote}, {state}{more}"
    for remote in server._pool._connecting:
        yield f"tcp connection to {remote}, being opened"


# Tasks


def _strays(server: Server) -> Iterator[str]:
    """Tasks that are neither the server's own nor those of a route that is still at work."""
    for task in _tasks_of(server):
        name = _function(task)
        slot = task.context.get(SLOT)
        if name in _IDLE or name in _LISTED_ELSEWHERE:
            continue
        if slot is None:
            yield f"task {task.name}"
        elif slot._waiting is None:
            call = "" if slot.message is None else f", perhaps for Call-ID {slot.message.call_id}"
            yield f"task {task.name}, which a route has started{call}"
        else:
            yield f"task {task.name}, which the route of Call-ID {slot._waiting.call_id} has started"


def _function(task: trio.lowlevel.Task) -> str:
    code = getattr(task.coro, "cr_code", None)
    return code.co_qualname if code is not None else task.name


def _tasks_of(server: Server) -> list[trio.lowlevel.Task]:
    """All below the server, and what its routes have started elsewhere."""
    own: list[trio.lowlevel.Task] = []
    services = server._services
    if services is not None:
        nurseries = services.parent_task.child_nurseries
        own = [task for nursery in nurseries[nurseries.index(services) :] for task in _below(nursery)]
    known = set(own)
    root = trio.lowlevel.current_root_task()
    everything = [] if root is None else [task for nursery in root.child_nurseries for task in _below(nursery)]
    owners = {id(server._reception), *map(id, server.groups.values())}
    return own + [task for task in everything if task not in known and _owner(task) in owners]


def _owner(task: trio.lowlevel.Task) -> int:
    slot = task.context.get(SLOT)
    return 0 if slot is None else id(slot.owner)


def _below(nursery: trio.Nursery) -> Iterator[trio.lowlevel.Task]:
    for task in sorted(nursery.child_tasks, key=lambda task: task._counter):
        yield task
        for inner in task.child_nurseries:
            yield from _below(inner)
