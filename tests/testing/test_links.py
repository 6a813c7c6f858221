"""Each direction between two hosts has its own conditions and its own random numbers."""

from __future__ import annotations

import pytest
import trio

from trio_sip.address import Address
from trio_sip.testing import Endpoint, SimulatedNetwork, TraceRecord
from trio_sip.testing.conditions import LEAST_MTU

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
A6, B6 = "2001:db8::1", "2001:db8::2"


def delays(network: SimulatedNetwork, source: str, destination: str) -> list[list[float]]:
    """How long the copies of each datagram took from one host to another."""
    return [
        [arrival - record.time for arrival in record.arrivals]
        for record in network.trace
        if (record.source.host, record.destination.host) == (source, destination)
    ]


def send_many(network: SimulatedNetwork, *pairs: tuple[Endpoint, Endpoint]) -> None:
    for number in range(100):
        for source, destination in pairs:
            source.send(b"%d" % number, destination.address)


def bad_network(seed: int = 1, **changed: float) -> SimulatedNetwork:
    return SimulatedNetwork(
        seed,
        **{"jitter": 0.5, "loss": 0.2, "duplication": 0.2, "reordering": 0.2, **changed},  # type: ignore[arg-type]
    )


async def test_a_link_has_conditions_of_its_own(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    a, b, c = (network.endpoint(host) for host in (A, B, C))
    network.link(A, B, latency=0.300)
    a.send(b"1", c.address)
    a.send(b"2", b.address)
    b.send(b"3", a.address)
    assert await c.receive() == b"1"
    assert trio.current_time() == pytest.approx(0.010)
    assert await b.receive() == b"2"
    assert await a.receive() == b"3"
    assert trio.current_time() == pytest.approx(0.300)


async def test_one_way(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    a, b = network.endpoint(A), network.endpoint(B)
    network.link(A, B, loss=1.0, one_way=True)
    a.send(b"1", b.address)
    b.send(b"2", a.address)
    assert [record.fate for record in network.trace] == ["lost", "delivered"]


async def test_what_is_not_given_is_that_of_the_network(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010, duplication=1.0)
    a, b = network.endpoint(A), network.endpoint(B)
    network.link(A, B, latency=0.050)
    network.link(A, B, jitter=0.0)  # a link is described whole: its latency is that of the network again
    a.send(b"1", b.address)
    [record] = network.trace
    assert record.fate == "duplicated"
    assert record.arrivals == pytest.approx((0.010, 0.020))


async def test_what_is_changed_for_the_network_holds_for_links_nobody_named(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    a, b, c = (network.endpoint(host) for host in (A, B, C))
    network.link(A, C, latency=0.050)
    a.send(b"1", b.address)
    network.conditions.loss = 1.0
    a.send(b"2", b.address)
    a.send(b"3", c.address)
    assert [record.fate for record in network.trace] == ["delivered", "lost", "delivered"]
    with pytest.raises(ValueError, match="loss is a probability"):
        network.conditions.loss = 2.0


async def test_links_do_not_depend_on_each_other(autojump_clock: object) -> None:
    alone, together, reverse = bad_network(), bad_network(), bad_network()
    for network in (alone, together, reverse):
        a, b, c = (network.endpoint(host) for host in (A, B, C))
        pairs = [(a, b), (b, a), (a, c), (c, b)]
        send_many(network, *{alone: pairs[:1], together: pairs, reverse: pairs[::-1]}[network])
    assert delays(alone, A, B) == delays(together, A, B) == delays(reverse, A, B)
    assert delays(together, C, B) == delays(reverse, C, B)
    assert delays(together, A, B) != delays(together, B, A) != delays(together, A, C)


async def test_a_seed_decides(autojump_clock: object) -> None:
    results = []
    for seed in (1, 1, 2):
        network = bad_network(seed)
        send_many(network, (network.endpoint(A), network.endpoint(B)))
        results.append(delays(network, A, B))
    assert results[0] == results[1] != results[2]
    assert network.seed == 2


@pytest.mark.parametrize("better", ["loss", "duplication", "jitter", "reordering", "mtu", "partition"])
async def test_one_condition_does_not_change_the_draws_of_others(autojump_clock: object, better: str) -> None:
    """Every datagram draws the same number of random numbers, whatever its fate and the conditions."""
    bad, good = bad_network(), bad_network()
    for network in (bad, good):
        a, b = network.endpoint(A), network.endpoint(B)
        if network is good and better == "partition":
            network.partition(A, B)
        elif network is good:
            network.link(A, B, **{better: LEAST_MTU if better == "mtu" else 0})  # type: ignore[arg-type]
        send_many(network, (a, b))
        network.link(A, B)
        network.heal()
        a.send(b"last", b.address)
    assert bad.trace[:-1] != good.trace[:-1] or better == "mtu"
    assert bad.trace[-1] == good.trace[-1]
    if better == "loss":
        assert all(was in ([], now) for was, now in zip(delays(bad, A, B), delays(good, A, B), strict=True))


async def test_a_change_of_conditions_goes_on_with_the_same_numbers(autojump_clock: object) -> None:
    steady, changed = bad_network(), bad_network()
    for network in (steady, changed):
        a, b = network.endpoint(A), network.endpoint(B)
        send_many(network, (a, b))
        if network is changed:
            network.link(A, B)
        send_many(network, (a, b))
    assert steady.trace == changed.trace


@pytest.mark.parametrize(("hosts", "headers"), [((A, B), 28), ((A6, B6), 48)])
async def test_mtu_counts_the_ip_packet(autojump_clock: object, hosts: tuple[str, str], headers: int) -> None:
    network = SimulatedNetwork()
    a, b = (network.endpoint(host) for host in hosts)
    network.link(*hosts, mtu=1500)
    a.send(bytes(1500 - headers), b.address)
    a.send(bytes(1500 - headers + 1), b.address)
    assert [(record.fate, len(record.arrivals)) for record in network.trace] == [("delivered", 1), ("too_big", 0)]
    assert len(await b.receive()) == 1500 - headers
    await trio.sleep(1)
    assert b.receive_nowait() is None


async def test_mtu_of_the_network_and_of_streams(autojump_clock: object) -> None:
    network = SimulatedNetwork(mtu=1500)
    data = b"MESSAGE sip:b SIP/2.0\r\nContent-Length: 2000\r\n\r\n" + bytes(2000)
    for transport in ("udp", "tcp"):
        a, b = (network.endpoint(host, transport=transport) for host in (A, B))
        a.send(data, b.address)
    assert [record.fate for record in network.trace] == ["too_big", "delivered"]
    assert await b.receive() == data


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"latency": -0.1}, r"latency is a number of seconds, 0 or more, not -0\.1"),
        ({"latency": float("inf")}, "latency is a number of seconds"),
        ({"jitter": float("nan")}, "jitter is a number of seconds"),
        ({"jitter": "0.1"}, "jitter is a number of seconds, 0 or more, not '0.1'"),
        ({"loss": 1.1}, r"loss is a probability from 0 to 1, not 1\.1"),
        ({"loss": 10}, "loss is a probability from 0 to 1, not 10"),
        ({"loss": True}, "loss is a probability from 0 to 1, not True"),
        ({"duplication": -1}, "duplication is a probability"),
        ({"reordering": 2}, "reordering is a probability"),
        ({"mtu": 67}, "mtu is a whole number of bytes, 68 or more, or None, not 67"),
        ({"mtu": 1500.0}, "mtu is a whole number of bytes"),
    ],
)
async def test_values_out_of_range(given: dict[str, float], complaint: str) -> None:
    network = SimulatedNetwork()
    with pytest.raises(ValueError, match=complaint):
        network.link(A, B, **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=complaint):
        SimulatedNetwork(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["alice", "10.0.0.2:5060", "[2001:db8::1]", "", None])
