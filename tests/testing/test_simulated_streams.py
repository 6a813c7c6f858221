from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import check_half_closeable_stream

from trio_sip import Request, Router
from trio_sip.address import Address
from trio_sip.errors import TransportError
from trio_sip.testing import SimulatedNetwork
from trio_sip.testing.simulated_stream import WINDOW_BYTES, SimulatedStream
from trio_sip.transport.network import StreamListener

if TYPE_CHECKING:
    from conftest import Lab

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
    bob = network.endpoint("10.0.0.2", transport="tcp")
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


async def test_an_endpoint_over_tcp(autojump_clock: object, nursery: trio.Nursery) -> None:
    network = SimulatedNetwork()
    alice, bob = (network.endpoint(f"10.0.0.{n}", transport="tcp") for n in (2, 3))
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


async def test_a_partitioned_endpoint_hears_nothing(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    alice, bob = (network.endpoint(f"10.0.0.{n}", transport="tcp") for n in (2, 3))
    network.partition("10.0.0.2", "10.0.0.3")
    alice.send(MESSAGE, bob.address)
    with pytest.raises(AssertionError, match=r"tcp:10\.0\.0\.3:5060 got no message in 32 s"):
        await bob.receive()


# Resets on the way


def fates(network: SimulatedNetwork) -> list[str]:
    return [record.fate for record in network.trace]


async def broken_at(stream: trio.abc.Stream) -> float:
    """When a stream, read until then, is found broken; what writes to it finds that, too."""
    with trio.fail_after(60):
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
    return trio.current_time()


async def test_a_reset_cuts_the_piece_that_crosses_the_point(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    network.reset_stream_after(TWO.host, ONE.host, 7)
    ends = await connect(network)
    await ends.near.send_all(b"hello")
    await ends.near.send_all(b"there")
    await ends.near.send_all(b"lost")  # it does not know yet
    assert fates(network) == ["delivered", "reset", "reset"]
    assert [record.data for record in network.trace] == [b"hello", b"there", b"lost"]
    assert [len(record.arrivals) for record in network.trace] == [1, 1, 0]
    assert await ends.far.receive_some() == b"helloth"
    assert await broken_at(ends.far) == pytest.approx(0.020)
    assert await broken_at(ends.near) == pytest.approx(0.030)


@pytest.mark.parametrize(("nbytes", "received"), [(0, b""), (4, b"hell"), (5, b"hello")])
async def test_exactly_so_many_bytes_arrive(autojump_clock: object, nbytes: int, received: bytes) -> None:
    network = SimulatedNetwork()
    network.reset_stream_after(TWO.host, ONE.host, nbytes)
    ends = await connect(network)
    ends.near.send_nowait(b"hello")
    assert fates(network) == ["reset"]
    if received:
        assert await ends.far.receive_some() == received
    await broken_at(ends.far)
    await broken_at(ends.near)


async def test_the_other_direction_does_not_count(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    network.reset_stream_after(ONE.host, TWO.host, 7)
    ends = await connect(network)
    await ends.near.send_all(b"a longer one")
    assert await ends.far.receive_some() == b"a longer one"
    await ends.far.send_all(b"hello there")
    await ends.near.send_all(b"under way when it is reset")
    assert await ends.near.receive_some() == b"hello t"
    await broken_at(ends.near)
    await broken_at(ends.far)


async def test_what_is_under_way_back_arrives_before_the_reset(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    network.reset_stream_after(TWO.host, ONE.host, 1)
    ends = await connect(network)
    await ends.far.send_all(b"early")
    await ends.near.send_all(b"x")
    await ends.far.send_all(b"late")
    assert fates(network) == ["delivered", "reset", "reset"]
    assert await ends.near.receive_some() == b"early"
    await broken_at(ends.near)


async def test_who_waits_for_room_is_told_of_the_reset(autojump_clock: object) -> None:
    network = SimulatedNetwork(latency=0.010)
    network.reset_stream_after(TWO.host, ONE.host, 100)
    ends = await connect(network)
    with pytest.raises(trio.BrokenResourceError):
        await ends.near.send_all(bytes(2 * WINDOW_BYTES))
    assert trio.current_time() == pytest.approx(0.030)


async def test_each_call_is_for_one_connection(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    listener = network.bind_tcp(ONE)
    for nbytes in (1, 2):
        network.reset_stream_after(TWO.host, ONE.host, nbytes)
    network.open_stream(TWO, Address(ONE.host, 9)).send_nowait(b"hello")  # refused: no connection
    received = []
    for _ in range(3):
        network.open_stream(Address(TWO.host, 0), ONE).send_nowait(b"hello")
        stream, _ = await listener.accept()
        received.append(await stream.receive_some())
    assert received == [b"h", b"he", b"hello"]


async def test_a_reset_waits_while_the_hosts_are_cut(autojump_clock: object) -> None:
    network = SimulatedNetwork()
    network.reset_stream_after(TWO.host, ONE.host, 2)
    ends = await connect(network)
    network.partition(ONE.host, TWO.host)
    await ends.near.send_all(b"hello")
    with trio.move_on_after(60) as scope:
        await ends.far.receive_some()
    assert scope.cancelled_caught
    network.heal()
    assert await ends.far.receive_some() == b"he"
    await broken_at(ends.far)


@pytest.mark.parametrize("nbytes", [-1, 1.5, "7", None])
async def test_a_number_of_bytes_is_needed(nbytes: int) -> None:
    with pytest.raises(ValueError, match="nbytes is a whole number of bytes, 0 or more, not"):
        SimulatedNetwork().reset_stream_after(ONE.host, TWO.host, nbytes)


def forwarding() -> Router:
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward()

    return router


@pytest.mark.parametrize(("source", "destination"), [("10.0.0.2", "10.0.0.1"), ("10.0.0.1", "10.0.0.3")])
async def test_a_server_outlives_resets(autojump_clock: object, lab: Lab, source: str, destination: str) -> None:
    """Of the connection it accepted from alice, and of the one it opened to bob."""
    server = await lab.serve(forwarding())
    alice, bob = lab.peer("10.0.0.2", "tcp"), lab.peer("10.0.0.3", "tcp")
    lab.network.reset_stream_after(source, destination, 60)
    alice.request("MESSAGE", "sip:bob@10.0.0.3;transport=tcp", call_id="first")
    await bob.silence()
    assert fates(lab.network)[-1] == "reset"
    assert server.statistics().connections.lost == 1
    await alice.silence()
    alice.request("MESSAGE", "sip:bob@10.0.0.3;transport=tcp", call_id="second")
    assert (await bob.asked()).call_id == "second"
