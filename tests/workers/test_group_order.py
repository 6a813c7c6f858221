"""DESIGN.md section 4, Worker groups 1: bounds, order by Call-ID, idle workers, resizing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from trio_sip import Frame, Request, Response, Router, Server, WorkerGroup
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab, Peer

Logged = Callable[[], list[str]]


@attrs.define
class Work:
    """A router whose route takes as long as the Subject says, and what its workers did, when."""

    router: Router
    events: list[tuple[str, str, float]] = attrs.Factory(list)
    most_at_once: int = 0
    running: int = 0

    def begun(self) -> list[str]:
        return [name for what, name, _ in self.events if what == "begin"]

    def at(self, what: str, name: str) -> float:
        return next(when for w, n, when in self.events if (w, n) == (what, name))


def work_for(*groups: WorkerGroup) -> Work:
    work = Work(Router(groups=groups))

    @work.router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.delegate(groups[0].name):
            frame.drop()
        frame.shed()

    @work.router.request_route
    async def request_route(request: Request) -> None:
        name = f"{request.call_id}.{request.cseq.number}"
        work.events.append(("begin", name, trio.current_time()))
        work.running += 1
        work.most_at_once = max(work.most_at_once, work.running)
        try:
            if seconds := float(request.headers.get("Subject") or 0):
                await trio.sleep(seconds)
            request.reply(200)
        finally:
            work.running -= 1
            work.events.append(("end", name, trio.current_time()))

    return work


def send(peer: Peer, call_id: str, cseq: int = 1, seconds: float = 0.0) -> None:
    peer.request(call_id=call_id, cseq=cseq, headers=[("Subject", str(seconds))])


async def test_workers_bound_how_many_routes_wait_at_once(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=3, max_age=60))
    await lab.serve(work.router)
    alice = lab.peer()
    for number in range(10):
        send(alice, f"call-{number}", seconds=1)
    assert await alice.statuses(5) == [200] * 10
    assert work.most_at_once == 3


async def test_queue_bounds_how_many_frames_wait(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=1, queue=4, max_age=60))
    server = await lab.serve(work.router)
    alice = lab.peer()
    send(alice, "stuck", seconds=10)
    await trio.sleep(0.1)
    for number in range(7):
        send(alice, f"call-{number}")
    await trio.sleep(0.1)
    assert server.statistics().groups["g"].queue_length == 4
    assert sorted(await alice.statuses(20)) == [200] * 5 + [503] * 3


async def test_frames_whose_turn_has_come_count_against_the_queue(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=2, queue=4, max_age=600))
    server = await lab.serve(work.router)
    alice = lab.peer()
    send(alice, "one", 1, seconds=1)
    for cseq in (2, 3, 4):
        send(alice, "one", cseq, seconds=60)
    await trio.sleep(0.5)
    send(alice, "two", 1, seconds=60)
    await trio.sleep(1)  # one.1 has ended, one.2 and two.1 keep both workers, and two frames are ready
    assert work.running == 2
    for number in range(4):
        send(alice, f"call-{number}")
    await trio.sleep(0.1)
    assert server.statistics().groups["g"].queue_length == 4
    await alice.answers(200)


async def test_one_call_id_runs_one_at_a_time_in_arrival_order(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=4, max_age=60))
    await lab.serve(work.router)
    alice = lab.peer()
    for cseq, seconds in enumerate((0.5, 0.0, 0.3, 0.0, 0.0, 0.1), start=1):
        send(alice, "call", cseq, seconds)
    assert await alice.statuses(3) == [200] * 6
    assert work.begun() == [f"call.{cseq}" for cseq in range(1, 7)]
    assert work.most_at_once == 1


async def test_what_arrives_while_others_are_put_aside_stays_behind_them(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=4, max_age=60))
    await lab.serve(work.router)
    alice = lab.peer()
    for cseq in range(1, 20):
        send(alice, "call", cseq, 0.1)
        send(alice, "other", cseq, 0.07)
        await trio.sleep(0.03)
    assert await alice.statuses(3) == [200] * 38
    for name in ("call", "other"):
        mine = [begun for begun in work.begun() if begun.startswith(name)]
        assert mine == [f"{name}.{cseq}" for cseq in range(1, 20)]


async def test_a_waiting_route_does_not_hold_other_call_ids(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=2, max_age=60))
    await lab.serve(work.router)
    alice = lab.peer()
    begun = trio.current_time()
    send(alice, "slow", 1, seconds=10)
    for cseq in range(2, 6):
        send(alice, "slow", cseq)
    for number in range(5):
        send(alice, f"quick-{number}")
    assert await alice.statuses(0.5) == [200] * 5
    assert all(work.at("end", f"quick-{number}.1") == pytest.approx(begun + 0.010) for number in range(5))
    assert work.begun()[0] == "slow.1"
    assert await alice.statuses(12) == [200] * 5


async def test_a_call_that_waits_idles_no_worker(autojump_clock: object, lab: Lab) -> None:
    """Frames put aside cost no worker: the other three work on other calls all the while."""
    work = work_for(WorkerGroup("g", workers=4, max_age=60))
    await lab.serve(work.router)
    alice = lab.peer()
    begun = trio.current_time()
    for cseq in range(1, 11):
        send(alice, "slow", cseq, seconds=1.0)
    for number in range(9):
        send(alice, f"call-{number}", seconds=1.0)
    assert await alice.statuses(20) == [200] * 19
    assert max(work.at("end", f"call-{number}.1") for number in range(9)) == pytest.approx(begun + 3.01)
    assert work.at("end", "slow.10") == pytest.approx(begun + 10.01)


async def test_not_ordered_runs_one_call_id_side_by_side(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=4, ordered=False, max_age=60))
    await lab.serve(work.router)
    alice = lab.peer()
    for cseq, seconds in enumerate((0.4, 0.3, 0.2, 0.1), start=1):
        send(alice, "call", cseq, seconds)
    assert [answer.cseq.number for answer in await alice.answers()] == [4, 3, 2, 1]
    assert work.most_at_once == 4


async def test_order_survives_a_route_that_raises_drops_or_times_out(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", workers=3, deadline=5.0, max_age=60)])
    begun: list[int] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        begun.append(request.cseq.number)
        await trio.sleep(0.1)
        match request.headers["Subject"]:
            case "raise":
                raise ValueError("on purpose")
            case "drop":
                await request.drop()
            case "sleep":
                await trio.sleep(60)
            case _:
                request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    for cseq, what in enumerate(("ok", "raise", "drop", "ok", "sleep"), start=1):
        alice.request(call_id="call", cseq=cseq, headers=[("Subject", what)])
    await trio.sleep(2)
    alice.request(call_id="call", cseq=6, headers=[("Subject", "ok")])
    assert [(a.cseq.number, a.status) for a in await alice.answers(8)] == [
        (1, 200), (2, 500), (4, 200), (5, 503), (6, 200),
    ]  # fmt: skip
    assert begun == [1, 2, 3, 4, 5, 6]


async def start(lab: Lab, work: Work) -> Server:
    return await lab.serve(work.router)


async def test_resize_up_while_busy(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=1, max_age=60))
    server = await start(lab, work)
    alice = lab.peer()
    for number in range(8):
        send(alice, f"call-{number}", seconds=1)
    await trio.sleep(0.5)
    assert work.running == 1
    server.groups["g"].resize(4)
    await trio.sleep(0.1)
    assert work.running == 4
    assert server.statistics().groups["g"].workers == 4
    assert await alice.statuses(5) == [200] * 8


async def test_resize_down_while_busy_lets_those_in_work_finish(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=4, max_age=60))
    server = await start(lab, work)
    alice = lab.peer()
    for number in range(8):
        send(alice, f"call-{number}", seconds=1)
    await trio.sleep(0.5)
    server.groups["g"].resize(1)
    assert work.running == 4
    await trio.sleep(1.0)
    assert work.running == 1
    assert server.statistics().groups["g"].workers == 1
    assert await alice.statuses(5) == [200] * 8


async def test_resize_down_while_idle_and_back(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=4, max_age=60))
    server = await start(lab, work)
    group = server.groups["g"]
    for workers in (1, 3, 2, 6, 1):
        group.resize(workers)
        await trio.testing.wait_all_tasks_blocked()
        assert server.statistics().groups["g"].workers == workers
        assert server.statistics().groups["g"].idle == workers
    alice = lab.peer()
    for number in range(3):
        send(alice, f"call-{number}", seconds=0.1)
    assert await alice.statuses(2) == [200] * 3
    assert work.most_at_once == 1


async def test_resize_there_and_back_at_once_changes_nothing(autojump_clock: object, lab: Lab) -> None:
    work = work_for(WorkerGroup("g", workers=3, max_age=60))
    server = await start(lab, work)
    server.groups["g"].resize(1)
    server.groups["g"].resize(3)
    await trio.testing.wait_all_tasks_blocked()
    assert server.statistics().groups["g"].workers == 3
    alice = lab.peer()
    for number in range(6):
        send(alice, f"call-{number}", seconds=1)
    assert await alice.statuses(3) == [200] * 6
    assert work.most_at_once == 3


async def test_resize_from_within_a_route_with_frames_put_aside(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", workers=3, max_age=60)])
    servers: list[Server] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        await trio.sleep(1)
        servers[0].groups["default"].resize(1)
        await trio.sleep(1)
        request.reply(200)

    servers.append(await lab.serve(router))
    alice = lab.peer()
    for cseq in (1, 2, 3):
        for call_id in ("one", "two"):
            alice.request(call_id=call_id, cseq=cseq)
    assert await alice.statuses(20) == [200] * 6
    assert servers[0].statistics().groups["default"].workers == 1


@pytest.mark.parametrize("workers", [0, -1])
async def test_resize_to_nothing_is_refused(autojump_clock: object, lab: Lab, workers: int) -> None:
    work = work_for(WorkerGroup("g"))
    server = await start(lab, work)
    with pytest.raises(ValueError, match="1 to 10000 workers"):
        server.groups["g"].resize(workers)


async def test_when_full_refuse_leaves_it_to_the_script(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default", workers=1, queue=1)])
    told: list[bool] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        told.append(frame.delegate("default"))

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200 if request.worker_active else 486)

    await lab.serve(router)
    alice = lab.peer()
    alice.request(call_id="one")
    alice.request(call_id="two")
    assert sorted(await alice.statuses()) == [200, 486]
    assert told == [True, False]


async def test_when_full_shed_answers_and_delegate_says_yes(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    router = Router(groups=[WorkerGroup("default", workers=1, queue=1, when_full="shed")])
    told: list[bool] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        told.append(frame.delegate("default"))

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request("INVITE", call_id="one")
    alice.request("INVITE", call_id="two")
    alice.request("ACK", call_id="three")
    answers = {answer.call_id: answer for answer in await alice.answers()}
    assert {call_id: answer.status for call_id, answer in answers.items()} == {"one": 200, "two": 503}
    assert int(answers["two"].headers["Retry-After"]) > 0
    assert told == [True, True, True]
    assert server.statistics().groups["default"].shed == 2
    assert server.statistics().groups["default"].refused == 0
    assert warned() == []


async def test_responses_of_a_call_do_not_overtake_one_another(autojump_clock: object, lab: Lab) -> None:
    """What Kamailio with two children gets wrong for 1 to 2 % of calls."""
    router = Router(groups=[WorkerGroup("default", workers=4, max_age=60)])

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        await trio.sleep({100: 0.3, 180: 0.2, 200: 0.0}[response.status])

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    for number in range(3):
        alice.request("INVITE", "sip:bob@10.0.0.3", call_id=f"call-{number}")
        invite = await bob.agent.receive()
        for status in (100, 180, 200):
            bob.send(make_response(invite, status))
    answers = await alice.answers()
    for number in range(3):
        assert [a.status for a in answers if a.call_id == f"call-{number}"] == [100, 180, 200]


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_each_message_has_one_end_in_order(autojump_clock: object, lab: Lab, seed: int) -> None:
    """A random mix of routes that reply, wait, raise, drop and are late, while the group is resized."""
    dice = random.Random(seed)
    group = WorkerGroup("default", workers=3, queue=20, when_full="shed", deadline=3.0, max_age=1.5)
    router = Router(groups=[group])
    begun: dict[str, list[int]] = {}
    inside: set[str] = set()

    @router.request_route
    async def request_route(request: Request) -> None:
        assert request.call_id not in inside
        begun.setdefault(request.call_id, []).append(request.cseq.number)
        inside.add(request.call_id)
        try:
            match request.headers["Subject"].split():
                case ["reply"]:
                    request.reply(200)
                case ["wait", seconds]:
                    await trio.sleep(float(seconds))
                    request.reply(200)
                case ["raise"]:
                    raise ValueError("on purpose")
                case ["drop"]:
                    await request.drop()
        finally:
            inside.discard(request.call_id)

    server = await lab.serve(router)
    alice = lab.peer()
    sent: dict[str, int] = dict.fromkeys(("reply", "wait", "raise", "drop"), 0)
    for number in range(400):
        what = dice.choice(["reply", "reply", "wait", "wait", "raise", "drop"])
        sent[what] += 1
        subject = f"wait {dice.choice([0, 0.01, 0.2, 0.5, 60])}" if what == "wait" else what
        alice.request(call_id=f"call-{dice.randrange(12)}", cseq=number, headers=[("Subject", subject)])
        if dice.random() < 0.5:
            await trio.sleep(dice.expovariate(10))
        if dice.random() < 0.05:
            server.groups["default"].resize(dice.randrange(1, 7))
    answers = await alice.answers(10)
    assert inside == set()
    for numbers in begun.values():
        assert numbers == sorted(numbers)
    answered = [answer.cseq.number for answer in answers]
    assert len(answered) == len(set(answered))
    end = server.statistics().groups["default"]
    assert len(answers) == 400 - end.dropped
    assert end.queue_length == end.busy == 0
    statuses = [answer.status for answer in answers]
    assert statuses.count(500) == end.failed
    assert statuses.count(503) == end.shed + end.timed_out
    assert sum(map(len, begun.values())) == end.processed
    assert server.statistics().routing.requests == end.processed
