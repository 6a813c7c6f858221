"""Each of Kamailio's words does to the message being processed what it does in Kamailio."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_sip import Frame, LocalProtocolError, Request, Response, Router, WorkerGroup
from trio_sip.kamailio import (
    drop,
    forward,
    is_method,
    pv_get,
    pv_set,
    sl_send_reply,
    sworker_active,
    sworker_task,
    xdbg,
    xerr,
    xinfo,
    xwarn,
)
from trio_sip.testing import make_response

if TYPE_CHECKING:
    from conftest import Lab

Logged = Callable[[], list[str]]
everywhere = pytest.mark.parametrize("place", ["worker", "receive task"])


def router_in(place: str) -> Router:
    """One whose routes run in a worker, or in the receive task."""
    router = Router(groups=[WorkerGroup("default", workers=2)])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if place == "worker" and sworker_task("default"):
            drop()

    return router


# Delegating


async def test_sworker_task_and_sworker_active(autojump_clock: object, lab: Lab) -> None:
    router = Router(groups=[WorkerGroup("default")])
    seen: list[tuple[object, ...]] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        taken = sworker_task("$hdr(X-Group)")
        seen.append(("pre", taken, sworker_active()))
        if taken:
            drop()
            seen.append(("after drop",))

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append(("route", request.group, sworker_active(), request.worker_active))
        sl_send_reply(200, "OK")

    await lab.serve(router)
    alice = lab.peer()
    assert (await alice.ask(headers=[("X-Group", "default")])).status == 200
    assert (await alice.ask(headers=[("X-Group", "none such")])).status == 200
    assert seen == [
        ("pre", True, False),
        ("route", "default", True, True),
        ("pre", False, False),
        ("route", None, False, False),
    ]


@everywhere
async def test_sworker_task_in_a_route_is_refused_with_a_warning(
    autojump_clock: object, lab: Lab, warned: Logged, place: str
) -> None:
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(486 if sworker_task("default") else 200, "done")

    await lab.serve(router)
    assert [answer.status for answer in (await lab.peer().ask(),)] == [200]
    assert "the frame was delegated, dropped or processed before" in warned()[0]


# Ending


@everywhere
@pytest.mark.parametrize("waits_before", [False, True])
async def test_drop_in_a_route(autojump_clock: object, lab: Lab, place: str, waits_before: bool) -> None:
    router = router_in(place)
    reached: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        if waits_before:
            await trio.sleep(0.1)
        try:
            await drop()
            reached.append("after drop")
        finally:
            sl_send_reply(200, "too late")

    server = await lab.serve(router)
    alice = lab.peer()
    alice.request()
    await alice.silence(5)
    assert reached == []
    statistics = server.statistics()
    assert statistics.groups["default"].dropped + statistics.reception.dropped == 1


@everywhere
async def test_drop_of_a_response(autojump_clock: object, lab: Lab, place: str) -> None:
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        assert await forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        if pv_get("$rs") == 183:
            await drop()

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@10.0.0.3")
    invite = await bob.agent.receive()
    for status in (180, 183, 200):
        bob.send(make_response(invite, status))
    assert await alice.statuses() == [180, 200]


# Answering and sending on


async def test_sl_send_reply(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")
    returned: list[bool] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        returned.append(sl_send_reply("404", "No $rU here"))

    await lab.serve(router)
    answer = await lab.peer().ask("OPTIONS", "sip:carol@10.0.0.1")
    assert (answer.status, answer.reason) == (404, "No carol here")
    assert returned == [True]


async def test_sl_send_reply_with_the_usual_reason(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(486)

    await lab.serve(router)
    assert (await lab.peer().ask()).reason == "Busy Here"


@pytest.mark.parametrize(("code", "says"), [("busy", "not 'busy'"), (42, "100 to 699, not 42"), ("-1", "not '-1'")])
async def test_sl_send_reply_of_no_status(
    autojump_clock: object, lab: Lab, errors: Logged, code: Any, says: str
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(code, "what")

    await lab.serve(router)
    assert (await lab.peer().ask()).status == 500
    assert "LocalProtocolError" in errors()[0]
    assert says in errors()[0]


@everywhere
async def test_forward(autojump_clock: object, lab: Lab, place: str) -> None:
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        assert await forward("sip:$rU@10.0.0.3") is True

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@example.com")
    assert (await bob.asked()).uri_text == "sip:bob@10.0.0.3"  # Kamailio would leave sip:bob@example.com


async def test_forward_that_cannot_be_sent_is_false_and_logged(
    autojump_clock: object, lab: Lab, warned: Logged
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        if not await forward("sip:nowhere.invalid"):
            sl_send_reply(404, "No such host")

    await lab.serve(router)
    assert (await lab.peer().ask(call_id="lost")).status == 404
    [line] = warned()
    assert line.startswith("forward(sip:nowhere.invalid): ")
    assert line.endswith("(OPTIONS, Call-ID lost)")


async def test_forward_of_what_is_no_uri_is_the_scripts_mistake(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        await forward("10.0.0.5")

    await lab.serve(router)
    assert (await lab.peer().ask()).status == 500
    assert "forward to '10.0.0.5'" in errors()[0]


@pytest.mark.parametrize(
    ("methods", "answer"),
    [("INVITE", False), ("OPTIONS", True), ("INVITE|OPTIONS", True), ("invite | options", True), ("OPTION", False)],
)
async def test_is_method(autojump_clock: object, lab: Lab, methods: str, answer: bool) -> None:
    router = Router(groups=[WorkerGroup("default")])
    seen: list[bool] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        seen.append(is_method(methods))

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append(is_method(methods))
        await forward("sip:10.0.0.3")

    @router.reply_route
    async def reply_route(response: Response) -> None:
        seen.append(is_method(methods))  # by CSeq

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("OPTIONS")
    bob.send(make_response(await bob.agent.receive(), 200))
    await alice.answer()
    assert seen == [answer] * 4


# Logging


async def test_the_x_words_log_at_their_levels(
    autojump_clock: object, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "trio_sip.routes")
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        for word in (xdbg, xinfo, xwarn, xerr):
            word("$rm from [$si:$sp]\n")
        sl_send_reply(200)

    await lab.serve(router)
    await lab.peer().ask()
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "trio_sip.routes"]
    assert told == [(level, "OPTIONS from [10.0.0.2:5060]") for level in ("DEBUG", "INFO", "WARNING", "ERROR")]


async def test_what_is_logged_nowhere_is_not_made(
    autojump_clock: object, lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "trio_sip.routes")
    made: list[str] = []
    monkeypatch.setattr("trio_sip.kamailio.expand", lambda message, text: made.append(text))
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        xdbg("debug")
        xinfo("info")
        request.reply(200)

    await lab.serve(router)
    await lab.peer().ask()
    assert made == ["info"]


# Variables


async def test_a_variable_lives_as_long_as_its_message(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")
    seen: list[object] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append(pv_get("$var(count)"))
        pv_set("$var(count)", 1)
        await trio.sleep(0.01)
        seen.append(pv_get("$var(count)"))
        pv_set("$var(count)", None)
        seen.append(pv_get("$var(count)"))
        pv_set("$var(count)", 2)
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    for number in range(3):
        await alice.ask(call_id=f"call-{number}")
    assert seen == [None, 1, None] * 3


async def test_variables_of_messages_worked_on_at_the_same_time_are_apart(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        pv_set("$var(id)", request.call_id)
        await trio.sleep(0.1)
        sl_send_reply(200, "$var(id)")

    await lab.serve(router)
    alice = lab.peer()
    for number in range(4):
        alice.request(call_id=f"call-{number}")
    answers = await alice.answers()
    assert sorted(answer.reason for answer in answers) == [f"call-{number}" for number in range(4)]
    assert all(answer.reason == answer.call_id for answer in answers)


async def test_a_child_task_sees_message_and_variables_and_may_set_them(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        async def child() -> None:
            pv_set("$var(found)", pv_get("$rU"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        sl_send_reply(200, "$var(found)")

    await lab.serve(router)
    assert (await lab.peer().ask("OPTIONS", "sip:carol@10.0.0.1")).reason == "carol"


@pytest.mark.parametrize(("place", "reason"), [("worker", "<null>"), ("receive task", "set")])
async def test_what_pre_routing_has_set_is_there_in_place_and_gone_in_a_worker(
    autojump_clock: object, lab: Lab, place: str, reason: str
) -> None:
    router = Router(groups=[WorkerGroup("default")])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        pv_set("$var(x)", "set")
        if place == "worker":
            sworker_task("default")

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(200, "$var(x)")

    await lab.serve(router)
    assert (await lab.peer().ask()).reason == reason


async def test_a_variable_in_the_formats_of_a_frame(
    autojump_clock: object, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_sip.routes")
    router = Router(groups=[WorkerGroup("shard-1")])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        pv_set("$var(shard)", 1)
        frame.delegate("shard-$var(shard)")
        frame.log("shard $var(shard)")

    @router.request_route
    async def request_route(request: Request) -> None:
        sl_send_reply(200, request.group)

    await lab.serve(router)
    assert (await lab.peer().ask()).reason == "shard-1"
    assert "shard 1" in caplog.messages


async def test_pv_set_of_the_request_uri(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        pv_set("$ru", "sip:desk@10.0.0.3")
        await forward()

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", "sip:bob@example.com")
    assert (await bob.asked()).uri_text == "sip:desk@10.0.0.3"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("$rm", "INVITE", "pv_set: $rm cannot be set, only $var(name), and $ru to text in a request_route"),
        ("$var()", 1, "$var() cannot be set"),
        ("var", 1, "var cannot be set"),
        ("$ru", None, "$ru cannot be set"),
        ("$ru", "no uri", "$ru cannot be 'no uri'"),
    ],
)
async def test_what_cannot_be_set(
    autojump_clock: object, lab: Lab, errors: Logged, name: str, value: Any, says: str
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        pv_set(name, value)

    await lab.serve(router)
    assert (await lab.peer().ask()).status == 500
    assert says in errors()[0]


# Where they are out of place

WORDS: list[tuple[str, Callable[[], object]]] = [
    ("sworker_task", lambda: sworker_task("default")),
    ("sworker_active", sworker_active),
    ("drop", drop),
    ("forward", forward),
    ("is_method", lambda: is_method("INVITE")),
    ("sl_send_reply", lambda: sl_send_reply(200)),
    ("pv_get", lambda: pv_get("$rm")),
    ("pv_set", lambda: pv_set("$var(x)", 1)),
    ("xdbg", lambda: xdbg("x")),
    ("xinfo", lambda: xinfo("x")),
    ("xwarn", lambda: xwarn("x")),
    ("xerr", lambda: xerr("x")),
]


@pytest.mark.parametrize(("word", "call"), WORDS)
def test_outside_of_any_message_it_says_so(word: str, call: Callable[[], object]) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        call()
    assert str(raised.value) == (
        f"{word}() acts on the message being processed, and here is none: call it in pre_routing, in a request_route "
        "or a reply_route, or in a task one of them has started"
    )


async def test_in_a_task_beside_the_server_it_says_so(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    await lab.serve(router)
    await lab.peer().ask()
    with pytest.raises(LocalProtocolError, match="here is none"):
        xinfo("x")


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("sl_send_reply", "only a request is answered, and only in its route"),
        ("forward", "what is not dropped goes on by itself"),
    ],
)
async def test_in_pre_routing_and_in_a_reply_route_it_says_so(
    autojump_clock: object, lab: Lab, word: str, instead: str
) -> None:
    router = Router(groups=[WorkerGroup("default")])
    call = dict(WORDS)[word]
    said: list[str] = []

    def note() -> None:
        try:
            call()
        except LocalProtocolError as error:
            said.append(str(error))

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.is_request:
            note()

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward("sip:10.0.0.3")

    @router.reply_route
    async def reply_route(response: Response) -> None:
        note()

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request()
    bob.send(make_response(await bob.agent.receive(), 200))
    assert (await alice.answer()).status == 200
    assert said == [
        f"{word}() is for a request_route, and this is {place}; {instead}" for place in ("pre-routing", "a reply_route")
    ]
