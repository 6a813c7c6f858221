"""Calls between user agents in one line each: through a router without transactions, and through one with."""

from __future__ import annotations

import re
import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_sip.testing
from trio_sip import Address, Request, Router
from trio_sip.message import model
from trio_sip.message.parse import parse
from trio_sip.testing import Endpoint, NothingReceived, UnexpectedMessage, UserAgent, make_request, make_response
from trio_sip.testing.dialog import Dialog
from trio_sip.testing.messages import make_ack

if TYPE_CHECKING:
    from conftest import Lab

BOB = "sip:bob@10.0.0.3"
THOUSAND = 1000


def forwarding(record_route: str | None = None) -> Router:
    """Everything goes on by Route and Request-URI."""
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if record_route is not None:
            request.headers.add("Record-Route", record_route, first=True)
        await request.forward()

    return router


def answering(status: int) -> Router:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method != "ACK":
            request.reply(status, headers=[("Reason", "Q.850;cause=1")])

    return router


def answering_options_and_forwarding() -> Router:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if request.method == "OPTIONS":
            request.reply(200)
        else:
            await request.forward()

    return router


def agent(lab: Lab, name: str, transport: str = "udp") -> UserAgent:
    """Somebody who sends by way of the server."""
    host = f"10.0.0.{1 + ['', 'alice', 'bob', 'carol'].index(name)}"
    return lab.network.user_agent(host, transport=transport, name=name, proxy="10.0.0.1")


async def test_the_example_of_the_package(autojump_clock: object, nursery: trio.Nursery) -> None:
    """The docstring of `trio_sip.testing`, run as it stands."""
    example = textwrap.dedent((trio_sip.testing.__doc__ or "").split("\n\n", 1)[1].rsplit("\n\n", 1)[0])
    names: dict[str, Any] = {
        "router": answering_options_and_forwarding(),
        "partial": partial,
        "serve": trio_sip.serve,
        "SimulatedNetwork": trio_sip.testing.SimulatedNetwork,
    }
    exec(compile(example, "trio_sip.testing", "exec"), names)
    await names["test_a_call"](autojump_clock, nursery)


@pytest.fixture
def alice(lab: Lab) -> UserAgent:
    return agent(lab, "alice")


@pytest.fixture
def bob(lab: Lab) -> UserAgent:
    return agent(lab, "bob")


def got(agent: UserAgent) -> list[int | str]:
    """Statuses and methods, in order."""
    messages = [received.message for received in agent.received]
    return [
        message.status if isinstance(message, model.Response) else message.method for message in messages if message
    ]


def ways(lab: Lab, method: str) -> list[tuple[str, str]]:
    """From where to where this method was sent, as the last numbers of the hosts."""
    return [
        (record.source.host[-1], record.destination.host[-1])
        for record in lab.network.trace
        if record.data.startswith(method.encode())
    ]


