"""One seed is one run: the trace of a busy simulation is the same, byte for byte, whenever and wherever it runs.

Run as a program, this prints the fingerprint of one simulation: `python tests/testing/test_trace.py SEED`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from trio_sip import Request, Router, WorkerGroup, serve
from trio_sip.testing import Endpoint, NothingReceived, SimulatedNetwork, TraceRecord, make_request, make_response
from trio_sip.testing.task_order import pinned_task_order

SERVER = "10.0.0.1:5060"
RUNS = 100
METHODS = ("OPTIONS", "INVITE", "MESSAGE", "INFO")


def router() -> Router:
    router = Router(groups=[WorkerGroup("default", workers=4, ordered=False)])

    @router.request_route
    async def request_route(request: Request) -> None:
        await trio.sleep(0.010)
        if request.method == "OPTIONS":
            request.reply(200)
        else:
            await request.forward()

    return router


async def send_some(agent: Endpoint, peer: str) -> None:
    for number, method in enumerate(METHODS):
        data = make_request(
            method,
            f"sip:bob@{peer}",
            source=agent.address,
            call_id=f"{number}@{agent.address.host}",
            transport=agent.transport.upper(),
        )
        agent.send(data, to=SERVER)
        if number % 2:
            await trio.sleep(0.010)


async def answer_all(agent: Endpoint) -> None:
    with suppress(NothingReceived):
        while True:
            data, source = await agent.receive_from(1)
            if not data.startswith(b"SIP/2.0"):
                agent.send(make_response(data, 200), to=source)


async def simulate(seed: int) -> list[TraceRecord]:
    network = SimulatedNetwork(seed, latency=0.010, loss=0.1, duplication=0.1, reordering=0.1)
    network.link("10.0.0.1", "10.0.0.3", jitter=0.002, loss=0.3)
    async with trio.open_nursery() as nursery:
        listen = [f"udp:{SERVER}", f"tcp:{SERVER}"]
        await nursery.start(partial(serve, router(), listen=listen, network=network))
        transports = {"10.0.0.2": "udp", "10.0.0.3": "udp", "10.0.0.4": "tcp"}
        agents = [network.endpoint(host, transport=transport) for host, transport in transports.items()]
        async with trio.open_nursery() as calls:
            for agent in agents:
                peer = "10.0.0.3" if agent.address.host == "10.0.0.2" else "10.0.0.2"
                calls.start_soon(send_some, agent, peer)
                calls.start_soon(answer_all, agent)
        nursery.cancel_scope.cancel()
    return network.trace


def run(seed: int, simulation: Callable[[int], Awaitable[list[TraceRecord]]] = simulate) -> list[TraceRecord]:
    return trio.run(simulation, seed, clock=MockClock(autojump_threshold=0))


def fingerprint(seed: int) -> str:
    with pinned_task_order(seed):
        return hashlib.sha256(repr(run(seed)).encode()).hexdigest()


def test_one_seed_is_one_run_in_a_hundred() -> None:
    assert len({fingerprint(1) for _ in range(RUNS)}) == 1


def test_other_seeds_are_other_runs() -> None:
    assert len({fingerprint(seed) for seed in range(10)}) == 10


def test_it_is_busy_enough_to_tell() -> None:
    """Things happen in it that depend on the order of tasks: without the pin the trace changes from run to run."""
    trace = run(1)
    assert len(trace) > 30
    assert {record.fate for record in trace} >= {"delivered", "lost"}
    assert {record.transport for record in trace} == {"udp", "tcp"}
    assert any(run(1) != trace for _ in range(RUNS))


def test_other_processes_see_the_same() -> None:
    """Hashes of strings, and so the order of sets of them, differ from process to process."""
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "7"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1", "4711")
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == [fingerprint(7)] * 3


async def disturbed(seed: int) -> list[TraceRecord]:
    """The simulation, while a thread calls into Trio all the time, as the watchdog does now and then."""
    token = trio.lowlevel.current_trio_token()
    is_over = threading.Event()

    def disturb() -> None:
        while not is_over.wait(0.0001):
            token.run_sync_soon(int)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        return await simulate(seed)
    finally:
        is_over.set()
        thread.join()


def test_a_thread_that_looks_in_changes_nothing() -> None:
    with pinned_task_order(1):
        quiet = run(1)
    for _ in range(10):
        with pinned_task_order(1):
            assert run(1, disturbed) == quiet


async def run_order(tasks: int = 20) -> list[int]:
    order: list[int] = []

    async def note(number: int) -> None:
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(tasks):
            nursery.start_soon(note, number)
    return order


def order_of(seed: int) -> list[int]:
    with pinned_task_order(seed):
        return trio.run(run_order)


def test_the_order_of_one_instant_is_drawn_from_the_seed() -> None:
    assert order_of(1) == order_of(1) != order_of(2)
    assert sorted(order_of(1)) == list(range(20)) != order_of(1)


def test_trio_gets_back_what_it_had() -> None:
    scheduler = trio._core._run
    before = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r
    with suppress(KeyError), pinned_task_order(1):
        within = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r
        with pinned_task_order(2):
            pass
        assert (scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r) == within != before
        raise KeyError
    assert (scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r) == before


def test_a_trio_without_these_names_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING")
    with pytest.warns(RuntimeWarning, match="order of tasks is not pinned"), pinned_task_order(1):
        ran = True
    assert ran


if __name__ == "__main__":
    print(fingerprint(int(sys.argv[1])))
