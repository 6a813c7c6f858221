"""A scripted user agent: what it sends, what it expects, and what it says when that does not come."""

from __future__ import annotations

import pytest
import trio

from trio_sip.message import model
from trio_sip.message.parse import parse
from trio_sip.testing import Endpoint, NothingReceived, SimulatedNetwork, UnexpectedMessage, UserAgent, make_response
from trio_sip.testing.endpoint import read_address
from trio_sip.testing.mailbox import Expectation

SERVER = "10.0.0.1"


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork(latency=0.010)


@pytest.fixture
def server(network: SimulatedNetwork) -> Endpoint:
    """Whoever stands where the router would: it gives what the test hands it."""
    return network.endpoint(SERVER)


@pytest.fixture
def alice(network: SimulatedNetwork) -> UserAgent:
    return network.user_agent("10.0.0.2", name="alice", proxy=SERVER)


def answer(server: Endpoint, request: model.Request, *statuses: int, **fields: str) -> None:
    for status in statuses:
        server.send(make_response(request.data, status, **fields), to="10.0.0.2")  # type: ignore[arg-type]


# What it sends


async def test_a_request_of_defaults(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    request = await alice.send("OPTIONS", "sip:10.0.0.1")
    assert await server.receive() == request.data == (
        b"OPTIONS sip:10.0.0.1 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-alice-1;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:alice@10.0.0.2>;tag=alice-1\r\n"
        b"To: <sip:10.0.0.1>\r\n"
        b"Call-ID: alice-1@10.0.0.2\r\n"
        b"CSeq: 1 OPTIONS\r\n"
        b"Contact: <sip:alice@10.0.0.2:5060>\r\n"
        b"Content-Length: 0\r\n"
        b"\r\n"
    )  # fmt: skip


async def test_identifiers_are_new_or_count_on(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    one = await alice.send("REGISTER", "sip:10.0.0.1")
    two = await alice.send("REGISTER", "sip:10.0.0.1")
    again = await alice.send("REGISTER", "sip:10.0.0.1", call_id=one.call_id)
    assert len({one.call_id, two.call_id}) == len({one.from_tag, two.from_tag}) == 2
    assert len({one.branch, two.branch, again.branch}) == 3
    assert (one.cseq_number, two.cseq_number, again.cseq_number) == (1, 1, 2)
    assert (again.call_id, again.from_tag) == (one.call_id, one.from_tag)
    cseqs = [(await alice.send("INFO", "sip:b", call_id="c", cseq=given)).cseq_number for given in (7, 3, None)]
    assert cseqs == [7, 3, 8]


async def test_overrides(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    headers: list[tuple[str, str | None]] = [("Contact", None), ("From", "<sip:x@y>;tag=z"), ("Subject", "lunch")]
    request = await alice.send(
        "MESSAGE", "sip:b", call_id="c", branch="z9hG4bKb", cseq=7, to_tag="t", headers=headers, body=b"hi"
    )
    assert (request.call_id, request.branch, request.cseq_number, request.to_tag) == ("c", b"z9hG4bKb", 7, b"t")
    assert (request.headers["From"], request.headers["Subject"], request.body) == ("<sip:x@y>;tag=z", "lunch", b"hi")
    assert "Contact" not in request.headers
    assert request.headers.get_all("From") == ["<sip:x@y>;tag=z"]


async def test_names_ports_and_transports_keep_identifiers_apart(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    agents = [
        network.user_agent("10.0.0.2", name="front desk", proxy=SERVER),
        network.user_agent("10.0.0.2", 5070, name="front desk", proxy=SERVER),
        network.user_agent("10.0.0.2", transport="tcp", name="front desk", proxy=SERVER),
        network.user_agent("2001:db8::2", name="front desk", proxy="[2001:db8::1]:5060"),
        network.user_agent("10.0.0.9", proxy=SERVER),
    ]
    requests = [await agent.send("OPTIONS", "sip:10.0.0.1") for agent in agents]
    assert len({request.call_id for request in requests}) == 5
    assert [str(request.contacts[0].uri) for request in requests] == [
        "sip:front%20desk@10.0.0.2:5060",
        "sip:front%20desk@10.0.0.2:5070",
        "sip:front%20desk@10.0.0.2:5060;transport=tcp",
        "sip:front%20desk@[2001:db8::2]:5060",
        "sip:10.0.0.9@10.0.0.9:5060",
    ]


async def test_where_it_goes(autojump_clock: object, network: SimulatedNetwork, alice: UserAgent) -> None:
    carol = network.user_agent("10.0.0.4", name="carol")
    await alice.send("OPTIONS", "sip:bob@10.0.0.3")
    await alice.send("OPTIONS", "sip:bob@10.0.0.3", to="10.0.0.8:5080")
    await carol.send("OPTIONS", "sip:bob@10.0.0.3:5090")
    await carol.send(alice.make_request("OPTIONS", "sip:bob@10.0.0.3"))
    await carol.send(b"garbage", to=alice.address)
    assert [str(record.destination) for record in network.trace] == [
        "10.0.0.1:5060",
        "10.0.0.8:5080",
        "10.0.0.3:5090",
        "10.0.0.3:5060",
        "10.0.0.2:5060",
    ]


async def test_where_it_cannot_go(autojump_clock: object, network: SimulatedNetwork) -> None:
    carol = network.user_agent("10.0.0.4", name="carol")
    with pytest.raises(ValueError, match=r"names no IP address to send to; give the user agent a proxy=, or say to="):
        await carol.send("OPTIONS", "sip:example.com")
    with pytest.raises(ValueError, match=r"reached over tcp, and this user agent speaks udp"):
        await carol.send("OPTIONS", "sip:10.0.0.1;transport=tcp")
    with pytest.raises(ValueError, match=r"reached over tls"):
        await carol.send("OPTIONS", "sips:10.0.0.1")
    with pytest.raises(ValueError, match=r"without a proxy, say where these bytes go"):
        await carol.send(b"garbage")
    with pytest.raises(ValueError, match=r"'example.com' is not an address on the network: write '10.0.0.1'"):
        await carol.send("OPTIONS", "sip:10.0.0.1", to="example.com")
    with pytest.raises(ValueError, match=r"lacks the Request-URI: write send\('OPTIONS', 'sip:bob@10.0.0.1'\)"):
        await carol.send("OPTIONS", "")
    assert network.trace == []


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:65536", "[::1]x", "[::1]:", "host:1", "::1:"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        read_address(text)


def test_addresses() -> None:
    texts = ("10.0.0.1", "10.0.0.1:5070", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5070")
    assert [str(read_address(text)) for text in texts] == [
        "10.0.0.1:5060",
        "10.0.0.1:5070",
        "[2001:db8::1]:5060",
        "[2001:db8::1]:5060",
        "[2001:db8::1]:5070",
    ]


async def test_an_endpoint_tells_where_a_message_came_from(autojump_clock: object, network: SimulatedNetwork) -> None:
    one, two = network.endpoint("10.0.0.2"), network.endpoint("10.0.0.3", 5070)
    assert one.receive_from_nowait() is None
    two.send(b"a", to=one.address)
    two.send(b"b", to="10.0.0.2")
    assert await one.receive_from() == (b"a", two.address)
    assert one.receive_from_nowait() == (b"b", two.address)
    with pytest.raises(
        NothingReceived, match=r"endpoint udp:10\.0\.0\.2:5060 got no message in 4 s .* it had 2 before"
    ):
        await one.receive_from(timeout=4)


async def test_what_is_not_sip_is_sent_as_bytes(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    with pytest.raises(
        ValueError, match=r"this OPTIONS is not SIP: .*; to send it all the same, write send\(alice.make"
    ):
        await alice.send("OPTIONS", "sip:10.0.0.1", headers=[("CSeq", "1 BYE")])
    assert server.receive_nowait() is None
    await alice.send(alice.make_request("OPTIONS", "sip:10.0.0.1", headers=[("CSeq", "1 BYE")]))
    assert b"\r\nCSeq: 1 BYE\r\n" in await server.receive()


# What it expects


async def test_a_status_a_class_and_a_method(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    request = await alice.send("INVITE", "sip:bob@10.0.0.1")
    answer(server, request, 180, 200)
    ringing = await alice.expect(180)
    assert (ringing.status, ringing.reason) == (180, "Ringing")
    assert (await alice.expect("2xx")).status == 200
    server.send(request.data.replace(b"INVITE", b"BYE"), to="10.0.0.2")
    assert (await alice.expect("BYE")).method == "BYE"
    assert trio.current_time() == pytest.approx(0.020)


async def test_trying_and_retransmissions_are_passed_over(
    autojump_clock: object, alice: UserAgent, server: Endpoint
) -> None:
    request = await alice.send("INVITE", "sip:bob@10.0.0.1")
    answer(server, request, 100, 180, 180, 100, 200)
    await alice.expect(180)
    await alice.expect(200)
    answer(server, request, 200, 100)
    await alice.expect_nothing(10)
    assert trio.current_time() == pytest.approx(10.010)
    assert [received.is_repeated for received in alice.received] == [False, False, True, True, False, True, True]


async def test_trying_where_it_is_asked_for(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    answer(server, await alice.send("INVITE", "sip:bob@10.0.0.1"), 100, 180)
    assert (await alice.expect(100)).status == 100
    assert (await alice.expect("1xx")).status == 180
    answer(server, await alice.send("INVITE", "sip:bob@10.0.0.1"), 100, 180)
    assert (await alice.expect("1xx")).status == 180


@pytest.mark.parametrize("what", [0, 99, 700, "200", "7xx", "20x", "", "IN VITE", None])
async def test_what_cannot_be_expected(autojump_clock: object, alice: UserAgent, what: str) -> None:
    with pytest.raises(ValueError, match=r"write a status \(200\), a class \('2xx'\) or a method \('INVITE'\)"):
        await alice.expect(what)


def test_classes_are_read_in_any_case() -> None:
    assert Expectation.read("4XX").statuses == range(400, 500)


async def test_another_message(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    request = await alice.send("INVITE", "sip:bob@10.0.0.1")
    answer(server, request, 100, 180)
    await alice.expect(180)
    answer(server, request, 100)
    headers = [("Warning", '399 10.0.0.1 "no such line"'), ("Content-Type", "text/plain")]
    server.send(make_response(request.data, 404, headers=headers, body=b"Ask the\r\noperator"), to="10.0.0.2")
    await trio.sleep(3)
    with pytest.raises(UnexpectedMessage) as caught:
        await alice.expect(200)
    assert str(caught.value).splitlines() == [
        "alice expected 200 and got 404 Not Found (INVITE) from 10.0.0.1:5060 at t=0.020",
        '  Warning: 399 10.0.0.1 "no such line"',
        "  body: Ask the",
        "  passed over: 100 Trying (INVITE) again from 10.0.0.1:5060 at t=0.020",
        "  alice got before: 100 Trying (INVITE) from 10.0.0.1:5060 at t=0.010;"
        " 180 Ringing (INVITE) from 10.0.0.1:5060 at t=0.010",
        "  alice sent last: INVITE sip:bob@10.0.0.1 to 10.0.0.1:5060 at t=0.000",
    ]


async def test_no_message(autojump_clock: object, network: SimulatedNetwork, alice: UserAgent) -> None:
    network.conditions.loss = 1.0
    await alice.send("INVITE", "sip:bob@10.0.0.1")
    with pytest.raises(NothingReceived) as caught:
        await alice.expect("2xx", within=4)
    assert str(caught.value).splitlines() == [
        "alice expected 2xx and got nothing in 4 s",
        "  alice sent last: INVITE sip:bob@10.0.0.1 to 10.0.0.1:5060 at t=0.000: unreachable",
    ]
    assert trio.current_time() == 4
    with pytest.raises(NothingReceived, match="got nothing in 32 s"):
        await alice.expect("BYE")
    assert trio.current_time() == 36


async def test_a_long_story_is_cut_short(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    request = await alice.send("INVITE", "sip:bob@10.0.0.1")
    answer(server, request, *[100] * 9)
    with pytest.raises(NothingReceived, match=r"passed over: 4 more, then 100 Trying(?:[^;]*;){4}[^;]*\n") as caught:
        await alice.expect(200)
    assert len(str(caught.value)) < 700


async def test_bytes_that_are_not_sip(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    server.send(b"HELLO\r\n\r\n", to="10.0.0.2")
    with pytest.raises(
        UnexpectedMessage, match=r"got HELLO from 10.0.0.1:5060 at t=0.010\n  not a SIP message: the Via"
    ):
        await alice.expect(200)


async def test_nothing_is_expected(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    await alice.expect_nothing(5)
    assert trio.current_time() == 5
    answer(server, await alice.send("OPTIONS", "sip:10.0.0.1"), 100, 200)
    with pytest.raises(
        UnexpectedMessage, match=r"alice expected nothing for 5 s and got 200 OK \(OPTIONS\) .* t=5.010"
    ):
        await alice.expect_nothing(5)
    assert trio.current_time() == pytest.approx(5.010)
    await alice.expect_nothing(5)


async def test_messages_about_one_thing(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    one, two = [await alice.send("OPTIONS", "sip:10.0.0.1") for _ in range(2)]
    answer(server, one, 404)
    answer(server, two, 200)
    assert (await alice.expect(200, about=two)).call_id == two.call_id
    assert (await alice.expect(404)).call_id == one.call_id
    with pytest.raises(NothingReceived):
        await alice.expect(200, about=two)


async def test_two_tasks_wait_for_one_agent(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    requests = [await alice.send("OPTIONS", "sip:10.0.0.1") for _ in range(5)]

    async def wait(request: model.Request) -> None:
        assert (await alice.expect(200, about=request)).call_id == request.call_id

    async with trio.open_nursery() as nursery:
        for request in requests:
            nursery.start_soon(wait, request)
        await trio.sleep(1)
        for request in reversed(requests):
            answer(server, request, 200)
            await trio.sleep(0.001)
    assert trio.current_time() < 2


async def test_an_agent_that_waits_can_be_cancelled(autojump_clock: object, alice: UserAgent, server: Endpoint) -> None:
    request = await alice.send("OPTIONS", "sip:10.0.0.1")
    with trio.move_on_after(5) as scope:
        await alice.expect(200)
    assert scope.cancelled_caught
    answer(server, request, 200)
    await alice.expect(200)


# How it answers


async def test_a_reply_goes_back_the_way_the_request_came(
    autojump_clock: object, network: SimulatedNetwork, alice: UserAgent, server: Endpoint
) -> None:
    bob = network.user_agent("10.0.0.3", name="bob")
    far = network.endpoint("10.0.0.9", 40_000)
    far.send(alice.make_request("INVITE", "sip:bob@10.0.0.3", headers=[("Record-Route", "<sip:r;lr>")]), to=bob.address)
    invite = await bob.expect("INVITE")
    sent = await bob.reply(invite, 180, headers=[("Server", "desk")])
    assert await far.receive() == sent.data == (
        b"SIP/2.0 180 Ringing\r\n"
        b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-alice-1;rport=40000;received=10.0.0.9\r\n"
        b"From: <sip:alice@10.0.0.2>;tag=alice-1\r\n"
        b"To: <sip:bob@10.0.0.3>;tag=bob-1\r\n"
        b"Call-ID: alice-1@10.0.0.2\r\n"
        b"CSeq: 1 INVITE\r\n"
        b"Record-Route: <sip:r;lr>\r\n"
        b"Content-Length: 0\r\n"
        b"Contact: <sip:bob@10.0.0.3:5060>\r\n"
        b"Server: desk\r\n"
        b"\r\n"
    )  # fmt: skip


async def test_the_to_tag_stays_with_the_call_id(
    autojump_clock: object, network: SimulatedNetwork, alice: UserAgent
) -> None:
    bob = network.user_agent("10.0.0.3", name="bob")
    await alice.send("INVITE", "sip:bob@10.0.0.3", call_id="one", to="10.0.0.3")
    invite = await bob.expect("INVITE")
    tags = [(await bob.reply(invite, status)).to_tag for status in (100, 180, 486)]
    await alice.send("MESSAGE", "sip:bob@10.0.0.3", call_id="two", to="10.0.0.3")
    tags.append((await bob.reply(await bob.expect("MESSAGE"), 200)).to_tag)
    assert tags == [None, b"bob-1", b"bob-1", b"bob-2"]
    assert [received.message and received.message.to_tag for received in alice.received] == []
    await alice.expect(180)
    await alice.expect(486)
    assert (await alice.expect(200)).to_tag == b"bob-2"


async def test_over_tcp_a_reply_takes_the_same_connection(autojump_clock: object, network: SimulatedNetwork) -> None:
    alice, bob = (network.user_agent(f"10.0.0.{n}", transport="tcp") for n in (2, 3))
    await alice.send("OPTIONS", "sip:bob@10.0.0.3;transport=tcp")
    await bob.reply(await bob.expect("OPTIONS"), 200)
    await alice.expect(200)
    there, back = network.trace
    assert (there.source, there.destination) == (back.destination, back.source)


async def test_over_tcp_a_connection_that_has_ended_is_not_used_again(
    autojump_clock: object, network: SimulatedNetwork
) -> None:
    alice, bob = (network.user_agent(f"10.0.0.{n}", transport="tcp") for n in (2, 3))
    await alice.send("OPTIONS", "sip:bob@10.0.0.3")
    await bob.expect("OPTIONS")
    bob.close()
    network.user_agent("10.0.0.3", transport="tcp")
    await trio.sleep(1)
    await alice.send("OPTIONS", "sip:bob@10.0.0.3")
    one, two = network.trace
    assert one.source != two.source
    assert one.destination == two.destination


async def test_what_cannot_be_answered(autojump_clock: object, network: SimulatedNetwork, alice: UserAgent) -> None:
    bob = network.user_agent("10.0.0.3", name="bob")
    request = await alice.send("OPTIONS", "sip:bob@10.0.0.3", to="10.0.0.3")
    with pytest.raises(ValueError, match="it is no request that came to alice"):
        await alice.reply(request, 200)
    response = await bob.reply(await bob.expect("OPTIONS"), 200)
    with pytest.raises(ValueError, match="it is no request that came to alice"):
        await alice.reply(await alice.expect(200), 200)
    with pytest.raises(ValueError, match="it answers no INVITE of alice's"):
        await alice.ack(response)
    await alice.send("ACK", "sip:bob@10.0.0.3", to="10.0.0.3")
    ack = await bob.expect("ACK")
    with pytest.raises(ValueError, match="an ACK is never answered"):
        await bob.reply(ack, 200)


@pytest.mark.parametrize("status", [200, 486])
async def test_acknowledging_by_hand(
    autojump_clock: object, network: SimulatedNetwork, alice: UserAgent, server: Endpoint, status: int
) -> None:
    """A 2xx is acknowledged in the dialog, anything else in the transaction of the INVITE."""
    invite = await alice.send("INVITE", "sip:bob@10.0.0.1", headers=[("Route", "<sip:10.0.0.1;lr>")])
    contact = [("Contact", "<sip:bob@10.0.0.3:5070>")]
    server.send(make_response(invite.data, status, headers=contact), to="10.0.0.2")
    await alice.ack(await alice.expect(status))
    record = network.trace[-1]
    ack = parse(record.data)
    assert isinstance(ack, model.Request)
    assert (ack.method, ack.cseq_number, ack.to_tag) == ("ACK", 1, b"callee")
    if status == 200:
        assert (ack.uri_text, str(record.destination)) == ("sip:bob@10.0.0.3:5070", "10.0.0.3:5070")
        assert ack.branch != invite.branch
        assert "Route" not in ack.headers
    else:
        assert (ack.uri_text, str(record.destination)) == ("sip:bob@10.0.0.1", "10.0.0.1:5060")
        assert ack.branch == invite.branch
        assert ack.headers["Route"] == "<sip:10.0.0.1;lr>"


async def test_an_agent_that_has_left(autojump_clock: object, network: SimulatedNetwork, alice: UserAgent) -> None:
    bob = network.user_agent("10.0.0.3", name="bob")
    assert repr(bob) == "<UserAgent bob udp:10.0.0.3:5060>"
    bob.close()
    await alice.send("OPTIONS", "sip:bob@10.0.0.3", to="10.0.0.3")
    assert [record.fate for record in network.trace] == ["unreachable"]