async def test_a_call(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    assert (call.state, call.statuses, call.dialog) == ("calling", [], None)
    await bob.ring(call)
    assert (call.state, call.statuses) == ("ringing", [180])
    await bob.answer(call)
    assert (call.state, call.statuses) == ("answered", [180, 200])
    assert call.final is not None
    assert b"c=IN IP4 10.0.0.2" in call.invite.body
    assert b"c=IN IP4 10.0.0.3" in call.final.body
    assert call.dialog is not None
    assert (call.dialog.target, call.dialog.remote) == ("sip:bob@10.0.0.3:5060", f"<{BOB}>;tag=bob-1")
    await call.hang_up(by=bob)
    assert call.state == "ended"
    assert got(alice) == [180, 200, "BYE"]
    assert got(bob) == ["INVITE", "ACK", 200]
    assert trio.current_time() < 0.2


@pytest.mark.parametrize("callers", ["udp", "tcp"])
@pytest.mark.parametrize("callees", ["udp", "tcp"])
@pytest.mark.parametrize("hangs_up", ["alice", "bob"])
async def test_every_transport(autojump_clock: object, lab: Lab, callers: str, callees: str, hangs_up: str) -> None:
    await lab.serve(forwarding("<sip:10.0.0.1;lr>"))
    alice, bob = agent(lab, "alice", callers), agent(lab, "bob", callees)
    call = await alice.call(f"{BOB};transport={callees}")
    await bob.ring(call)
    await bob.answer(call)
    await call.hang_up(by={"alice": alice, "bob": bob}[hangs_up])
    assert {record.transport for record in lab.network.trace} == {callers, callees}
    assert (call.state, call.statuses) == ("ended", [180, 200])


async def test_without_a_route_set_the_other_side_is_reached_directly(
    autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent
) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    await bob.answer(call)
    await call.hang_up()
    assert ways(lab, "INVITE") == [("2", "1"), ("1", "3")]
    assert ways(lab, "ACK") == ways(lab, "BYE") == [("2", "3")]


@pytest.mark.parametrize("by_bob", [False, True])
async def test_with_a_route_set_all_goes_along_it(
    autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent, by_bob: bool
) -> None:
    await lab.serve(forwarding("<sip:10.0.0.1;lr>"))
    call = await alice.call(BOB)
    await bob.answer(call)
    assert call.dialog is not None
    assert call.dialog.routes == ("<sip:10.0.0.1;lr>",)
    await call.hang_up(by=bob if by_bob else None)
    assert ways(lab, "ACK") == [("2", "1"), ("1", "3")]
    assert ways(lab, "BYE") == ([("3", "1"), ("1", "2")] if by_bob else [("2", "1"), ("1", "3")])


async def test_a_route_set_is_reversed_for_the_caller_only(autojump_clock: object, lab: Lab) -> None:
    """RFC 3261 12.1."""
    invite = make_request(
        "INVITE", BOB, source=Address("10.0.0.2", 5060), headers=[("Record-Route", "<sip:b>, <sip:a>")]
    )
    request, response = parse(invite), parse(make_response(invite, 200))
    assert isinstance(request, model.Request)
    assert isinstance(response, model.Response)
    assert Dialog.of_caller(request, response).routes == ("<sip:a>", "<sip:b>")
    assert Dialog.of_callee(request, response).routes == ("<sip:b>", "<sip:a>")


async def test_where_everything_comes_twice(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding("<sip:10.0.0.1;lr>"))
    lab.network.conditions.duplication = 1.0
    call = await alice.call(BOB)
    await bob.ring(call)
    await bob.answer(call)
    await call.hang_up()
    assert call.statuses == [180, 200]
    assert ways(lab, "ACK").count(("2", "1")) == 1


async def test_a_route_set_of_a_strict_router(
    autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent
) -> None:
    await lab.serve(forwarding("<sip:10.0.0.1>"))
    call = await alice.call(BOB)
    invite = await bob.expect("INVITE")
    await bob.reply(invite, 200)
    await call.expect(200)
    await trio.sleep(1)
    sent = next(record.data for record in lab.network.trace if record.data.startswith(b"ACK "))
    assert sent.startswith(b"ACK sip:10.0.0.1 SIP/2.0\r\n")
    assert b"\r\nRoute: <sip:bob@10.0.0.3:5060>\r\n" in sent


async def test_a_rejected_call(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    await bob.ring(call)
    await bob.reject(call, 603)
    assert (await call.expect(603)).reason == "Decline"
    assert (call.state, call.statuses) == ("failed", [180, 603])
    assert got(bob) == ["INVITE", "ACK"]
    assert ways(lab, "ACK") == [("2", "1"), ("1", "3")]


async def test_a_call_the_router_answers(autojump_clock: object, lab: Lab, alice: UserAgent) -> None:
    await lab.serve(answering(404))
    call = await alice.call(BOB)
    assert (await call.expect("4xx")).status == 404
    await alice.expect_nothing(5)
    assert ways(lab, "ACK") == [("2", "1")]


async def test_answering_what_never_came(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(answering(404))
    call = await alice.call(BOB)
    with pytest.raises(UnexpectedMessage) as caught:
        await bob.answer(call)
    assert str(caught.value).splitlines() == [
        "bob never got the INVITE of alice's call to sip:bob@10.0.0.3:"
        " alice got 404 Not Found (INVITE) from 10.0.0.1:5060 at t=0.020",
        "  Reason: Q.850;cause=1",
        "  bob has sent nothing",
        "  alice sent last: ACK sip:bob@10.0.0.3 to 10.0.0.1:5060 at t=0.020",
    ]


async def test_answering_what_was_lost(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding())
    lab.network.partition("10.0.0.1", "10.0.0.2")
    call = await alice.call(BOB)
    with pytest.raises(NothingReceived) as caught:
        await bob.answer(call, within=5)
    assert str(caught.value).splitlines() == [
        "bob expected INVITE of alice's call to sip:bob@10.0.0.3 and got nothing in 5 s",
        "  bob has sent nothing",
        "  alice sent last: INVITE sip:bob@10.0.0.3 to 10.0.0.1:5060 at t=0.000: partitioned",
    ]
    assert trio.current_time() == 5


async def test_an_answer_that_does_not_arrive(
    autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent
) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    await bob.ring(call)
    lab.network.partition("10.0.0.1", "10.0.0.2")
    what = "alice expected the 200 that bob sent in alice's call to sip:bob@10.0.0.3 and got nothing but [180] in 32 s"
    with pytest.raises(NothingReceived, match=re.escape(what)):
        await bob.answer(call)


async def test_the_answer_of_somebody_else(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    await bob.ring(call)
    lab.network.endpoint("10.0.0.9").send(make_response(call.invite.data, 200, to_tag="stray"), to=alice.address)
    lab.network.partition("10.0.0.1", "10.0.0.2")
    with pytest.raises(NothingReceived, match=r"expected the 200 that bob sent .* got nothing but \[180, 200\]"):
        await bob.answer(call)


async def test_a_call_cancelled_while_it_rings(
    autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent
) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    await bob.ring(call)
    await call.cancel()
    assert (call.state, call.statuses) == ("failed", [180, 487])
    assert got(bob) == ["INVITE", "CANCEL", "ACK"]
    assert got(alice) == [180, 200, 487]


async def test_a_call_cancelled_before_it_rings(
    autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent
) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    await call.cancel()
    await bob.expect_cancel(call)
    await call.expect(487)
    assert call.statuses == [487]


async def test_a_cancel_that_comes_too_late(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    await bob.answer(call)
    with pytest.raises(RuntimeError, match=r"cannot be cancelled: it is answered, statuses \[200\]"):
        await call.cancel()


async def test_requests_within_a_call(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding("<sip:10.0.0.1;lr>"))
    call = await alice.call(BOB)
    await bob.answer(call)
    sent = await call.send("INFO", by=bob, headers=[("X-Colour", "red")], body=b"hello")
    info = await alice.expect("INFO")
    assert (info.body, info.headers["X-Colour"], info.cseq_number) == (b"hello", "red", sent.cseq_number)
    await alice.reply(info, 200)
    await bob.expect(200, about=info)
    assert (sent.cseq_number, (await call.send("INFO")).cseq_number, (await call.send("INFO")).cseq_number) == (1, 2, 3)
    for _ in range(2):
        await bob.reply(await bob.expect("INFO"), 200)
        await alice.expect(200)

    await call.send("INVITE", by=alice)
    await bob.reply(await bob.expect("INVITE", about=call), 200)
    await trio.sleep(1)
    assert call.statuses == [200]
    await alice.ack(await alice.expect(200, about=call))
    ack = await bob.expect("ACK")
    assert ack.cseq_number == call.invite.cseq_number + 3
    await call.hang_up(by=bob)
    assert call.statuses == [200]


async def test_what_cannot_be_done_yet(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    with pytest.raises(RuntimeError, match=r"cannot be hung up: it is calling, statuses \[\]"):
        await call.hang_up()
    with pytest.raises(RuntimeError, match="bob cannot send INFO: no dialog in alice's call"):
        await call.send("INFO", by=bob)
    await bob.ring(call)
    with pytest.raises(RuntimeError, match=r"cannot be hung up: it is ringing, statuses \[180\]"):
        await call.hang_up()


async def test_a_call_step_by_step(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    """What the one-line words do can also be done message by message; the call knows all the same."""
    await lab.serve(forwarding())
    call = await alice.call(BOB)
    invite = await bob.expect("INVITE")
    await bob.reply(invite, 183)
    await alice.expect(183)
    await bob.reply(invite, 200)
    await alice.expect(200)
    await bob.expect("ACK")
    assert call.statuses == [183, 200]
    assert call.state == "answered"


async def test_what_the_caller_expects_about_a_call(
    autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent
) -> None:
    await lab.serve(forwarding())
    other, call = await alice.call(BOB), await alice.call(BOB)
    invites = [await bob.expect("INVITE") for _ in range(2)]
    for invite in invites:
        await bob.reply(invite, 200)
    assert (await alice.expect(200, about=call)).call_id == call.call_id
    assert (await bob.expect("ACK", about=call)).call_id == call.call_id
    assert (await other.expect(200)).call_id == other.call_id
    await bob.expect("ACK")
    await call.hang_up(by=bob)
    assert (call.state, other.state) == ("ended", "answered")


async def test_two_phones_that_answer_one_call(autojump_clock: object, lab: Lab, alice: UserAgent) -> None:
    """Both get an ACK (RFC 3261 13.2.2.4). A late 200 is not taken for the answer to the BYE."""
    proxy = lab.network.endpoint("10.0.0.1")
    call = await alice.call(BOB)
    proxy.send(make_response(call.invite.data, 180, to_tag="early"), to=alice.address)
    for tag in ("one", "two"):
        contact = [("Contact", f"<sip:{tag}@10.0.0.1>")]
        proxy.send(make_response(call.invite.data, 200, to_tag=tag, headers=contact), to=alice.address)
    await call.expect(180)
    assert call.dialog is not None
    assert call.dialog.remote.endswith(";tag=two")
    await trio.sleep(1)
    sent = [record.data.split()[:2] for record in lab.network.trace if record.source == alice.address]
    assert sent[1:] == [[b"ACK", b"sip:one@10.0.0.1"], [b"ACK", b"sip:two@10.0.0.1"]]
    bye = await call.send("BYE")
    proxy.send(make_response(call.invite.data, 200, to_tag="three"), to=alice.address)
    proxy.send(make_response(bye.data, 200), to=alice.address)
    assert (await alice.expect(200, about=bye)).method == "BYE"
    assert call.statuses == [180, 200, 200, 200]


async def test_a_call_that_wanders(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    """Through a proxy with transactions, which tries bob, then carol, and acknowledges bob's answer itself."""
    carol = agent(lab, "carol")
    lab.nursery.start_soon(try_in_turn, lab.network.endpoint("10.0.0.1"), ["10.0.0.3", "10.0.0.4"])
    call = await alice.call("sip:support@10.0.0.1")
    await bob.ring(call)
    await bob.reject(call, 486)
    assert call.state == "ringing"
    await carol.answer(call)
    assert call.statuses == [180, 200]
    assert [response.status for response in call.responses] == [100, 180, 200]
    await call.hang_up(by=carol)
    await bob.expect_nothing(32)


async def test_a_call_that_wanders_in_vain(autojump_clock: object, lab: Lab, alice: UserAgent, bob: UserAgent) -> None:
    lab.nursery.start_soon(try_in_turn, lab.network.endpoint("10.0.0.1"), ["10.0.0.3", "10.0.0.3"])
    call = await alice.call("sip:support@10.0.0.1")
    await bob.reject(call, 486)
    await bob.reject(call, 480)
    with pytest.raises(UnexpectedMessage, match=r"alice expected 486 in alice's call .* and got 480 Temporarily Unav"):
        await call.expect(486)
    assert call.state == "failed"


async def try_in_turn(proxy: Endpoint, hosts: list[str]) -> None:
    """A proxy with transactions, for one call: 100, then one host after the other until one does not refuse."""
    data, caller = await proxy.receive_from()
    proxy.send(make_response(data, 100, to_tag=None), to=caller)
    for number, host in enumerate(hosts):
        line = data.partition(b"\r\n")[0]
        sent = data.replace(line, line + b"\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-try-%d" % number, 1)
        proxy.send(sent, to=host)
        while isinstance(response := parse(await proxy.receive()), model.Response):
            status = response.status
            if status >= 300:
                request = parse(sent)
                assert isinstance(request, model.Request)
                proxy.send(make_ack(request, response), to=host)
            if status < 300 or number == len(hosts) - 1:
                proxy.send(re.sub(rb"Via: SIP/2.0/UDP 10.0.0.1;.*\r\n", b"", response.data), to=caller)
            if status >= 200:
                break
        if status < 300:
            return
    assert (await proxy.receive()).startswith(b"ACK ")


async def test_a_thousand_calls(autojump_clock: object, lab: Lab, nursery: trio.Nursery) -> None:
    """Ten pairs of people call each other a hundred times each, all pairs at once."""
    await lab.serve(forwarding("<sip:10.0.0.1;lr>"))
    ended: list[str] = []

    async def talk(pair: int) -> None:
        alice = lab.network.user_agent(f"10.1.0.{pair}", name=f"alice{pair}", proxy="10.0.0.1")
        bob = lab.network.user_agent(f"10.2.0.{pair}", name=f"bob{pair}", proxy="10.0.0.1")
        for number in range(THOUSAND // 10):
            call = await alice.call(f"sip:bob@10.2.0.{pair}")
            await bob.ring(call)
            await bob.answer(call)
            await call.hang_up(by=(alice, bob)[number % 2])
            ended.append(call.call_id)

    async with trio.open_nursery() as talking:
        for pair in range(1, 11):
            talking.start_soon(talk, pair)
    assert len(set(ended)) == len(ended) == THOUSAND
    sent = [record.data.partition(b" ")[0] for record in lab.network.trace if record.source.host == "10.0.0.1"]
    assert {what: sent.count(what) for what in set(sent)} == {
        b"INVITE": THOUSAND, b"ACK": THOUSAND, b"BYE": THOUSAND, b"SIP/2.0": 3 * THOUSAND,
    }  # fmt: skip
