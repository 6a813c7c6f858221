"""DESIGN.md section 4, Worker groups 2, 3 and 5: deadline, max_age, goodput under overload, statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from trio_sip import Request, Response, Router, WorkerGroup
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

Logged = Callable[[], list[str]]


def sleeping(*groups: WorkerGroup, ended: list[tuple[str, float]] | None = None) -> Router:
    """Its route sleeps as long as the Subject says, then replies 200."""
    router = Router(groups=groups)

    @router.request_route
    async def request_route(request: Request) -> None:
        try:
            await trio.sleep(float(request.headers.get("Subject") or 0))
            request.reply(200)
        finally:
            if ended is not None:
                ended.append((request.call_id, trio.current_time()))

    return router


def takes(seconds: float) -> list[tuple[str, str]]:
    return [("Subject", str(seconds))]


async def test_deadline_in_a_route_answers_503_and_cleans_up(autojump_clock: object, lab: Lab) -> None:
    ended: list[tuple[str, float]] = []
    server = await lab.serve(sleeping(WorkerGroup("default", workers=2, deadline=2.0), ended=ended))
    alice = lab.peer()
    begun = trio.current_time()
    answer = await alice.ask("INVITE", call_id="late", headers=takes(60))
    assert trio.current_time() == pytest.approx(begun + 2.0 + 0.020)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert [call_id for call_id, _ in ended] == ["late"]
    assert ended[0][1] == pytest.approx(begun + 2.010)
    assert server.statistics().groups["default"].timed_out == 1
    assert (await alice.ask(call_id="next")).status == 200  # the worker goes on
    assert server.statistics().groups["default"].idle == 2


async def test_deadline_counts_from_arrival_not_from_the_route(autojump_clock: object, lab: Lab) -> None:
    ended: list[tuple[str, float]] = []
    await lab.serve(sleeping(WorkerGroup("default", workers=1, deadline=2.0), ended=ended))
    alice = lab.peer()
    alice.request(call_id="one", headers=takes(1.5))
    alice.request(call_id="two", headers=takes(1.5))
    begun = trio.current_time()
    assert [(answer.call_id, answer.status) for answer in await alice.answers(3)] == [
        ("one", 200),
        ("two", 503),
    ]
    assert ended[1][1] == pytest.approx(begun + 2.010)


async def test_deadline_on_the_channel_answers_503_in_time(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", workers=1, deadline=2.0)])
    opened: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        opened.append(request.call_id)
        with trio.CancelScope(shield=True):
            await trio.sleep(10)

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request(call_id="stubborn")
    await trio.sleep(0.5)
    begun = trio.current_time()
    answer = await alice.ask(call_id="waits")
    assert (answer.call_id, answer.status) == ("waits", 503)
    assert trio.current_time() == pytest.approx(begun + 2.0 + 0.020)
    assert answer.headers["Retry-After"]
    await alice.answers(12)
    assert opened == ["stubborn"]
    statistics = server.statistics().groups["default"]
    assert (statistics.timed_out, statistics.shed) == (2, 0)


async def test_deadline_after_an_answer_sends_nothing_more(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", deadline=1.0)])

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(180)
        if request.method == "OPTIONS":
            request.reply(200)
        await trio.sleep(60)

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request("OPTIONS")
    assert await alice.statuses(3) == [180, 200]
    alice.request("INVITE")
    assert await alice.statuses(3) == [180, 503]  # a provisional answer is not an end
    assert server.statistics().groups["default"].timed_out == 2


async def test_deadline_of_an_ack_sends_nothing(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(sleeping(WorkerGroup("default", workers=1, deadline=1.0, max_age=0.5)))
    alice = lab.peer()
    alice.request("ACK", call_id="in-a-route", headers=takes(60))
    alice.request("ACK", call_id="on-the-channel")
    await alice.silence(5)
    statistics = server.statistics().groups["default"]
    assert (statistics.timed_out, statistics.shed) == (1, 1)


async def test_deadline_of_a_response_lets_it_go_on_as_it_came(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", deadline=1.0)])

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        response.headers.set("Server", "spoilt")
        await trio.sleep(60)

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INFO", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 200, headers=[("Server", "bob")]))
    answer = await alice.answer()
    assert (answer.status, answer.headers["Server"]) == (200, "bob")


async def test_a_final_answer_in_a_finally_block_counts_as_the_answer(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", deadline=1.0)])

    @router.request_route
    async def request_route(request: Request) -> None:
        try:
            await trio.sleep(60)
        finally:
            request.reply(480)

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request("INVITE")
    assert await alice.statuses(3) == [480]
    assert server.statistics().groups["default"].timed_out == 1


async def test_deadline_ends_the_children_of_a_route(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", deadline=1.0)])
    ended: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        async def child(name: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")

    await lab.serve(router)
    assert (await lab.peer().ask()).status == 503
    assert sorted(ended) == ["a", "b"]


async def test_an_error_that_comes_along_with_the_deadline_is_logged(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = Router(groups=[WorkerGroup("default", deadline=1.0)])

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

    await lab.serve(router)
    alice = lab.peer()
    alice.request()
    assert len(await alice.statuses(3)) == 1
    assert "on purpose" in errors()[0]
    assert await alice.statuses(3) == []


async def test_max_age_is_shed_before_any_work(autojump_clock: object, lab: Lab) -> None:
    ended: list[tuple[str, float]] = []
    server = await lab.serve(sleeping(WorkerGroup("default", workers=1, max_age=1.0), ended=ended))
    alice = lab.peer()
    alice.request(call_id="slow", headers=takes(30))
    await trio.sleep(0.25)
    begun = trio.current_time()
    for number in range(3):
        alice.request(call_id=f"call-{number}")
    answers = [await alice.answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [503] * 3
    assert trio.current_time() == pytest.approx(begun + 1.0 + 0.020)
    assert await alice.statuses(40) == [200]
    assert [call_id for call_id, _ in ended] == ["slow"]
    statistics = server.statistics().groups["default"]
    assert (statistics.shed, statistics.timed_out, statistics.processed) == (3, 0, 1)


async def test_max_age_counts_for_frames_put_aside_behind_their_call_id(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(sleeping(WorkerGroup("default", workers=3, max_age=1.0)))
    alice = lab.peer()
    alice.request(call_id="slow", headers=takes(30))
    alice.request(call_id="slow", cseq=2)
    begun = trio.current_time()
    answer = await alice.answer()
    assert (answer.status, answer.cseq.number) == (503, 2)
    assert trio.current_time() == pytest.approx(begun + 1.0 + 0.020)


@pytest.mark.parametrize("limit", [0.1, 0.3, 0.7, 1.1])
async def test_overdue_frames_are_shed_at_any_moment_of_arrival(autojump_clock: object, lab: Lab, limit: float) -> None:
    """`arrived + limit - arrived` is not always `limit`. The supervisor must not spin on that."""
    server = await lab.serve(sleeping(WorkerGroup("default", workers=1, max_age=limit)))
    alice = lab.peer()
    alice.request(call_id="slow", headers=takes(60))
    for number in range(50):
        alice.request(call_id=f"call-{number}")
        await trio.sleep(0.037)
    assert await alice.statuses(5) == [503] * 50
    assert server.statistics().groups["default"].shed == 50


async def test_a_deadline_passed_on_the_channel_is_counted_as_timed_out(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", workers=1, deadline=0.7)])

    @router.request_route
    async def request_route(request: Request) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    server = await lab.serve(router)
    alice = lab.peer()
    for number in range(50):
        alice.request(call_id=f"call-{number}")
        await trio.sleep(0.037)
    assert await alice.statuses(5) == [503] * 49
    statistics = server.statistics().groups["default"]
    assert (statistics.timed_out, statistics.shed) == (49, 0)


@pytest.mark.parametrize("when_full", ["shed", "refuse"])
async def test_goodput_stays_level_at_ten_times_the_capacity(autojump_clock: object, lab: Lab, when_full: str) -> None:
    """Four workers at 20 ms: 200 a second. 2000 a second come for three seconds."""
    good: list[float] = []
    router = Router(
        groups=[WorkerGroup("default", workers=4, queue=64, when_full=when_full, max_age=0.5)]  # type: ignore[arg-type]
    )

    if when_full == "refuse":

        @router.pre_routing
        def pre_routing(frame: object) -> None:
            if not frame.delegate("default"):  # type: ignore[attr-defined]
                frame.shed()  # type: ignore[attr-defined]

    @router.request_route
    async def request_route(request: Request) -> None:
        await trio.sleep(0.020)
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    begun = trio.current_time()
    for number in range(6000):
        alice.request(call_id=f"call-{number}")
        if number % 20 == 0:
            await trio.sleep(0.010)
    refused = 0
    while (data := alice.agent.receive_nowait()) is not None:
        if data.startswith(b"SIP/2.0 200 "):
            good.append(0.0)
        else:
            assert data.startswith(b"SIP/2.0 503 ")
            refused += 1
    seconds = trio.current_time() - begun
    assert seconds == pytest.approx(3.0)
    assert len(good) == pytest.approx(200 * seconds, rel=0.05)
    assert len(good) + refused >= 6000 - 64 - 4 - 40


async def test_after_overload_everything_is_answered_again(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(sleeping(WorkerGroup("default", workers=2, queue=8, when_full="shed", max_age=0.5)))
    alice = lab.peer()
    for number in range(200):
        alice.request(call_id=f"call-{number}", headers=takes(0.05))
    statuses = await alice.statuses(2)
    assert len(statuses) == 200
    assert (await alice.ask(call_id="after")).status == 200
    statistics = server.statistics().groups["default"]
    assert (statistics.queue_length, statistics.busy, statistics.idle) == (0, 0, 2)


@attrs.define
class Bulkhead:
    options: list[float] = attrs.Factory(list)


async def test_a_full_group_leaves_the_others_their_latency(autojump_clock: object, lab: Lab) -> None:
    router = Router(
        groups=[
            WorkerGroup("default"),
            WorkerGroup("registrations", workers=2, queue=16, when_full="shed", max_age=60),
        ]
    )

    @router.pre_routing
    def pre_routing(frame: object) -> None:
        frame.delegate("registrations" if frame.method == "REGISTER" else "default")  # type: ignore[attr-defined]

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method == "REGISTER":
            await trio.sleep(1)
        request.reply(200)

    server = await lab.serve(router)
    phones, alice = lab.peer("10.0.0.9"), lab.peer()
    for number in range(100):
        phones.request("REGISTER", call_id=f"reg-{number}")
    await trio.sleep(0.5)
    assert server.statistics().groups["registrations"].queue_length >= 14
    for number in range(20):
        begun = trio.current_time()
        assert (await alice.ask(call_id=f"call-{number}")).status == 200
        assert trio.current_time() - begun == pytest.approx(0.020)


async def test_statistics_are_exact_after_a_mixed_run(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", workers=4, queue=10, when_full="shed", deadline=5.0, max_age=2.0)])

    @router.request_route
    async def request_route(request: Request) -> None:
        match request.headers["Subject"]:
            case "drop":
                await request.drop()
            case "raise":
                raise ValueError("on purpose")
            case "raise later":
                await trio.sleep(0.1)
                raise ValueError("on purpose")
            case "late":
                await trio.sleep(60)
            case "slow":
                await trio.sleep(1)
        request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    for what, times in {"drop": 3, "raise": 2, "raise later": 2, "late": 1, "slow": 2, "quick": 5}.items():
        for number in range(times):
            alice.request(call_id=f"{what[-5:].strip()}-{number}-{times}", headers=[("Subject", what)])
            await trio.sleep(0.2)
    for cseq in range(1, 4):  # behind one another: the second and third are put aside
        alice.request(call_id="same", cseq=cseq, headers=[("Subject", "slow")])
    await trio.sleep(0.5)
    now = server.statistics().groups["default"]
    assert (now.workers, now.busy, now.idle, now.queue_length) == (4, 2, 2, 2)
    assert now.queue_age == pytest.approx(0.490)
    statuses = await alice.statuses(10)
    assert sorted(statuses) == [200] * 9 + [500] * 4 + [503] * 2
    end = server.statistics()
    group = end.groups["default"]
    assert (group.delegated, group.processed, group.refused) == (18, 17, 0)
    assert (group.dropped, group.failed, group.timed_out, group.shed) == (3, 4, 1, 1)
    assert (group.queue_length, group.queue_age, group.busy, group.idle) == (0, 0.0, 0, 4)
    assert end.reception.received == end.reception.delegated == 18
    assert end.routing.requests == 17
    assert end.routing.replied == 15
