"""DESIGN.md section 4, Nothing is silent: what goes wrong in a script is logged and answered."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import trio

from trio_sip import Address, Frame, RemoteProtocolError, Request, Response, Router, TransportError, WorkerGroup
from trio_sip.testing import make_request, make_response

if TYPE_CHECKING:
    from conftest import Lab

Logged = Callable[[], list[str]]


def router_in(place: str) -> Router:
    router = Router(groups=[WorkerGroup("default", workers=2)])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if place == "worker":
            frame.delegate("default")

    return router


everywhere = pytest.mark.parametrize("place", ["worker", "receive task"])
waiting_or_not = pytest.mark.parametrize("waits_before", [False, True])


@everywhere
@waiting_or_not
async def test_a_route_that_raises_is_logged_and_answered_500(
    autojump_clock: object, lab: Lab, errors: Logged, place: str, waits_before: bool
) -> None:
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        if waits_before:
            await trio.sleep(0.1)
        if request.method == "INFO":
            raise ValueError("on purpose")
        request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    assert (await alice.ask("INFO", call_id="the-call")).status == 500
    (logged,) = errors()
    for what in ("the-call", "Traceback", "ValueError: on purpose", "request_route", __file__):
        assert what in logged
    assert (await alice.ask()).status == 200
    statistics = server.statistics()
    assert statistics.groups["default"].failed + statistics.reception.failed == 1


@waiting_or_not
async def test_an_exception_group_is_logged_whole(
    autojump_clock: object, lab: Lab, errors: Logged, waits_before: bool
) -> None:
    router = router_in("worker")

    async def child(name: str) -> None:
        try:
            if waits_before:
                await trio.sleep(0.1)
        finally:
            raise ValueError(f"on purpose: {name}")

    @router.request_route
    async def request_route(request: Request) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")

    await lab.serve(router)
    alice = lab.peer()
    assert (await alice.ask(call_id="the-call")).status == 500
    (logged,) = errors()
    for what in ("the-call", "on purpose: a", "on purpose: b", "ExceptionGroup"):
        assert what in logged


async def test_a_route_that_raises_after_its_answer_adds_none(autojump_clock: object, lab: Lab, errors: Logged) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)
        raise ValueError("on purpose")

    await lab.serve(router)
    alice = lab.peer()
    alice.request()
    assert await alice.statuses() == [200]
    assert len(errors()) == 1


@pytest.mark.parametrize("how", ["raises", "returns", "replies"])
async def test_an_ack_is_never_answered(autojump_clock: object, lab: Lab, errors: Logged, how: str) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        if how == "raises":
            raise ValueError("on purpose")
        if how == "replies":
            request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    alice.request("ACK", call_id="the-call")
    await alice.silence()
    assert len(errors()) == (0 if how == "returns" else 1)
    if how == "replies":
        assert "an ACK is never answered" in errors()[0]


async def test_reply_twice_is_an_error_and_the_first_one_counts(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(180)
        request.reply(183)
        request.reply(486)
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    alice.request("INVITE")
    assert await alice.statuses() == [180, 183, 486]
    assert "already" in errors()[0]


@pytest.mark.parametrize("first", ["reply", "forward"])
@pytest.mark.parametrize("second", ["reply", "forward"])
async def test_a_request_ends_once(autojump_clock: object, lab: Lab, errors: Logged, first: str, second: str) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        for what in (first, second):
            if what == "reply":
                request.reply(486)
            else:
                await request.forward("sip:bob@10.0.0.3")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("MESSAGE")
    assert await alice.statuses() == ([486] if first == "reply" else [])
    if first == "forward":
        await bob.asked()
    await bob.silence()
    assert "already" in errors()[0]


async def test_after_a_provisional_answer_it_may_be_forwarded(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(100)
        await request.forward("sip:bob@10.0.0.3")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    assert (await alice.ask("INVITE")).status == 100
    assert (await bob.asked()).method == "INVITE"


@everywhere
@waiting_or_not
async def test_a_route_that_returns_without_an_end_is_named(
    autojump_clock: object, lab: Lab, warned: Logged, place: str, waits_before: bool
) -> None:
    router = router_in(place)

    @router.request_route
    async def forgetful(request: Request) -> None:
        if waits_before:
            await trio.sleep(0.1)

    await lab.serve(router)
    assert (await lab.peer().ask("INFO", call_id="the-call")).status == 500
    (line,) = warned()
    at = f"{__file__}:{inspect.getsourcelines(forgetful)[1]}"
    assert "forgetful" in line
    assert at in line
    assert "the-call" in line


@waiting_or_not
async def test_a_reply_route_that_raises_lets_the_response_go_on_as_received(
    autojump_clock: object, lab: Lab, errors: Logged, waits_before: bool
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        response.headers.set("Server", "spoilt")
        response.body = b"spoilt"
        if waits_before:
            await trio.sleep(0.1)
        raise ValueError("on purpose")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INFO", "sip:bob@10.0.0.3", call_id="the-call")
    bob.send(make_response(await bob.agent.receive(), 200, headers=[("Server", "bob")], body=b"hello"))
    answer = await alice.answer()
    assert (answer.status, answer.headers["Server"], answer.body) == (200, "bob", b"hello")
    assert "the-call" in errors()[0]
    assert "on purpose" in errors()[0]


@pytest.mark.parametrize("how", ["raises", "returns", "sleeps"])
async def test_a_response_whose_second_via_is_garbage_ends_nothing_but_itself(
    autojump_clock: object, lab: Lab, how: str
) -> None:
    router = Router(groups=[WorkerGroup("default", deadline=1.0)])

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    @router.reply_route
    async def reply_route(response: Response) -> None:
        if how == "raises":
            raise ValueError("on purpose")
        if how == "sleeps":
            await trio.sleep(60)

    await lab.serve(router)
    mallory = lab.peer()
    ours = make_request("INFO", "sip:x@10.0.0.1", source=lab_address())
    response = make_response(ours, 200)
    for second in (b"Via: @@@", b"Via: SIP/2.0/UDP ", b"Via: SIP/2.0/UDP 10.0.0.2:99999", b'Via: "', b"Via:"):
        mallory.send(response.replace(b"\r\nFrom:", b"\r\n" + second + b"\r\nFrom:", 1))
    await trio.sleep(3)
    assert (await mallory.ask()).status == 200


def lab_address() -> Address:
    return Address("10.0.0.1", 5060)


async def test_a_reply_route_that_sets_what_is_not_sip_ends_nothing_but_itself(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        response.reason = "\ud800"

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    for call_id in ("one", "two"):
        alice.request("INFO", "sip:bob@10.0.0.3", call_id=call_id)
        bob.send(make_response(await bob.agent.receive(), 200, "Fine"))
        assert (await alice.answer()).reason == "Fine"
    assert len(errors()) == 2


async def test_a_reason_phrase_cannot_bring_in_a_line(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        response.reason = "Fine\r\nX-Injected: yes"

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INFO", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 200))
    assert "X-Injected" not in (await alice.answer()).headers


async def test_pre_routing_that_raises_is_logged_and_answered_500(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = Router(groups=[WorkerGroup("default")])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.method != "OPTIONS":
            raise ValueError("on purpose")
        frame.delegate("default")

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    assert (await alice.ask("INFO", call_id="the-call")).status == 500
    assert "the-call" in errors()[0]
    assert "on purpose" in errors()[0]
    alice.request("ACK")
    await alice.silence()
    assert len(errors()) == 2
    assert (await alice.ask()).status == 200
    assert server.statistics().reception.failed == 2


async def test_pre_routing_that_raises_after_delegating_is_logged_and_answered_once(
    autojump_clock: object, lab: Lab, errors: Logged
) -> None:
    router = Router(groups=[WorkerGroup("default")])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        frame.delegate("default")
        raise ValueError("on purpose")

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    alice.request(call_id="the-call")
    assert await alice.statuses() == [200]
    assert "on purpose" in errors()[0]
    assert "the-call" in errors()[0]


async def test_a_method_without_a_route_is_answered_405(autojump_clock: object, lab: Lab) -> None:
    router = router_in("worker")

    @router.request_route("OPTIONS", "INFO")
    async def options(request: Request) -> None:
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    answer = await alice.ask("INVITE")
    assert answer.status == 405
    assert answer.headers["Allow"] == "OPTIONS, INFO"
    alice.request("ACK", call_id="another")
    await alice.silence()
    assert (await alice.ask()).status == 200


async def test_what_cannot_be_sent_is_answered_503_and_logged(autojump_clock: object, lab: Lab, warned: Logged) -> None:
    router = router_in("worker")
    caught: list[str] = []

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method == "INFO":
            try:
                await request.forward("sip:nobody.example")
            except TransportError as error:
                caught.append(str(error))
                await request.forward("sip:bob@10.0.0.3")
        else:
            await request.forward("sip:nobody.example")

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    assert (await alice.ask("MESSAGE", call_id="the-call")).status == 503
    assert [line for line in warned() if "the-call" in line and "nobody.example" in line]
    alice.request("INFO")
    assert (await bob.asked()).method == "INFO"
    assert caught


@everywhere
async def test_bytes_that_are_not_sip_are_counted_and_dropped(autojump_clock: object, lab: Lab, place: str) -> None:
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    server = await lab.serve(router)
    alice = lab.peer()
    garbage = [
        b"hello",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xff" * 1000,
        b"SIP/2.0 200 OK\r\n\r\n",
        b"INVITE sip:a SIP/2.0",
    ]
    for data in garbage:
        alice.send(data)
    await alice.silence()
    assert (await alice.ask()).status == 200
    counted = server.statistics().routing
    assert counted.not_sip == 4
    assert counted.malformed == 1  # the response
    assert counted.requests == 1
    assert counted.responses == 0


@everywhere
@pytest.mark.parametrize("headers", [(("Content-Length", "9"),), (("X", "a\r\nY: b"),), (("no name", "x"),)])
async def test_an_error_that_cannot_be_answered_is_answered_500(
    autojump_clock: object, lab: Lab, errors: Logged, place: str, headers: tuple[tuple[str, str], ...]
) -> None:
    router = router_in(place)

    @router.request_route("INFO")
    async def info(request: Request) -> None:
        raise RemoteProtocolError("on purpose", 420, headers)

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(200)

    await lab.serve(router)
    alice = lab.peer()
    assert (await alice.ask("INFO")).status == 500
    assert len(errors()) == 1
    assert (await alice.ask()).status == 200


@everywhere
async def test_a_status_that_is_none_goes_on_as_it_was_received(
    autojump_clock: object, lab: Lab, errors: Logged, place: str
) -> None:
    router = router_in(place)

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    @router.reply_route
    async def reply_route(response: Response) -> None:
        response.status = 99999

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("MESSAGE", "sip:bob@10.0.0.3")
    bob.send(make_response(await bob.agent.receive(), 202))
    assert (await alice.answer()).status == 202
    assert len(errors()) == 1