async def test_hosts_are_addresses(host: str) -> None:
    network = SimulatedNetwork()
    with pytest.raises(ValueError, match=r"host_b is a host's IP address without a port, as in '10\.0\.0\.2', not"):
        network.link(A, host, loss=0.5)
    with pytest.raises(ValueError, match="host_a is a host's IP address"):
        network.partition(host, B)
    with pytest.raises(ValueError, match="host_a is a host's IP address"):
        network.reset_stream_after(host, B, 10)
    with pytest.raises(ValueError, match=r"takes two hosts, or none|host_b is a host's"):
        network.heal(A, host)


async def test_a_partition_lets_arrive_what_has_passed_it(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=1.0)
    a, b = network.endpoint(A), network.endpoint(B)
    a.send(b"1", b.address)
    network.partition(A, B)
    a.send(b"2", b.address)
    await trio.sleep(0.5)
    network.heal(A, B)
    assert await b.receive() == b"1"
    assert trio.current_time() == pytest.approx(1.0)
    await trio.sleep(1)
    assert b.receive_nowait() is None


async def test_a_partition_leaves_the_conditions_of_a_link(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    a, b = network.endpoint(A), network.endpoint(B)
    network.link(A, B, latency=0.5)
    network.partition(A, B)
    network.heal()
    a.send(b"1", b.address)
    assert network.trace[0].arrivals == (0.5,)


async def test_arrivals_are_when_it_arrives(autojump_clock: object) -> None:
    network = bad_network()
    a, b = network.endpoint(A), network.endpoint(B)
    send_many(network, (a, b))
    due = sorted((at, record.data) for record in network.trace for at in record.arrivals)
    assert len(due) > 80
    for at, data in due:
        assert await b.receive() == data
        assert trio.current_time() == pytest.approx(at)
    copies = {"lost": 0, "delivered": 1, "duplicated": 2}
    assert {(record.fate, len(record.arrivals)) for record in network.trace} == set(copies.items())


async def test_arrivals_of_a_stream(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    network.link(A, B, latency=0.100, jitter=0.100, one_way=True)
    listener = network.bind_tcp(Address(B, 5060))
    near = network.open_stream(Address(A, 0), listener.local)
    far, _ = await listener.accept()
    await near.send_all(b"hello")
    [record] = network.trace
    assert await far.receive_some() == b"hello"
    assert record.arrivals == pytest.approx((trio.current_time(),))
    assert 0.200 <= trio.current_time() <= 0.300
    await far.send_all(b"there")
    assert network.trace[-1].arrivals == pytest.approx((trio.current_time() + 0.010,))


async def test_connecting_takes_both_ways(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    await network.open_tcp(Address(A, 5060))
    network.bind_tcp(Address(B, 5060))
    network.link(A, B, latency=0.100, one_way=True)
    network.link(B, A, latency=0.200, one_way=True)
    await network.connect_tcp(Address(B, 5060))
    assert trio.current_time() == pytest.approx(0.300)


async def test_names_of_hosts() -> None:
    network = SimulatedNetwork()
    alice = network.user_agent(B, name="alice", proxy="10.0.0.1:5060")
    nobody = network.user_agent(C)
    assert (alice.name, nobody.name) == ("alice", C)
    assert network.names == {B: "alice"}


async def test_ports_the_system_chooses_are_chosen_host_by_host() -> None:
    network = SimulatedNetwork()
    first, other, second = (network.endpoint(host, 0).address.port for host in (A, B, A))
    assert (first, second) == (other, other + 1)


async def test_a_network_says_what_it_is() -> None:
    network = SimulatedNetwork(seed=7)
    network.endpoint(A).send(b"x", Address(B, 5060))
    assert repr(network) == "<SimulatedNetwork seed 7, 1 messages sent>"


async def test_a_record_is_a_value() -> None:
    a, b = Address(A, 5060), Address(B, 5060)
    assert TraceRecord(0.0, "udp", a, b, b"x", "lost") == TraceRecord(0.0, "udp", a, b, b"x", "lost", ())
