"""Starting, listening, statistics, shutdown, and cancellation from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from trio_sip import Frame, ListenError, Request, Router, RoutesError, Server, WorkerGroup, serve
from trio_sip.testing import SimulatedNetwork, make_response

if TYPE_CHECKING:
    from conftest import Lab

Logged = Callable[[], list[str]]


def sleeping(*groups: WorkerGroup, in_place: bool = False, cleaned: list[str] | None = None) -> Router:
    """Its route sleeps as long as the Subject says, then replies 200."""
    router = Router(groups=groups or [WorkerGroup("default", workers=2, max_age=600)], in_place_deadline=600)

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if not in_place:
            frame.delegate("default")

    @router.request_route
    async def request_route(request: Request) -> None:
        try:
            await trio.sleep(float(request.headers.get("Subject") or 0))
            request.reply(200)
        finally:
            if cleaned is not None:
                cleaned.append(request.call_id)

    return router


def takes(seconds: float) -> list[tuple[str, str]]:
    return [("Subject", str(seconds))]


async def run_apart(lab: Lab, router: Router, ended: trio.Event, *listen: str) -> Server:
    """A server whose end the test can wait for."""

    async def run(*, task_status: trio.TaskStatus[Server]) -> None:
        await serve(
            router,
            listen=listen or ["udp:10.0.0.1:5060"],
            network=lab.network,
            watchdog=None,
            task_status=task_status,
        )
        ended.set()

    server = await lab.nursery.start(run)
    assert isinstance(server, Server)
    return server


# Starting


async def test_task_status_hands_out_the_server_when_it_listens(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(sleeping(), "udp:10.0.0.1:0", "tcp:10.0.0.1:0", "udp:10.0.0.1:5060")
    assert [listener.transport for listener in server.listeners] == ["udp", "udp", "tcp"]
    assert all(listener.address.port for listener in server.listeners)
    assert str(server.listeners[1]) == "udp:10.0.0.1:5060"
    for listener in server.listeners:
        peer = lab.peer("10.0.0.2", listener.transport, port=0, server=str(listener.address))
        assert (await peer.ask()).status == 200


async def test_it_listens_on_ipv6(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(sleeping(), "udp:[2001:db8::1]:5060", "tcp:[2001:db8::1]:5060")
    for transport in ("udp", "tcp"):
        peer = lab.peer("2001:db8::2", transport, server="[2001:db8::1]:5060")
        answer = await peer.ask("OPTIONS", "sip:[2001:db8::1]")
        assert answer.status == 200
        assert answer.vias[0].received == "2001:db8::2"


async def test_a_request_crosses_from_ipv4_to_ipv6_and_its_answer_back(autojump_clock: object, lab: Lab) -> None:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    await lab.serve(router, "udp:10.0.0.1:5060", "udp:[2001:db8::1]:5060")
    alice, bob = lab.peer(), lab.peer("2001:db8::2", server="[2001:db8::1]:5060")
    alice.request("INFO", "sip:bob@[2001:db8::2]")
    asked = await bob.asked()
    assert asked.vias[0].host in ("2001:db8::1", "[2001:db8::1]")
    bob.send(make_response(asked.data, 200))
    assert (await alice.answer()).status == 200


async def test_nothing_to_listen_on_is_an_error(autojump_clock: object) -> None:
    with pytest.raises(ListenError, match="nothing to listen on"):
        await serve(sleeping(), listen=[], network=SimulatedNetwork())


async def test_an_address_in_use_is_an_error_and_the_others_are_given_back(autojump_clock: object, lab: Lab) -> None:
    lab.network.endpoint("10.0.0.1", 5061)
    with pytest.raises(ListenError, match="in use"):
        await lab.serve(sleeping(), "udp:10.0.0.1:5060", "udp:10.0.0.1:5061")
    await lab.serve(sleeping(), "udp:10.0.0.1:5060")


async def test_a_router_without_a_route_is_not_served(autojump_clock: object, lab: Lab) -> None:
    with pytest.raises(RoutesError, match="no request_route"):
        await lab.serve(Router())
    with pytest.raises(RoutesError, match=r"needs a trio_sip\.Router"):
        await serve(None, listen=["udp:10.0.0.1:0"])  # type: ignore[arg-type]


# Statistics


async def test_statistics_of_the_whole_server(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(sleeping())
    udp, tcp = lab.peer(), lab.peer("10.0.0.3", "tcp")
    for peer in (udp, tcp):
        for number in range(3):
            assert (await peer.ask(call_id=f"call-{number}")).status == 200
    statistics = server.statistics()
    udp_port = statistics.listeners[0].statistics
    assert udp_port is not None
    assert (udp_port.received, udp_port.sent) == (3, 3)
    assert (statistics.reception.received, statistics.reception.delegated, statistics.reception.in_place) == (
        6,
        6,
        0,
    )
    assert (statistics.routing.requests, statistics.routing.replied) == (6, 6)
    assert (statistics.connections.open, statistics.connections.accepted) == (1, 1)
    assert (statistics.lost, statistics.stalls) == (0, 0)
    before = statistics.routing.requests
    await udp.ask()
    assert statistics.routing.requests == before  # a snapshot stays as it is


# Shutdown


async def test_shutdown_lets_what_is_in_work_and_what_waits_finish(autojump_clock: object, lab: Lab) -> None:
    ended = trio.Event()
    server = await run_apart(lab, sleeping(), ended)
    alice = lab.peer()
    for number in range(6):
        alice.request(call_id=f"call-{number}", headers=takes(1))
    await trio.sleep(0.5)
    begun = trio.current_time()
    server.shutdown(grace=10)
    assert await alice.statuses() == [200] * 6
    await ended.wait()
    assert trio.current_time() - begun < 4.5
    alice.request(call_id="too-late")
    await alice.silence()
    lab.network.endpoint("10.0.0.1").close()  # the port is free again


async def test_shutdown_answers_503_what_is_not_done_within_the_grace(autojump_clock: object, lab: Lab) -> None:
    ended = trio.Event()
    cleaned: list[str] = []
    server = await run_apart(lab, sleeping(cleaned=cleaned), ended)
    alice = lab.peer()
    alice.request(call_id="quick", headers=takes(1))
    alice.request("ACK", call_id="ack", headers=takes(60))
    for number in range(5):
        alice.request(call_id=f"slow-{number}", headers=takes(60))
    await trio.sleep(0.5)
    begun = trio.current_time()
    server.shutdown(grace=2)
    await ended.wait()
    assert trio.current_time() - begun == pytest.approx(2.0)
    answers = await alice.answers()
    assert sorted(answer.status for answer in answers) == [200] + [503] * 5
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 503)
    assert "quick" in cleaned
    assert "ack" in cleaned


async def test_shutdown_without_grace_stops_at_once(autojump_clock: object, lab: Lab) -> None:
    ended = trio.Event()
    server = await run_apart(lab, sleeping(), ended)
    alice = lab.peer()
    alice.request(headers=takes(60))
    await trio.sleep(0.5)
    server.shutdown(grace=100)
    await trio.sleep(0.5)
    begun = trio.current_time()
    server.shutdown(grace=0)
    await ended.wait()
    assert trio.current_time() - begun < 0.1
    assert await alice.statuses() == [503]


async def test_shutdown_answers_the_rest_of_a_batch_that_waits_behind_a_route_in_place(
    autojump_clock: object, lab: Lab
) -> None:
    ended = trio.Event()
    server = await run_apart(lab, sleeping(in_place=True), ended)
    alice = lab.peer()
    for number in range(3):
        alice.request(call_id=f"call-{number}", headers=takes(60))
    await trio.sleep(0.5)
    server.shutdown(grace=0)
    await ended.wait()
    assert await alice.statuses() == [503] * 3


async def test_an_error_in_a_cleanup_does_not_end_the_shutdown_badly(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        async def child() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("on purpose")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    ended = trio.Event()
    server = await run_apart(lab, router, ended)
    alice = lab.peer()
    alice.request(call_id="the-call")
    await trio.sleep(0.5)
    server.shutdown(grace=0)
    await ended.wait()
    assert len(await alice.statuses()) == 1
    assert "on purpose" in errors()[0]
    assert "the-call" in errors()[0]


async def test_tcp_gets_its_last_answers_at_shutdown(autojump_clock: object, lab: Lab) -> None:
    ended = trio.Event()
    server = await run_apart(lab, sleeping(), ended, "tcp:10.0.0.1:5060")
    alice = lab.peer(transport="tcp")
    alice.request(call_id="one", headers=takes(1))
    alice.request(call_id="two", headers=takes(60))
    await trio.sleep(0.5)
    server.shutdown(grace=2)
    assert [answer.status for answer in [await alice.answer(), await alice.answer()]] == [200, 503]
    await ended.wait()


async def test_a_connection_accepted_just_before_shutdown_is_not_served_after_it(
    autojump_clock: object, lab: Lab
) -> None:
    ended = trio.Event()
    server = await run_apart(lab, sleeping(), ended, "udp:10.0.0.1:5060", "tcp:10.0.0.1:5060")
    busy, alice = lab.peer(), lab.peer("10.0.0.3", "tcp")
    busy.request(headers=takes(3))
    alice.request(call_id="one")
    await trio.sleep(0.0101)
    server.shutdown(grace=10)
    await trio.sleep(0.5)
    alice.request(call_id="two")
    assert "two" not in [answer.call_id for answer in await alice.answers()]
    await ended.wait()


# Cancellation: one test for each place that holds something


async def serve_and_cancel(network: SimulatedNetwork, router: Router, after: float) -> None:
    with trio.move_on_after(after):
        await serve(router, listen=["udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"], network=network)
    # Everything can be had again.
    async with trio.open_nursery() as nursery:
        await nursery.start(
            partial(
                serve,
                router,
                listen=["udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"],
                network=network,
                watchdog=None,
            )
        )
        nursery.cancel_scope.cancel()


async def test_cancelled_while_nothing_happens(autojump_clock: object) -> None:
    threads = threading.active_count()
    await serve_and_cancel(SimulatedNetwork(), sleeping(), 1)
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        threading.Event().wait(0.01)
    assert threading.active_count() <= threads  # the watchdog's has ended


async def test_cancelled_while_it_opens_its_ports(autojump_clock: object) -> None:
    class Slow(SimulatedNetwork):
        async def open_tcp(self, address: object) -> object:  # type: ignore[override]
            await trio.sleep(60)
            raise AssertionError

    network = Slow()
    with trio.move_on_after(1) as scope:
        await serve(sleeping(), listen=["udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"], network=network)  # type: ignore[arg-type]
    assert scope.cancelled_caught
    network.endpoint("10.0.0.1").close()


async def test_cancelled_while_a_route_waits(autojump_clock: object, lab: Lab) -> None:
    cleaned: list[str] = []
    router = sleeping(cleaned=cleaned)
    alice = lab.peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_and_cancel, lab.network, router, 1)
        await trio.sleep(0.1)
        for number in range(4):
            alice.request(call_id=f"call-{number}", headers=takes(60))
    assert sorted(cleaned) == ["call-0", "call-1"]
    assert await alice.statuses() == [503] * 4


async def test_cancelled_while_frames_are_put_aside(autojump_clock: object, lab: Lab) -> None:
    router = sleeping()
    alice = lab.peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_and_cancel, lab.network, router, 1)
        await trio.sleep(0.1)
        for cseq in range(4):
            alice.request(call_id="call", cseq=cseq, headers=takes(60))
    assert await alice.statuses() == [503] * 4


async def test_cancelled_while_a_route_waits_in_the_receive_task(autojump_clock: object, lab: Lab) -> None:
    cleaned: list[str] = []
    router = sleeping(in_place=True, cleaned=cleaned)
    alice = lab.peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_and_cancel, lab.network, router, 1)
        await trio.sleep(0.1)
        for number in range(3):
            alice.request(call_id=f"call-{number}", headers=takes(60))
    assert sorted(cleaned) == ["call-0", "call-1", "call-2"]
    assert await alice.statuses() == [503] * 3


async def test_cancelled_while_connections_are_open(autojump_clock: object, lab: Lab) -> None:
    alice = lab.peer(transport="tcp")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_and_cancel, lab.network, sleeping(), 1)
        await trio.sleep(0.1)
        assert (await alice.ask()).status == 200
    stream = lab.network.open_stream(alice.address._replace(port=0), alice.address._replace(host="10.0.0.1"))
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()


async def test_cancelled_while_it_connects(autojump_clock: object, lab: Lab) -> None:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward("sip:bob@10.0.0.3;transport=tcp")

    lab.network.partition("10.0.0.1", "10.0.0.3")
    alice = lab.peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_and_cancel, lab.network, router, 1)
        await trio.sleep(0.1)
        alice.request("INFO")
    assert await alice.statuses() == [503]


async def test_cancelled_while_it_drains(autojump_clock: object, lab: Lab) -> None:
    ended = trio.Event()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(
                partial(serve, sleeping(), listen=["udp:10.0.0.1:5060"], network=lab.network, watchdog=None)
            )
            alice = lab.peer()
            alice.request(headers=takes(60))
            await trio.sleep(0.5)
            server.shutdown(grace=100)
            await trio.sleep(0.5)
            scope.cancel()
    ended.set()
    assert await alice.statuses() == [503]
