"""What a simulation costs, counted in steps of tasks: they are the same on every machine."""

from __future__ import annotations

import time
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from trio_sip import Request, Router, WorkerGroup, serve
from trio_sip.testing import Endpoint, SimulatedNetwork, make_request, make_response
from trio_sip.testing.task_order import pinned_task_order

SERVER = "10.0.0.1:5060"


class Steps(trio.abc.Instrument):
    """Counts the steps of all tasks."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


def forwarding() -> Router:
    router = Router(groups=[WorkerGroup("default", workers=4)])

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    return router


async def answer(bob: Endpoint) -> None:
    while True:
        data, source = await bob.receive_from(timeout=100_000)
        if not data.startswith(b"ACK"):
            bob.send(make_response(data, 200), to=source)


async def call(alice: Endpoint, number: int) -> None:
    uri = f"sip:bob@10.0.0.3;transport={alice.transport}"
    request = partial(
        make_request, uri=uri, source=alice.address, call_id=str(number), transport=alice.transport.upper()
    )
    alice.send(request("INVITE"), to=SERVER)
    assert (await alice.receive()).startswith(b"SIP/2.0 200")
    alice.send(request("ACK", to_tag="callee"), to=SERVER)
    alice.send(request("BYE", to_tag="callee", cseq=2), to=SERVER)
    assert (await alice.receive()).startswith(b"SIP/2.0 200")


async def make_calls(calls: int, transport: str, silence: float) -> SimulatedNetwork:
    network = SimulatedNetwork(seed=1)
    async with trio.open_nursery() as nursery:
        listen = [f"udp:{SERVER}", f"tcp:{SERVER}"]
        await nursery.start(partial(serve, forwarding(), listen=listen, network=network, watchdog=None))
        alice, bob = (network.endpoint(host, transport=transport) for host in ("10.0.0.2", "10.0.0.3"))
        nursery.start_soon(answer, bob)
        for number in range(calls):
            await call(alice, number)
        await trio.sleep(silence)
        nursery.cancel_scope.cancel()
    return network


def measure(calls: int, transport: str = "udp", silence: float = 0.0) -> tuple[int, SimulatedNetwork]:
    steps = Steps()
    with pinned_task_order(1):
        network = trio.run(
            make_calls, calls, transport, silence, clock=MockClock(autojump_threshold=0), instruments=[steps]
        )
    return steps.count, network


@pytest.mark.parametrize(("transport", "bound"), [("udp", 60), ("tcp", 90)])
def test_steps_of_a_call(transport: str, bound: int) -> None:
    """10 messages under way; measured: 29 steps over UDP, 41 over TCP."""
    few, _ = measure(10, transport)
    many, network = measure(110, transport)
    assert (many - few) / 100 < bound
    assert len(network.trace) > 880


def test_time_that_passes_costs_nothing() -> None:
    """32 s, or a day, are one jump of the clock for a server and its peers."""
    none, _ = measure(1)
    assert measure(1, silence=32)[0] - none < 10
    assert measure(1, silence=86_400)[0] - none < 10


def test_a_thousand_calls_take_seconds() -> None:
    """Measured: 0.9 s, on a machine with two cores. The bound is wide; it is for what grows with the square."""
    started = time.perf_counter()
    _, network = measure(1000)
    assert time.perf_counter() - started < 20
    assert len(network.trace) == 10_000
