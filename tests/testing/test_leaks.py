"""`assert_no_leaks` finds what a server has left over, and says how to find it; an idle server has nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from trio_sip import Frame, Request, Router, WorkerGroup
from trio_sip.testing.leaks import assert_no_leaks, find_leaks, settle

if TYPE_CHECKING:
    from conftest import Lab


def router_that(sleeps: float, *, workers: int = 1, ordered: bool = True, pre_routing: bool = False) -> Router:
    router = Router(groups=[WorkerGroup("default", workers=workers, ordered=ordered, max_age=100.0)])
    if pre_routing:

        @router.pre_routing
        def process_in_place(frame: Frame) -> None:
            pass

    @router.request_route
    async def slow_route(request: Request) -> None:
        await trio.sleep(sleeps)
        request.reply(200)

    return router


async def test_an_idle_server_has_none(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(router_that(0.1), watchdog=10.0)
    assert_no_leaks(server)
    assert (await lab.peer().ask()).status == 200
    await settle([server], lab.network, 1)
    assert_no_leaks(server)


async def test_a_route_at_work(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(router_that(10))
    lab.peer().request(call_id="slow-one")
    await trio.sleep(3)
    with pytest.raises(AssertionError) as failure:
        assert_no_leaks(server)
    assert "udp:10.0.0.1:5060" in str(failure.value)
    [leak] = find_leaks(server)
    assert leak.startswith(
        "OPTIONS from 10.0.0.2:5060, Call-ID slow-one, received 2.990 s ago, in a worker of group 'd"
    )
    assert ": slow_route (tests/testing/test_leaks.py:" in leak
    assert leak.endswith(") has not returned")
    await trio.sleep(8)
    assert find_leaks(server) == []


async def test_a_route_that_waits_in_the_receive_task_and_has_a_deadline(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(router_that(10, pre_routing=True))
    lab.peer().request(call_id="in-place")
    await trio.sleep(0.11)
    [leak] = find_leaks(server)
    assert "Call-ID in-place, received 0.100 s ago, in the receive task: slow_route " in leak
    assert leak.endswith("and has 0.150 s left")
    await trio.sleep(1)
    assert find_leaks(server) == []


async def test_frames_that_wait_on_the_channel_and_for_their_turn(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(router_that(10, workers=2))
    alice = lab.peer()
    for call_id in ("a", "a", "b", "c"):
        alice.request(call_id=call_id)
    await trio.sleep(1)
    leaks = find_leaks(server)
    assert len(leaks) == 4
    assert "Call-ID c, received 0.990 s ago, waits on the channel of group 'default': 2 of 2 workers" in leaks[0]
    assert "Call-ID a, received 0.990 s ago, waits in group 'default' for its turn behind the same Call-ID" in leaks[1]


async def test_a_connection(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(router_that(0.1))
    alice = lab.peer(transport="tcp")
    await alice.ask()
    [leak] = find_leaks(server)
    assert leak.startswith("tcp connection 10.0.0.1:5060 to 10.0.0.2:")
    assert leak.endswith(", open")
    alice.agent.close()
    await settle([server], lab.network, 1)
    assert find_leaks(server) == []


async def test_a_connection_that_is_being_opened(autojump_clock: object, lab: Lab) -> None:
    router = Router()

    @router.request_route
    async def onwards(request: Request) -> None:
        await request.forward("sip:bob@10.0.0.3;transport=tcp")

    server = await lab.serve(router)
    lab.network.partition("10.0.0.1", "10.0.0.3")
    lab.peer().request()
    await trio.sleep(1)
    assert "tcp connection to 10.0.0.3:5060, being opened" in find_leaks(server)
    await trio.sleep(60)
    assert find_leaks(server) == []


@pytest.mark.parametrize("of_the_server", [True, False])
async def test_a_task_that_a_route_has_started_and_left_behind(
    autojump_clock: object, lab: Lab, nursery: trio.Nursery, of_the_server: bool
) -> None:
    router = Router()

    async def forgotten() -> None:
        await trio.sleep(1000)

    @router.request_route
    async def request_route(request: Request) -> None:
        kept = server._services if of_the_server else nursery
        assert kept is not None
        kept.start_soon(forgotten)
        request.reply(200)

    server = await lab.serve(router)
    assert (await lab.peer().ask(call_id="starter")).status == 200
    [leak] = find_leaks(server)
    assert "forgotten" in leak
    if not of_the_server:
        server.shutdown(0)
        await trio.sleep(1)
        [leak] = find_leaks(server)
        assert "forgotten" in leak


async def test_tasks_of_a_route_at_work(autojump_clock: object, lab: Lab) -> None:
    router = Router()

    async def look_up() -> None:
        await trio.sleep(1000)

    @router.request_route
    async def request_route(request: Request) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_up)

    server = await lab.serve(router)
    lab.peer().request(call_id="two")
    await trio.sleep(1)
    leaks = find_leaks(server)
    assert len(leaks) == 2
    assert "look_up" in leaks[1]
    assert leaks[1].endswith("which the route of Call-ID two has started")


async def test_a_server_that_has_ended(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(router_that(1000))
    lab.peer(transport="tcp").request()
    await trio.sleep(1)
    assert len(find_leaks(server)) == 2
    server.shutdown(1)
    await trio.sleep(5)
    assert find_leaks(server) == []


async def test_settling_is_bounded(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(router_that(1000))
    lab.peer().request()
    await settle([server], lab.network, 100)
    assert trio.current_time() == pytest.approx(100)
    assert find_leaks(server) != []
