from __future__ import annotations

import pytest
import trio

from trio_sip.address import Address
from trio_sip.errors import ListenError, TransportError
from trio_sip.testing import NothingReceived, SimulatedNetwork, delivery
from trio_sip.transport.network import MAX_BURST, Network

SERVER = Address("10.0.0.1", 5060)


def fates(network: SimulatedNetwork) -> list[str]:
    return [record.fate for record in network.trace]


async def test_there_and_back_takes_two_latencies(autojump_clock: object) -> None:
    network: Network
    network = simulated = SimulatedNetwork(latency=0.010)
    port = await network.open_udp(SERVER)
    alice = simulated.endpoint("10.0.0.2")
    alice.send(b"ping", to="10.0.0.1")
    [(data, flow)] = await port.receive_many()
    assert (data, flow.transport, flow.local, flow.remote) == (b"ping", "udp", SERVER, alice.address)
    assert trio.current_time() == pytest.approx(0.010)
    flow.send(b"pong")
    assert await alice.receive() == b"pong"
    assert trio.current_time() == pytest.approx(0.020)
    statistics = port.statistics()
    assert (statistics.received, statistics.sent) == (1, 1)


async def test_datagrams_come_in_order_and_in_bursts(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    port = await network.open_udp(SERVER)
    alice = network.endpoint("10.0.0.2")
    for number in range(MAX_BURST + 3):
        alice.send(b"%d" % number, SERVER)
    batches = [await port.receive_many(), await port.receive_many()]
    assert [len(batch) for batch in batches] == [MAX_BURST, 3]
    assert [int(data) for batch in batches for data, _ in batch] == list(range(MAX_BURST + 3))


async def test_a_later_datagram_does_not_hold_up_an_earlier_one(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    alice, bob = network.endpoint("10.0.0.2"), network.endpoint("10.0.0.3")
    alice.send(b"1", bob.address)
    await trio.sleep(0.005)
    alice.send(b"2", bob.address)
    assert await bob.receive() == b"1"
    assert bob.receive_nowait() is None
    assert await bob.receive() == b"2"
    assert trio.current_time() == pytest.approx(0.015)


async def run_badly(seed: int) -> tuple[list[str], list[bytes]]:
    network = SimulatedNetwork(seed, latency=0.010, jitter=0.005, loss=0.2, duplication=0.2, reordering=0.2)
    alice, bob = network.endpoint("10.0.0.2"), network.endpoint("10.0.0.3")
    for number in range(200):
        alice.send(b"%d" % number, bob.address)
        await trio.sleep(0.001)
    received: list[bytes] = []
    while len(received) < 300:
        try:
            received.append(await bob.receive(timeout=1))
        except NothingReceived:
            break
    return fates(network), received


async def test_a_bad_network_is_equally_bad_for_the_same_seed(autojump_clock: object) -> None:
    fate, received = await run_badly(7)
    assert (fate, received) == await run_badly(7)
    assert (fate, received) != await run_badly(8)
    assert {"delivered", "lost", "duplicated"} == set(fate)
    assert len(received) == len(fate) - fate.count("lost") + fate.count("duplicated")
    assert received != sorted(received, key=int)
    assert 20 < fate.count("lost") < 60


async def test_loss_of_everything(autojump_clock: object) -> None:
    network = SimulatedNetwork(loss=1.0)
    alice, bob = network.endpoint("10.0.0.2"), network.endpoint("10.0.0.3")
    alice.send(b"x", bob.address)
    with pytest.raises(NothingReceived, match=r"udp:10\.0\.0\.3:5060 got no message in 4 s .*had 0 before"):
        await bob.receive(timeout=4)
    assert trio.current_time() == pytest.approx(4)


async def test_partition_and_heal(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    alice, bob = network.endpoint("10.0.0.2"), network.endpoint("10.0.0.3")
    network.partition("10.0.0.2", "10.0.0.3")
    alice.send(b"1", bob.address)
    bob.send(b"2", alice.address)
    network.heal("10.0.0.3", "10.0.0.2")
    network.partition("10.0.0.2", "10.0.0.3", one_way=True)
    alice.send(b"3", bob.address)
    bob.send(b"4", alice.address)
    network.heal()
    alice.send(b"5", bob.address)
    assert fates(network) == ["partitioned", "partitioned", "partitioned", "delivered", "delivered"]
    assert await alice.receive() == b"4"
    assert await bob.receive() == b"5"


async def test_the_trace_tells_what_went_where(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    alice = network.endpoint("10.0.0.2", 5070)
    await trio.sleep(3)
    alice.send(b"x", "10.0.0.9:5080")
    [record] = network.trace
    assert (record.time, record.transport, record.data, record.fate) == (3, "udp", b"x", "unreachable")
    assert (record.source, record.destination) == (alice.address, Address("10.0.0.9", 5080))


async def test_a_closed_port_is_unreachable(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    port = await network.open_udp(SERVER)
    alice = network.endpoint("10.0.0.2")
    flow = port.flow_to(alice.address)
    port.close()
    port.close()
    with pytest.raises(trio.ClosedResourceError):
        await port.receive_many()
    with pytest.raises(TransportError, match="closed"):
        flow.send(b"x")
    alice.send(b"x", SERVER)
    alice.close()
    network.endpoint("10.0.0.3").send(b"x", alice.address)
    assert fates(network) == ["unreachable", "unreachable"]
    await network.open_udp(SERVER)


async def test_closing_ends_who_waits(autojump_clock: object, nursery: trio.Nursery) -> None:
    network = SimulatedNetwork()
    port = await network.open_udp(SERVER)

    async def close_later() -> None:
        await trio.sleep(1)
        port.close()

    nursery.start_soon(close_later)
    with pytest.raises(trio.ClosedResourceError):
        await port.receive_many()


async def test_cancelling_who_waits_loses_nothing(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    alice, bob = network.endpoint("10.0.0.2"), network.endpoint("10.0.0.3")
    alice.send(b"x", bob.address)
    with trio.move_on_after(0.005) as scope:
        await bob.receive()
    assert scope.cancelled_caught
    assert await bob.receive() == b"x"


async def test_what_is_under_way_is_bounded(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_IN_FLIGHT", 2)
    network = SimulatedNetwork()
    port = await network.open_udp(SERVER)
    alice = network.endpoint("10.0.0.2")
    for _ in range(3):
        alice.send(b"x", SERVER)
    assert fates(network) == ["delivered", "delivered", "overflowed"]
    assert port.statistics().kernel_drops == 1


async def test_too_long_for_a_datagram(autojump_clock: object) -> None:
    alice = SimulatedNetwork().endpoint("10.0.0.2")
    with pytest.raises(TransportError, match="too long"):
        alice.send(b"x" * 65_508, SERVER)


@pytest.mark.parametrize("host", ["example.com", "2001:db8::1"])
async def test_no_names_and_no_other_family(autojump_clock: object, host: str) -> None:
    port = await SimulatedNetwork().open_udp(SERVER)
    with pytest.raises(TransportError, match="not an address of this port's family"):
        port.flow_to(Address(host, 5060))


async def test_listening() -> None:
    network = SimulatedNetwork()
    await network.open_udp(SERVER)
    await network.open_tcp(SERVER)
    with pytest.raises(ListenError, match=r"udp:10\.0\.0\.1:5060: address already in use"):
        await network.open_udp(SERVER)
    with pytest.raises(ListenError, match=r"tcp:10\.0\.0\.1:5060: address already in use"):
        await network.open_tcp(SERVER)
    with pytest.raises(ListenError, match="one address"):
        await network.open_udp(Address("0.0.0.0", 5060))
    one, two = await network.open_udp(Address("10.0.0.1", 0)), await network.open_udp(Address("10.0.0.1", 0))
    assert 0 < one.local.port < two.local.port


async def test_local_hosts_are_those_of_the_server() -> None:
    network = SimulatedNetwork()
    with pytest.raises(TransportError, match="no port of this family"):
        network.source_host("10.0.0.2")
    await network.open_udp(SERVER)
    await network.open_tcp(Address("2001:db8::1", 5060))
    network.endpoint("10.0.0.2")
    assert [network.is_local(host) for host in ("10.0.0.1", "2001:db8::1", "10.0.0.2")] == [True, True, False]
    assert network.source_host("10.0.0.2") == "10.0.0.1"
    assert network.source_host("2001:db8::2") == "2001:db8::1"


async def test_names(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    network.add_host("Desk.example.com", "10.0.0.5", "10.0.0.6")
    assert await network.resolve("desk.EXAMPLE.com") == ["10.0.0.5", "10.0.0.6"]
    assert await network.resolve("10.0.0.5") == ["10.0.0.5"]
    with pytest.raises(TransportError, match="nobody"):
        await network.resolve("nobody.example.com")


async def test_identifiers_repeat_themselves() -> None:
    assert SimulatedNetwork(3).identifiers.token() == SimulatedNetwork(3).identifiers.token()
