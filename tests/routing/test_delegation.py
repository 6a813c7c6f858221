"""DESIGN.md section 4, Delegation 1 to 9."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from trio_sip import Frame, Request, Response, Router, WorkerGroup
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

from trio_sip.workers.reception import MAX_WAITING_IN_PLACE

Logged = Callable[[], list[str]]


@attrs.define
class Seen:
    """What the routes have seen, and what pre-routing was told."""

    frames: list[Frame] = attrs.Factory(list)
    told: list[bool] = attrs.Factory(list)
    requests: list[tuple[str, bool, str | None, object]] = attrs.Factory(list)
    responses: list[tuple[int, bool, str | None, object]] = attrs.Factory(list)


def make_router(seen: Seen, *groups: WorkerGroup, in_place_deadline: float = 0.25) -> Router:
    """Replies 200 to OPTIONS, forwards the rest, writes down who worked on what."""
    router = Router(groups=groups or [WorkerGroup("default")], in_place_deadline=in_place_deadline)

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.requests.append((request.method, request.worker_active, request.group, request.xdata))
        if request.method == "OPTIONS":
            request.reply(200)
        else:
            await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        seen.responses.append((response.status, response.worker_active, response.group, response.xdata))

    return router


def delegating(router: Router, seen: Seen, *groups: str, xdata: object = None) -> None:
    """Pre-routing that tries these groups one after the other, and forgets to drop."""

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        seen.frames.append(frame)
        for group in groups:
            seen.told.append(frame.delegate(group, xdata=xdata))


async def test_1_the_worker_gets_the_bytes_that_came_and_xdata(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen)
    got: list[bytes] = []

    @router.request_route("INFO")
    async def info(request: Request) -> None:
        got.append(request.data)
        assert request.headers["Subject"] == "as it came"
        request.reply(200)

    delegating(router, seen, "default", xdata={"shard": 7})
    await lab.serve(router)
    alice = lab.peer()
    sent = alice.request("INFO", headers=[("Subject", "as it came")])
    assert (await alice.answer()).status == 200
    assert got == [sent]
    alice.request("OPTIONS")
    await alice.answer()
    assert seen.requests == [("OPTIONS", True, "default", {"shard": 7})]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_1_pre_routing_cannot_change_the_message(autojump_clock: object, lab: Lab, when: str) -> None:
    router = Router(groups=[WorkerGroup("default")])
    got: list[tuple[bytes, object]] = []
    refused: list[str] = []

    def spoil(frame: Frame) -> None:
        for what, value in {"data": b"", "arrived": -1e9, "flow": None, "xdata": "smuggled"}.items():
            try:
                setattr(frame, what, value)
            except AttributeError:
                refused.append(what)

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if when == "before":
            spoil(frame)
        assert frame.delegate("default", xdata="passed")
        if when == "after":
            spoil(frame)

    @router.request_route
    async def request_route(request: Request) -> None:
        got.append((request.data, request.xdata))
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    sent = alice.request()
    assert (await alice.answer()).status == 200
    assert got == [(sent, "passed")]
    assert refused == ["data", "arrived", "flow", "xdata"]


async def test_2_delegating_creates_nothing_that_outlives_the_message(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen)
    delegating(router, seen, "default")
    server = await lab.serve(router)
    alice = lab.peer()
    before = trio.lowlevel.current_statistics().tasks_living
    for number in range(20):
        alice.request(call_id=f"call-{number}")
    assert await alice.statuses() == [200] * 20
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert server.statistics().groups["default"].queue_length == 0


async def test_3_unknown_group_warns_and_is_processed_in_place(
    autojump_clock: object, lab: Lab, warned: Logged
) -> None:
    seen = Seen()
    router = make_router(seen)
    delegating(router, seen, "nobody")
    server = await lab.serve(router)
    assert (await lab.peer().ask()).status == 200
    assert seen.told == [False]
    assert seen.requests == [("OPTIONS", False, None, None)]
    assert [line for line in warned() if "'nobody'" in line and "no such group" in line and "default" in line]
    assert server.statistics().reception.in_place == 1


async def test_3_full_group_warns_and_is_processed_in_place(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    seen = Seen()
    router = make_router(seen, WorkerGroup("default", workers=1, queue=1))
    delegating(router, seen, "default")
    server = await lab.serve(router)
    alice = lab.peer()
    for number in range(5):
        alice.request(call_id=f"call-{number}")  # one wake-up: the worker is not yet awake
    assert await alice.statuses() == [200] * 5
    assert seen.told == [True, False, False, False, False]
    assert sorted(active for _, active, _, _ in seen.requests) == [False] * 4 + [True]
    assert len([line for line in warned() if "'default': it is full" in line]) == 1  # rate-limited
    assert server.statistics().groups["default"].refused == 4


async def test_3_the_warning_comes_again_after_a_second_with_how_many_were_held_back(
    autojump_clock: object, lab: Lab, warned: Logged
) -> None:
    seen = Seen()
    router = make_router(seen)
    delegating(router, seen, "nobody")
    await lab.serve(router)
    alice = lab.peer()
    for number in range(4):
        alice.request(call_id=f"call-{number}")
    await trio.sleep(1.5)
    alice.request(call_id="later")
    assert await alice.statuses() == [200] * 5
    lines = [line for line in warned() if "no such group" in line]
    assert len(lines) == 2
    assert "3 more" in lines[1]


async def test_3_closed_group_warns_and_is_processed_in_place(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    seen = Seen()
    router = make_router(seen)
    delegating(router, seen, "default")
    server = await lab.serve(router)
    server.groups["default"].close()
    assert (await lab.peer().ask()).status == 200
    assert seen.requests == [("OPTIONS", False, None, None)]
    assert [line for line in warned() if "it is closed" in line]


async def test_3_and_4_delegated_twice_is_processed_once(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    seen = Seen()
    router = make_router(seen, WorkerGroup("default"), WorkerGroup("other"))
    delegating(router, seen, "default", "other", "default")
    await lab.serve(router)
    alice = lab.peer()
    alice.request()
    assert await alice.statuses() == [200]
    assert seen.told == [True, False, False]
    assert seen.requests == [("OPTIONS", True, "default", None)]
    assert [line for line in warned() if "before" in line]


async def test_3_outside_pre_routing_delegate_says_no(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    seen = Seen()
    router = make_router(seen)
    told: list[bool] = []

    @router.request_route("INFO")
    async def info(request: Request) -> None:
        told.append(request.frame.delegate("default"))
        request.reply(200)

    delegating(router, seen)
    await lab.serve(router)
    alice = lab.peer()
    alice.request("INFO")
    assert await alice.statuses() == [200]
    assert told == [False]
    told.append(seen.frames[0].delegate("default"))  # kept by pre-routing, long processed
    await alice.silence()
    assert told == [False, False]
    assert warned()


async def test_3_another_group_can_be_tried(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen, WorkerGroup("small", workers=1, queue=1), WorkerGroup("large"))

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.delegate("small", xdata="s") or frame.delegate("large"):
            frame.drop()

    await lab.serve(router)
    alice = lab.peer()
    for number in range(3):
        alice.request(call_id=f"call-{number}")
    assert await alice.statuses() == [200] * 3
    assert sorted((group, xdata) for _, _, group, xdata in seen.requests) == [
        ("large", None), ("large", None), ("small", "s"),
    ]  # fmt: skip


async def test_4_code_after_drop_does_not_run(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen)
    reached: list[str] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        try:
            frame.drop()
            reached.append("after drop")
        except Exception:
            reached.append("except Exception")

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request()
    await alice.silence()
    assert reached == []
    assert seen.requests == []
    assert server.statistics().reception.dropped == 1


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("shard-$si", "shard-10.0.0.2"),
        ("$rm", "OPTIONS"),
        ("$rm-$$-$proto", "OPTIONS-$-udp"),
        ("at-$Rp", "at-5060"),
    ],
)
async def test_5_group_names_hold_pseudo_variables(autojump_clock: object, lab: Lab, name: str, group: str) -> None:
    seen = Seen()
    wanted = "OPTIONS-x-udp" if "$" in group else group
    router = make_router(seen, WorkerGroup(wanted))
    delegating(router, seen, name.replace("$$", "x"))
    await lab.serve(router)
    assert (await lab.peer().ask()).status == 200
    assert seen.requests == [("OPTIONS", True, wanted, None)]


async def test_5_a_shard_nobody_declared_is_an_unknown_group(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    seen = Seen()
    router = make_router(seen, WorkerGroup("shard-10.0.0.9"))
    delegating(router, seen, "shard-$si")
    await lab.serve(router)
    assert (await lab.peer().ask()).status == 200
    assert seen.told == [False]
    assert [line for line in warned() if "shard-10.0.0.2" in line]


async def test_5_unknown_pseudo_variable_stays_and_is_warned_of(
    autojump_clock: object, lab: Lab, errors: Logged, warned: Logged
) -> None:
    seen = Seen()
    router = make_router(seen)
    delegating(router, seen, "shard-$bogus")
    await lab.serve(router)
    assert (await lab.peer().ask()).status == 200
    assert not errors()
    assert any("$bogus is not a pseudo-variable" in line for line in warned())
    assert any("no such group" in line for line in warned())


async def test_6_pre_routing_runs_once_for_requests_and_for_responses(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen)
    delegating(router, seen, "default")
    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("MESSAGE", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 202))
    assert (await alice.answer()).status == 202
    assert [(frame.method, frame.status) for frame in seen.frames] == [("MESSAGE", None), ("MESSAGE", 202)]


async def test_7_requests_and_responses_know_who_works_on_them(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen, WorkerGroup("default"), WorkerGroup("replies"))

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if not frame.is_request and frame.status == 200:
            frame.delegate("replies", xdata=frame.status)
        elif frame.is_request and frame.method == "INFO":
            frame.delegate("default")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    for method in ("INFO", "MESSAGE"):
        alice.request(method, "sip:bob@10.0.0.3")
        asked = await bob.agent.receive()
        bob.send(make_response(asked, 100))
        bob.send(make_response(asked, 200))
    assert sorted(await alice.statuses()) == [100, 100, 200, 200]
    assert seen.requests == [("INFO", True, "default", None), ("MESSAGE", False, None, None)]
    assert sorted(seen.responses, key=str) == [(100, False, None, None)] * 2 + [(200, True, "replies", 200)] * 2


async def test_8_without_pre_routing_default_does_it_all(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen, WorkerGroup("other"))
    server = await lab.serve(router)
    assert (await lab.peer().ask()).status == 200
    assert seen.requests == [("OPTIONS", True, "default", None)]
    assert set(server.groups) == {"default", "other"}


@pytest.mark.parametrize("groups", [[WorkerGroup("default", workers=1, queue=2)], [WorkerGroup("other")]])
async def test_8_without_pre_routing_default_sheds_when_full(
    autojump_clock: object, lab: Lab, groups: list[WorkerGroup]
) -> None:
    seen = Seen()
    server = await lab.serve(make_router(seen, *groups))
    queue = server.groups["default"].settings.queue
    alice = lab.peer()
    if queue > 2:  # more than arrive in one wake-up
        assert server.groups["default"].settings.when_full == "shed"
        return
    for number in range(6):
        alice.request(call_id=f"call-{number}")
    answers = await alice.answers()
    assert sorted(answer.status for answer in answers) == [200] * queue + [503] * 4
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 503)
    assert all(active for _, active, _, _ in seen.requests)


async def test_9_a_slow_route_in_place_is_cut_off_and_the_listener_goes_on(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen, in_place_deadline=0.25)
    ended: list[float] = []

    @router.request_route("INFO")
    async def slow(request: Request) -> None:
        try:
            await trio.sleep(60)
        finally:
            ended.append(trio.current_time())

    delegating(router, seen)
    server = await lab.serve(router)
    alice = lab.peer()
    begun = trio.current_time()
    alice.request("INFO", call_id="slow")
    alice.request("OPTIONS", call_id="next-of-the-same-batch")
    answers = await alice.answers()
    assert [(answer.status, answer.call_id) for answer in answers] == [
        (200, "next-of-the-same-batch"),
        (503, "slow"),
    ]
    assert answers[1].headers["Retry-After"]
    assert ended == [pytest.approx(begun + 0.010 + 0.25)]
    assert server.statistics().reception.timed_out == 1


async def test_9_routes_that_wait_in_place_do_not_hold_the_listener(autojump_clock: object, lab: Lab) -> None:
    """The sworker pattern with a full group: each refused REGISTER waits in place, and OPTIONS keeps its latency."""
    router = Router(
        groups=[WorkerGroup("default"), WorkerGroup("registrations", workers=2, queue=5)], in_place_deadline=0.25
    )

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.delegate("registrations" if frame.method == "REGISTER" else "default"):
            frame.drop()

    @router.request_route("REGISTER")
    async def register(request: Request) -> None:
        await trio.sleep(1)
        request.reply(200)

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    for number in range(MAX_WAITING_IN_PLACE + 40):
        alice.request("REGISTER", call_id=f"register-{number}")
    begun = trio.current_time()
    alice.request("OPTIONS", call_id="options")
    while (answer := await alice.answer()).call_id != "options":
        assert answer.status == 503
    assert trio.current_time() - begun == pytest.approx(0.020)
    await trio.sleep(5)
    counted = server.statistics().reception
    assert counted.in_place == MAX_WAITING_IN_PLACE + 40 - 7
    assert counted.timed_out == counted.in_place


async def test_9_a_response_in_place_that_takes_too_long_goes_on_as_it_came(autojump_clock: object, lab: Lab) -> None:
    router = Router()

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        """Everything in place."""

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


def shedding(seen: Seen) -> Router:
    router = make_router(seen)

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.method == "OPTIONS":
            return
        if frame.header("Subject") == "in" or not frame.is_request:
            frame.shed()
            raise AssertionError("shed returned")

    return router


async def test_9_shed_request_gets_503_with_retry_after(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    server = await lab.serve(shedding(seen))
    alice = lab.peer()
    answer = await alice.ask("INVITE", headers=[("Subject", "in")])
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.to_tag
    assert seen.requests == []
    assert server.statistics().reception.shed == 1


async def test_9_shed_ack_gets_nothing(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    await lab.serve(shedding(seen))
    alice = lab.peer()
    alice.request("ACK", headers=[("Subject", "in")])
    await alice.silence()
    assert seen.requests == []


async def test_9_shed_response_is_forwarded_as_it_came(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    await lab.serve(shedding(seen))
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INFO", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 200, headers=[("X-Own", "  spaced")]))
    assert (await alice.answer()).status == 200
    assert seen.responses == []


async def test_a_log_line_holds_pseudo_variables(
    autojump_clock: object, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_sip.routes")
    seen = Seen()
    router = make_router(seen)

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        frame.log("from [$si:$sp] $rm $ci $hdr(Subject)")

    await lab.serve(router)
    await lab.peer().ask(call_id="one")
    assert "from [10.0.0.2:5060] OPTIONS one <null>" in caplog.messages


async def test_keep_alives_and_empty_datagrams_reach_nobody(autojump_clock: object, lab: Lab) -> None:
    seen = Seen()
    router = make_router(seen)
    delegating(router, seen, "default")
    server = await lab.serve(router)
    alice = lab.peer()
    for data in (b"\r\n\r\n", b"\0", b"", b"\r\n"):
        alice.send(data)
    assert (await alice.ask()).status == 200
    assert len(seen.frames) == 1
    assert server.statistics().reception.keep_alives == 4
