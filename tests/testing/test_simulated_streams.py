from __future__ import annotations

import pytest
import trio
from trio.testing import check_half_closeable_stream

from trio_sip.address import Address
from trio_sip.errors import TransportError
from trio_sip.testing import SimulatedNetwork
from trio_sip.testing.simulated_stream import WINDOW_BYTES, SimulatedStream
from trio_sip.transport.network import StreamListener

ONE, TWO = Address("10.0.0.1", 5060), Address("10.0.0.2", 40000)
MESSAGE = b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"


class Ends:
    """A network, a listener of the server's and one connection to it."""

    def __init__(self, network: SimulatedNetwork, near: SimulatedStream, far: trio.abc.Stream) -> None:
        self.network, self.near, self.far = network, near, far


async def connect(network: SimulatedNetwork | None = None) -> Ends:
    network = SimulatedNetwork(latency=0.010) if network is None else network
    listener: StreamListener = await network.open_tcp(ONE)
    near = network.open_stream(TWO, ONE)
    far, remote = await listener.accept()
    assert remote == TWO
    return Ends(network, near, far)


async def test_bytes_take_their_time(autojump_clock: object) -> None:
    ends = await connect()
    await ends.near.send_all(b"hello")
    assert await ends.far.receive_some(2) == b"he"
    assert trio.current_time() == pytest.approx(0.020)
    assert await ends.far.receive_some() == b"llo"
    await ends.far.send_all(b"there")
    assert await ends.near.receive_some() == b"there"


async def test_it_keeps_the_contract_of_trio_streams(autojump_clock: object) -> None:
    async def pair() -> tuple[SimulatedStream, SimulatedStream]:
        ends = await connect()
        assert isinstance(ends.far, SimulatedStream)
        return ends.near, ends.far

    async def clogged() -> tuple[SimulatedStream, SimulatedStream]:
        near, far = await pair()
        near.send_nowait(bytes(WINDOW_BYTES))
        far.send_nowait(bytes(WINDOW_BYTES))
        return near, far

    await check_half_closeable_stream(pair, clogged)


async def test_order_holds_under_jitter(autojump_clock: object) -> None:
    ends = await connect(SimulatedNetwork(latency=0.010, jitter=0.100))
    for number in range(100):
        await ends.near.send_all(b"%d " % number)
    await ends.near.send_eof()
    received = b""
    while data := await ends.far.receive_some():
        received += data
    assert [int(number) for number in received.split()] == list(range(100))


async def test_who_is_not_read_from_waits(autojump_clock: object) -> None:
    ends = await connect()
    with trio.move_on_after(100) as scope:
        await ends.near.send_all(bytes(2 * WINDOW_BYTES))
    assert scope.cancelled_caught
    assert len(await ends.far.receive_some(WINDOW_BYTES)) == WINDOW_BYTES
    await ends.near.send_all(b"x")


async def test_reset(autojump_clock: object) -> None:
    ends = await connect()
    await ends.near.send_all(b"lost")
    ends.near.reset()
    with pytest.raises(trio.BrokenResourceError):
        await ends.far.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await ends.far.send_all(b"x")


async def test_close_comes_after_what_was_sent(autojump_clock: object) -> None:
    ends = await connect()
    await ends.near.send_all(b"last")
    await ends.near.aclose()
    assert await ends.far.receive_some() == b"last"
    assert await ends.far.receive_some() == b""


async def test_a_partition_stalls(autojump_clock: object) -> None:
    ends = await connect()
    await ends.near.send_all(b"1")
    ends.network.partition("10.0.0.1", "10.0.0.2")
    await ends.near.send_all(b"2")
    with trio.move_on_after(60) as scope:
        await ends.far.receive_some()
    assert scope.cancelled_caught
    assert [record.fate for record in ends.network.trace] == ["delivered", "stalled"]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heal_later, ends.network)
        assert await ends.far.receive_some() == b"12"


async def heal_later(network: SimulatedNetwork) -> None:
    await trio.sleep(1)
    network.heal()


async def test_connecting(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    listener = await network.open_tcp(ONE)
    bob = network.user_agent("10.0.0.2", transport="tcp")
    stream, local = await network.connect_tcp(bob.address)
    assert trio.current_time() == pytest.approx(0.020)
    assert local.host == "10.0.0.1"
    await stream.send_all(MESSAGE)
    assert await bob.receive() == MESSAGE
    bob.send(MESSAGE, local)
    assert await stream.receive_some() == MESSAGE
    listener.close()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_connecting_in_vain(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    await network.open_tcp(ONE)
    with pytest.raises(TransportError, match="refused"):
        await network.connect_tcp(Address("10.0.0.9", 5060))
    with pytest.raises(TransportError, match="not an IP address"):
        await network.connect_tcp(Address("example.com", 5060))
    network.partition("10.0.0.1", "10.0.0.9")
    with pytest.raises(TransportError, match="timed out"):
        await network.connect_tcp(Address("10.0.0.9", 5060))


async def test_a_cancelled_connect_resets_the_other_end(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    await network.open_tcp(ONE)
    listener = network.bind_tcp(Address("10.0.0.2", 5060))
    with trio.move_on_after(0.015) as scope:
        await network.connect_tcp(listener.local)
    assert scope.cancelled_caught
    stream, _ = await listener.accept()
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()


async def test_a_user_agent_over_tcp(autojump_clock: object, nursery: trio.Nursery) -> None:
    network = SimulatedNetwork()
    alice, bob = (network.user_agent(f"10.0.0.{n}", transport="tcp") for n in (2, 3))
    alice.send(MESSAGE[:7], bob.address)
    alice.send(MESSAGE[7:] + MESSAGE, bob.address)
    assert await bob.receive() == MESSAGE
    assert bob.receive_nowait() == MESSAGE
    bob.send(MESSAGE, network.trace[0].source)
    assert await alice.receive() == MESSAGE
    bob.close()
    await trio.sleep(1)
    assert alice.receive_nowait() is None
    alice.send(MESSAGE, bob.address)  # nobody listens: reset, as the next look shows
    await trio.sleep(1)
    assert alice.receive_nowait() is None


async def test_a_partitioned_user_agent_hears_nothing(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    alice, bob = (network.user_agent(f"10.0.0.{n}", transport="tcp") for n in (2, 3))
    network.partition("10.0.0.2", "10.0.0.3")
    alice.send(MESSAGE, bob.address)
    with pytest.raises(AssertionError, match=r"tcp:10\.0\.0\.3:5060 got no message in 32 s"):
        await bob.receive()
