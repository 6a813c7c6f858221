"""DESIGN.md section 4, Drop: neither form returns, all that was started ends, nothing more is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import trio

from trio_sip import Frame, Request, Response, Router, WorkerGroup
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

Logged = Callable[[], list[str]]


def router_in(place: str, *, workers: int = 1) -> Router:
    """One whose routes run in a worker, or in the receive task."""
    router = Router(groups=[WorkerGroup("default", workers=workers)])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if place == "worker":
            frame.delegate("default")

    return router


everywhere = pytest.mark.parametrize("place", ["worker", "receive task"])


@everywhere
@pytest.mark.parametrize("waits_before", [False, True])
async def test_request_drop_does_not_return(autojump_clock: object, lab: Lab, place: str, waits_before: bool) -> None:
    router = router_in(place)
    reached: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        if waits_before:
            await trio.sleep(0.1)
        try:
            await request.drop()
            reached.append("after drop")
        except Exception:
            reached.append("except Exception")
        finally:
            reached.append("finally")
            request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request()
    await alice.silence(5)
    assert reached == ["finally"]
    statistics = server.statistics()
    dropped = statistics.groups["default"].dropped if place == "worker" else statistics.reception.dropped
    assert dropped == 1


@everywhere
async def test_response_drop_does_not_return_and_it_does_not_go_on(
    autojump_clock: object, lab: Lab, place: str
) -> None:
    router = router_in(place)
    reached: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        if response.status == 183:
            await response.drop()
            reached.append("after drop")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@10.0.0.3")
    invite = await bob.agent.receive()
    for status in (180, 183, 200):
        bob.send(make_response(invite, status))
    assert await alice.statuses() == [180, 200]
    assert reached == []


@everywhere
async def test_children_end_and_clean_up_and_nothing_is_sent(autojump_clock: object, lab: Lab, place: str) -> None:
    router = router_in(place)
    ended: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        async def answer_later() -> None:
            try:
                await trio.sleep(0.2)
                request.reply(200)
            finally:
                ended.append("answer_later")
                request.reply(486)

        async def forward_in_cleanup() -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                    await request.forward("sip:bob@10.0.0.3")
                ended.append("forward_in_cleanup")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_later)
            nursery.start_soon(forward_in_cleanup)
            await trio.sleep(0.1)
            await request.drop()
        ended.append("after the nursery")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request()
    await alice.silence(5)
    await bob.silence(1)
    assert sorted(ended) == ["answer_later", "forward_in_cleanup"]
    assert lab.sent_by("10.0.0.1") == []


async def test_a_forward_under_way_in_a_shielded_scope_is_not_sent_after_drop(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")
    lab.network.add_host("bob.example", "10.0.0.3")

    @router.request_route
    async def request_route(request: Request) -> None:
        async def forward() -> None:
            with trio.CancelScope(shield=True):
                await request.forward("sip:bob.example")  # the name has to be looked up

        async with trio.open_nursery() as nursery:
            nursery.start_soon(forward)
            await trio.sleep(0.001)
            await request.drop()

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request()
    await bob.silence(5)
    await alice.silence(1)


async def test_what_was_answered_while_a_forward_was_under_way_is_not_forwarded(
    autojump_clock: object, lab: Lab
) -> None:
    router = router_in("worker")
    lab.network.add_host("bob.example", "10.0.0.3")

    @router.request_route
    async def request_route(request: Request) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(request.forward, "sip:bob.example")
            await trio.sleep(0.001)
            request.reply(486)

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request()
    assert await alice.statuses() == [486]
    await bob.silence(1)


@everywhere
async def test_drop_from_a_child_task(autojump_clock: object, lab: Lab, place: str) -> None:
    router = router_in(place)
    ended: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        async def child() -> None:
            await trio.sleep(0.1)
            await request.drop()
            ended.append("child after drop")

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
                await trio.sleep_forever()
        finally:
            ended.append("route")
            request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request(call_id="dropped")
    await alice.silence(5)
    assert ended == ["route"]
    statistics = server.statistics()
    assert statistics.groups["default"].dropped + statistics.reception.dropped == 1


@everywhere
async def test_the_worker_goes_on_with_the_next_message(autojump_clock: object, lab: Lab, place: str) -> None:
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.cseq.number % 2:
            await request.drop()
        await trio.sleep(0.010)
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    for cseq in range(1, 11):
        alice.request(call_id=f"call-{cseq}", cseq=cseq)
    assert sorted(answer.cseq.number for answer in await alice.answers()) == [2, 4, 6, 8, 10]


@everywhere
@pytest.mark.parametrize("waits_before", [False, True])
@pytest.mark.parametrize("caught", [False, True])
async def test_drop_inside_a_shielded_scope_is_an_error_and_the_next_message_is_unharmed(
    autojump_clock: object, lab: Lab, errors: Logged, place: str, waits_before: bool, caught: bool
) -> None:
    router = router_in(place)
    problems: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method == "INFO":
            if waits_before:
                await trio.sleep(0.1)
            with trio.CancelScope(shield=True):
                try:
                    await request.drop()
                except RuntimeError as error:
                    problems.append(str(error))
                    if not caught:
                        raise
        else:
            await trio.sleep(0.1)
            request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    alice.request("INFO", call_id="shielded")
    alice.request("OPTIONS", call_id="next")
    assert [(answer.call_id, answer.status) for answer in await alice.answers()] == [("next", 200)]
    assert "shielded" in problems[0]
    assert len(errors()) == (0 if caught else 1)


async def test_an_error_beside_the_drop_is_logged_and_nothing_is_sent(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method == "OPTIONS":
            request.reply(200)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await request.drop()
            finally:
                raise ValueError("on purpose")

    await lab.serve(router)
    alice = lab.peer()
    alice.request("INFO", call_id="both")
    await alice.silence(3)
    assert "on purpose" in errors()[0]
    assert "both" in errors()[0]
    assert (await alice.ask()).status == 200


@everywhere
@pytest.mark.parametrize("waits_before", [False, True])
async def test_frame_drop_in_a_route_is_an_error_and_does_not_end_the_server(
    autojump_clock: object, lab: Lab, errors: Logged, place: str, waits_before: bool
) -> None:
    """`request.frame` is within reach; what a script does with it must not end the server."""
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        if waits_before:
            await trio.sleep(0.1)
        if request.method == "INFO":
            request.frame.drop()
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    assert (await alice.ask("INFO")).status == 500
    assert "frame.drop() is for pre-routing" in errors()[0]
    assert (await alice.ask("OPTIONS")).status == 200
