"""`trio-sip ping` on the simulated network."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from trio_sip import Request, Router, serve
from trio_sip.cli.options_client import Target, Transport, read_target
from trio_sip.cli.ping import ping_until_done
from trio_sip.testing import Endpoint, SimulatedNetwork, make_response

SERVER = "10.0.0.1"


@pytest.fixture
async def network(nursery: trio.Nursery) -> SimulatedNetwork:
    """A network with a server on 10.0.0.1, UDP and TCP, that answers OPTIONS after 1 s."""
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        assert request.headers["Accept"] == "application/sdp"
        request.reply(183)
        await trio.sleep(1)
        request.reply(486, "Not \x1bnow", headers=[("Server", "desk")])

    network = SimulatedNetwork(seed=1, latency=0.010)
    network.add_host("desk.example", "2001:db8::1", SERVER)
    listen = [f"udp:{SERVER}:5060", f"tcp:{SERVER}:5060"]
    await nursery.start(partial(serve, router, listen=listen, network=network, watchdog=None))
    return network


async def lines_of(
    capsys: pytest.CaptureFixture[str],
    network: SimulatedNetwork,
    target: Target,
    count: int = 1,
    interval: float = 1.0,
    seconds: float = 5.0,
) -> tuple[int, list[str]]:
    status = await ping_until_done(target, count, interval, seconds, network)
    return status, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("host", [SERVER, "desk.example"])
async def test_over_tcp(
    capsys: pytest.CaptureFixture[str], autojump_clock: MockClock, network: SimulatedNetwork, host: str
) -> None:
    target = read_target(f"sip:{host};transport=TCP", None)
    status, lines = await lines_of(capsys, network, target, count=3, interval=0.1)
    assert status == 0
    assert sorted(lines[:3]) == [
        f"{number}: 486 Not \\x1bnow from {SERVER}:5060 in 1020.00 ms, desk" for number in (1, 2, 3)
    ]
    assert lines[3:] == ["3 sent, 3 received, 0% loss; round trip min/avg/max 1020.00/1020.00/1020.00 ms"]


async def test_over_udp_it_sends_again_until_there_is_an_answer(
    capsys: pytest.CaptureFixture[str], autojump_clock: MockClock, network: SimulatedNetwork
) -> None:
    status, lines = await lines_of(capsys, network, read_target(f"sip:{SERVER}", None))
    assert status == 0
    assert lines[0] == f"1: 486 Not \\x1bnow from {SERVER}:5060 in 1020.00 ms, sent 2 times, desk"


async def test_pauses_between_sendings_double(
    capsys: pytest.CaptureFixture[str], autojump_clock: MockClock, network: SimulatedNetwork
) -> None:
    silent = network.endpoint("10.0.0.9")
    started = trio.current_time()
    status, lines = await lines_of(capsys, network, read_target("sip:10.0.0.9", None), seconds=12)
    assert status == 1
    assert lines == ["1: no answer in 12 s", "1 sent, 0 received, 100% loss"]
    assert [record.time - started for record in network.trace] == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 11.5])
    assert len({record.data for record in network.trace}) == 1
    assert silent.receive_nowait() is not None


async def test_a_network_that_loses_half(
    capsys: pytest.CaptureFixture[str],
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    network: SimulatedNetwork,
) -> None:
    network.conditions.loss = 0.5
    status, lines = await lines_of(capsys, network, read_target(f"sip:{SERVER}", None), count=10, seconds=30)
    assert status == 0
    # Which datagrams are lost depends on the order of tasks. Without retransmission one in four would be answered; with
    # eleven tries, a ping in twenty-four is not.
    assert int(lines[-1].split()[2]) >= 7, lines


async def answer_strangely(agent: Endpoint) -> None:
    """Garbage, somebody else's answer, a request, a provisional answer; and then two final ones."""
    request = await agent.receive()
    to = network_address_of(request)
    other = request.replace(b"branch=z9hG4bK", b"branch=z9hG4bKother")
    for data in (b"garbage", make_response(other, 200), request, make_response(request, 100)):
        agent.send(data, to=to)
    await trio.sleep(0.1)
    agent.send(make_response(request, 200, "First"), to=to)
    agent.send(make_response(request, 200, "Second"), to=to)


def network_address_of(request: bytes) -> str:
    """The sent-by of its Via."""
    return request.partition(b"SIP/2.0/UDP ")[2].partition(b";")[0].decode()


async def test_only_its_own_final_answer_counts(
    capsys: pytest.CaptureFixture[str],
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    network: SimulatedNetwork,
) -> None:
    nursery.start_soon(answer_strangely, network.endpoint("10.0.0.9"))
    status, lines = await lines_of(capsys, network, read_target("sip:10.0.0.9", None))
    assert status == 0
    assert lines[0] == "1: 200 First from 10.0.0.9:5060 in 120.00 ms"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("sip:10.0.0.8;transport=tcp", "tcp to 10.0.0.8:5060: connection refused"),
        ("sip:10.0.0.7;transport=tcp", "tcp to 10.0.0.7:5060: not connected in 5 s"),
        ("sip:gone.example", "host 'gone.example'"),
        ("sip:0.0.0.0", "the unspecified address"),
        ("sip:255.255.255.255", "a broadcast or multicast address"),
    ],
)
async def test_where_nobody_can_be_asked(
    capsys: pytest.CaptureFixture[str],
    autojump_clock: MockClock,
    network: SimulatedNetwork,
    uri: str,
    says: str,
) -> None:
    network.partition(SERVER, "10.0.0.7")
    status, lines = await lines_of(capsys, network, read_target(uri, None))
    assert status == 1
    assert says in lines[0]


async def test_a_connection_that_is_closed(
    capsys: pytest.CaptureFixture[str],
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    network: SimulatedNetwork,
) -> None:
    agent = network.endpoint("10.0.0.9", transport="tcp")

    async def hang_up() -> None:
        await agent.receive()
        agent.close()

    nursery.start_soon(hang_up)
    target = read_target("sip:10.0.0.9", Transport.TCP)
    status, lines = await lines_of(capsys, network, target, count=2, interval=0.5)
    assert status == 1
    assert all("connection" in line for line in lines[:2])
    assert lines[2] == "2 sent, 0 received, 100% loss"


def test_a_target() -> None:
    assert read_target("sip:alice@[::1]:5070?subject=x", None) == read_target("sip:alice@[::1]:5070", Transport.UDP)
