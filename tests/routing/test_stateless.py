"""Stateless routing: checks before the route, tags and branches that a retransmission gets again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_sip import Frame, Request, Router, WorkerGroup
from trio_sip.message import model
from trio_sip.testing import make_request

if TYPE_CHECKING:
    from conftest import Lab

BOB = "sip:bob@10.0.0.3"


def answering(seen: list[str] | None = None, status: int = 200) -> Router:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        if seen is not None:
            seen.append(request.method)
        if request.method != "ACK":
            request.reply(status)

    return router


def forwarding(target: str | None = None, *groups: WorkerGroup) -> Router:
    router = Router(groups=groups)

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward(target)

    return router


# Checks before the route (RFC 3261 16.3)


@pytest.mark.parametrize(
    ("status", "uri", "headers"),
    [
        (483, "sip:10.0.0.1", [("Max-Forwards", "0")]),
        (416, "http://10.0.0.1/", []),
        (416, "mailto:bob@example.org", []),
        (420, "sip:10.0.0.1", [("Proxy-Require", "foo, bar")]),
        (400, "sip:10.0.0.1", [("To", None)]),
        (400, "sip:10.0.0.1", [("CSeq", "1 BYE")]),
        (400, "sip:10.0.0.1", [("Max-Forwards", "-1")]),
        (400, "sip:10.0.0.1", [("Content-Length", "1000")]),
    ],
)
async def test_what_must_not_be_routed_is_refused(
    autojump_clock: object, lab: Lab, status: int, uri: str, headers: list[tuple[str, str | None]]
) -> None:
    seen: list[str] = []
    server = await lab.serve(answering(seen))
    alice = lab.peer()
    # What is remembered of good requests must not let bad ones pass: enough of them for their order to be learned.
    for number in range(100):
        assert (await alice.ask("INFO", call_id=f"good-{number}")).status == 200
    seen.clear()
    alice.request("INFO", uri, headers=headers)
    if ("To", None) in headers:  # what is missing there is missing in the answer
        answer_without_to = await alice.agent.receive()
        assert answer_without_to.startswith(b"SIP/2.0 400 Bad Request: the To header is missing\r\nVia: ")
        assert b"\r\nTo:" not in answer_without_to
    else:
        answer = await alice.answer()
        assert answer.status == status
        if status == 420:
            assert answer.headers["Unsupported"] == "foo, bar"
    assert seen == []
    alice.request("ACK", uri, headers=[h for h in headers if h[0] != "CSeq"], call_id="ack")
    await alice.silence()
    assert (await alice.ask()).status == 200
    assert server.statistics().routing.malformed + server.statistics().routing.not_sip >= 1


async def test_another_version_is_answered_505(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(answering())
    alice = lab.peer()
    alice.send(make_request("INFO", "sip:10.0.0.1", source=alice.address).replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1))
    assert (await alice.answer()).status == 505


async def test_a_request_that_comes_back_is_a_loop(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(forwarding("sip:bob@10.0.0.1"))
    alice = lab.peer()
    answer = await alice.ask("INFO", "sip:bob@10.0.0.1")
    assert answer.status == 482
    assert len([data for data in lab.sent_by("10.0.0.1") if data.startswith(b"INFO")]) == 1


async def test_a_request_that_comes_back_from_another_proxy_is_a_loop(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(forwarding("sip:bob@10.0.0.3"))
    alice, proxy = lab.peer(), lab.peer("10.0.0.3")
    proxy.request("INFO", "sip:bob@10.0.0.3", call_id="good")
    await proxy.asked()
    alice.request("INFO", "sip:bob@10.0.0.3")
    asked = await proxy.agent.receive()
    proxy.send(asked.replace(b"\r\nVia:", b"\r\nVia: SIP/2.0/UDP 10.0.0.3:5060;branch=z9hG4bK-proxy\r\nVia:", 1))
    assert (await proxy.answer()).status == 482
    assert server.statistics().routing.forwarded == 2


async def test_a_request_that_comes_back_for_another_is_a_spiral(autojump_clock: object, lab: Lab) -> None:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward("sip:carol@10.0.0.1" if request.uri.user == "bob" else BOB)

    await lab.serve(router)
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INFO", "sip:bob@10.0.0.1")
    asked = await bob.asked()
    assert len(asked.vias) == 3
    assert asked.max_forwards == 68


async def test_options_with_max_forwards_0_is_answered(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(answering())
    assert (await lab.peer().ask("OPTIONS", headers=[("Max-Forwards", "0")])).status == 200


async def test_options_with_max_forwards_0_is_not_forwarded(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(forwarding())
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    assert (await alice.ask("OPTIONS", BOB, headers=[("Max-Forwards", "0")])).status == 483
    await bob.silence()


# Answers


async def test_the_to_tag_is_the_same_for_a_retransmission_and_for_every_answer(
    autojump_clock: object, lab: Lab
) -> None:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        request.reply(100)
        request.reply(180)
        request.reply(486)

    await lab.serve(router)
    alice = lab.peer()
    for _ in range(2):
        alice.request("INVITE")
    alice.request("INVITE", call_id="another")
    answers = await alice.answers()
    mine = {answer.to_tag for answer in answers if answer.call_id != "another" and answer.status != 100}
    others = {answer.to_tag for answer in answers if answer.call_id == "another" and answer.status != 100}
    assert len(mine) == len(others) == 1
    assert None not in mine | others
    assert mine != others
    assert {answer.to_tag for answer in answers if answer.status == 100} == {None}


async def test_a_to_tag_that_is_there_stays(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(answering())
    assert (await lab.peer().ask("BYE", to_tag="dialog")).to_tag == b"dialog"


def ack_of(invite: bytes, answer: model.Response) -> bytes:
    """The ACK for a final answer that is not a 2xx (RFC 3261 17.1.1.3)."""
    ack = invite.replace(b"INVITE sip", b"ACK sip", 1).replace(b" INVITE\r\n", b" ACK\r\n", 1)
    before, _, rest = ack.partition(b"\r\nTo: ")
    return before + b"\r\nTo: " + answer.to_value + b"\r\n" + rest.partition(b"\r\n")[2]


async def test_the_ack_of_our_final_answer_is_absorbed(autojump_clock: object, lab: Lab) -> None:
    seen: list[str] = []
    server = await lab.serve(answering(seen, 486))
    alice = lab.peer()
    invite = alice.request("INVITE")
    alice.send(ack_of(invite, await alice.answer()))
    await alice.silence()
    assert seen == ["INVITE"]
    assert server.statistics().routing.absorbed == 1


@pytest.mark.parametrize("odd", [False, True])
async def test_the_ack_of_a_503_for_overload_is_absorbed(autojump_clock: object, lab: Lab, odd: bool) -> None:
    """Whether the 503 was written from a parsed message or from what could be salvaged of one."""
    router = Router(groups=[WorkerGroup("default")])
    seen: list[str] = []

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.method == "INVITE":
            frame.shed()

    @router.request_route
    async def request_route(request: Request) -> None:
        seen.append(request.method)

    await lab.serve(router)
    alice = lab.peer()
    invite = make_request("INVITE", "sip:10.0.0.1", source=alice.address)
    if odd:
        invite = invite.replace(b"Max-Forwards:", b"Subject: a\r\n folded line\r\nMax-Forwards:")
    alice.send(invite)
    answer = await alice.answer()
    assert answer.status == 503
    alice.send(ack_of(invite, answer))
    await alice.silence()
    assert seen == []


async def test_the_ack_of_somebody_elses_answer_is_routed(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(forwarding())
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("ACK", BOB, to_tag="bobs")
    assert (await bob.asked()).method == "ACK"


# Forwarding


async def test_a_retransmission_is_forwarded_with_the_same_branch(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(forwarding())
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    for _ in range(2):
        alice.request("INVITE", BOB)
    alice.request("INVITE", BOB, cseq=2)
    branches = [(await bob.asked()).branch for _ in range(3)]
    assert branches[0] == branches[1] != branches[2]
    assert branches[0].startswith(b"z9hG4bK")


@pytest.mark.parametrize("old", [False, True])
async def test_a_cancel_and_an_ack_are_forwarded_with_the_branch_of_their_invite(
    autojump_clock: object, lab: Lab, old: bool
) -> None:
    """With a branch as RFC 3261 makes it, and without (RFC 2543)."""
    await lab.serve(forwarding())
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    branch = "1" if old else "z9hG4bK-one"
    alice.request("INVITE", BOB, branch=branch, call_id="one")
    alice.request("CANCEL", BOB, branch=branch, call_id="one")
    alice.request("ACK", BOB, branch=branch, call_id="one", to_tag="bobs")
    asked = [await bob.asked() for _ in range(3)]
    assert sorted(one.method for one in asked) == ["ACK", "CANCEL", "INVITE"]
    assert len({one.branch for one in asked}) == 1


async def test_a_cancel_need_not_repeat_the_credentials_of_its_invite(autojump_clock: object, lab: Lab) -> None:
    """RFC 3261 22.1: a CANCEL cannot be challenged, so many user agents send it without."""
    await lab.serve(forwarding())
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request("INVITE", BOB, branch="z9hG4bK-one", headers=[("Proxy-Authorization", 'Digest username="alice"')])
    alice.request("CANCEL", BOB, branch="z9hG4bK-one")
    invite, cancel = await bob.asked(), await bob.asked()
    assert invite.branch == cancel.branch


async def test_a_forwarded_request_has_our_via_on_top_and_the_senders_stamped(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(forwarding())
    alice, bob = lab.peer(port=5070), lab.peer("10.0.0.3")
    sent = alice.request("INFO", BOB, headers=[("X-Own", "  kept   as it is ")], body=b"hello")
    asked = await bob.asked()
    ours, hers = asked.vias
    assert (ours.transport, ours.host, ours.port) == ("UDP", "10.0.0.1", 5060)
    assert (hers.host, hers.received, hers.rport) == ("10.0.0.2", "10.0.0.2", 5070)
    assert asked.max_forwards == 69
    assert asked.body == b"hello"
    assert b"X-Own:   kept   as it is \r\n" in sent
    assert b"X-Own:   kept   as it is \r\n" in asked.data


async def test_a_route_leads_the_way_and_ours_is_taken_off(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(forwarding())
    alice, bob = lab.peer(), lab.peer("10.0.0.3")
    alice.request(
        "INFO",
        "sip:carol@10.0.0.9",
        headers=[("Route", "<sip:10.0.0.1;lr>, <sip:10.0.0.3;lr>, <sip:10.0.0.4;lr>")],
    )
    asked = await bob.asked()
    assert str(asked.uri) == "sip:carol@10.0.0.9"
    assert asked.headers.get_all("Route") == ["<sip:10.0.0.3;lr>, <sip:10.0.0.4;lr>"]


async def test_a_stray_response_is_counted_and_not_sent_on(autojump_clock: object, lab: Lab) -> None:
    server = await lab.serve(answering())
    mallory, victim = lab.peer(), lab.peer("10.0.0.66")
    request = make_request("INFO", BOB, source=victim.address)
    reply = request.replace(b"INFO sip:bob@10.0.0.3 SIP/2.0", b"SIP/2.0 200 OK", 1)
    mallory.send(reply)
    await victim.silence()
    assert server.statistics().routing.stray == 1


async def test_a_name_that_is_not_known_is_answered_503(autojump_clock: object, lab: Lab) -> None:
    await lab.serve(forwarding())
    assert (await lab.peer().ask("INFO", "sip:bob@nowhere.example")).status == 503
