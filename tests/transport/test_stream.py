from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair

from trio_sip.address import Address
from trio_sip.errors import TransportError
from trio_sip.message.framing import FramingError
from trio_sip.transport.stream import StreamConnection, StreamLimits

LOCAL, REMOTE = Address("10.0.0.1", 5060), Address("10.0.0.2", 40000)
MESSAGE = b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"

Peer = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


def connect(limits: StreamLimits | None = None) -> tuple[StreamConnection, Peer]:
    ours, peer = memory_stream_pair()
    return StreamConnection(ours, LOCAL, REMOTE, limits), peer


def never_written(stream: StreamConnection) -> None:
    """Let the stream under a connection block, as with a peer that does not read."""
    ours = stream._stream
    assert isinstance(ours, trio.StapledStream)
    ours.send_stream.send_all_hook = trio.sleep_forever


async def take(connection: StreamConnection) -> list[bytes]:
    batch = await connection.receive_many()
    assert all(flow is connection for _, flow in batch)
    return [data for data, _ in batch]


async def test_messages_of_one_read_come_together(autojump_clock: object) -> None:
    connection, peer = connect()
    await peer.send_all(MESSAGE + MESSAGE + MESSAGE[:10])
    assert await take(connection) == [MESSAGE, MESSAGE]
    await peer.send_all(MESSAGE[10:])
    assert await take(connection) == [MESSAGE]


async def test_it_is_a_flow() -> None:
    connection, _ = connect()
    assert (connection.transport, connection.reliable) == ("tcp", True)
    assert (connection.local, connection.remote) == (LOCAL, REMOTE)
    assert repr(connection) == "<StreamConnection tcp 10.0.0.1:5060 to 10.0.0.2:40000, open>"


async def test_sent_messages_are_written_in_order(autojump_clock: object, nursery: trio.Nursery) -> None:
    connection, peer = connect()
    nursery.start_soon(connection.run_writer)
    connection.send(b"one")
    connection.send(b"two")
    assert await peer.receive_some() == b"onetwo"
    connection.send(b"three")
    assert await peer.receive_some() == b"three"
    await trio.testing.wait_all_tasks_blocked()
    statistics = connection.statistics()
    assert (statistics.sent, statistics.queued, statistics.queued_bytes) == (3, 0, 0)
    connection.close()


async def test_ping_is_answered_with_pong(autojump_clock: object, nursery: trio.Nursery) -> None:
    connection, peer = connect()
    nursery.start_soon(connection.run_writer)
    await peer.send_all(b"\r\n\r\n")
    with trio.move_on_after(1):
        await connection.receive_many()
    assert await peer.receive_some() == b"\r\n"
    connection.close()


async def test_orderly_end(autojump_clock: object) -> None:
    connection, peer = connect()
    await peer.send_all(MESSAGE)
    await peer.send_eof()
    assert await take(connection) == [MESSAGE]
    with pytest.raises(trio.EndOfChannel):
        await connection.receive_many()


async def test_end_in_the_middle_of_a_message(autojump_clock: object) -> None:
    connection, peer = connect()
    await peer.send_all(MESSAGE[:5])
    await peer.send_eof()
    with pytest.raises(TransportError, match="in the middle of a message"):
        await connection.receive_many()
    assert not connection.is_open


async def test_good_messages_come_before_the_framing_error(autojump_clock: object) -> None:
    connection, peer = connect()
    refused = b"OPTIONS sip:a SIP/2.0\r\nl: 99999999\r\n\r\n"
    await peer.send_all(MESSAGE + refused + MESSAGE)
    assert await take(connection) == [MESSAGE]
    with pytest.raises(FramingError) as caught:
        await connection.receive_many()
    assert (caught.value.status, caught.value.data) == (413, refused)
    assert connection.is_open  # for the answer


async def test_what_is_queued_is_written_before_an_orderly_close(autojump_clock: object, nursery: trio.Nursery) -> None:
    connection, peer = connect()
    connection.send(b"answer")
    connection.close()
    with pytest.raises(TransportError, match="closed"):
        connection.send(b"late")
    await peer.send_eof()
    await connection.run_writer()
    assert await peer.receive_some() == b"answer"
    assert await peer.receive_some() == b""


async def test_a_close_waits_for_the_peer_but_not_for_long(autojump_clock: trio.testing.MockClock) -> None:
    connection, _peer = connect()
    connection.close()
    await connection.run_writer()
    assert trio.current_time() == pytest.approx(connection.limits.linger_timeout)


async def test_close_ends_who_reads(autojump_clock: object, nursery: trio.Nursery) -> None:
    connection, _peer = connect()
    nursery.start_soon(connection.run_writer)
    nursery.start_soon(after, 1, connection.close)
    with pytest.raises(trio.EndOfChannel):
        await connection.receive_many()
    assert trio.current_time() == pytest.approx(1)


async def after(seconds: float, act: Callable[[], object]) -> None:
    await trio.sleep(seconds)
    act()


@pytest.mark.parametrize(
    ("limits", "taken"),
    [(StreamLimits(send_queue_messages=3), 3), (StreamLimits(send_queue_bytes=10), 2)],
)
async def test_a_peer_that_does_not_read_loses_its_connection(
    autojump_clock: object, nursery: trio.Nursery, limits: StreamLimits, taken: int
) -> None:
    connection, peer = connect(limits)
    for _ in range(taken):
        connection.send(b"hello")
    with pytest.raises(TransportError, match="queue full"):
        connection.send(b"hello")
    with pytest.raises(TransportError, match="queue full"):
        connection.send(b"")
    await connection.run_writer()
    assert await peer.receive_some() == b""
    with pytest.raises(TransportError, match="queue full"):
        await connection.receive_many()


async def test_a_blocked_write_is_ended_by_a_full_queue(autojump_clock: object, nursery: trio.Nursery) -> None:
    connection, _peer = connect(StreamLimits(send_queue_bytes=10))
    never_written(connection)
    connection.send(b"hello")
    nursery.start_soon(connection.run_writer)
    await trio.testing.wait_all_tasks_blocked()
    connection.send(b"hello")  # what is being written still counts
    with pytest.raises(TransportError, match="queue full"):
        connection.send(b"!")
    with pytest.raises(TransportError, match="queue full"):
        await connection.receive_many()


async def test_write_timeout(autojump_clock: object) -> None:
    connection, _peer = connect(StreamLimits(write_timeout=3))
    never_written(connection)
    connection.send(b"hello")
    await connection.run_writer()
    assert trio.current_time() == pytest.approx(3)
    with pytest.raises(TransportError, match="a write took longer than 3 s"):
        connection.send(b"hello")


async def test_idle_timeout(autojump_clock: object) -> None:
    connection, peer = connect(StreamLimits(idle_timeout=60))
    await trio.sleep(50)
    await peer.send_all(MESSAGE)
    await connection.receive_many()
    with pytest.raises(TransportError, match="idle"):
        await connection.receive_many()
    assert trio.current_time() == pytest.approx(110)


async def trickle(peer: Peer, data: bytes, pause: float) -> None:
    for at in range(len(data)):
        await trio.sleep(pause)
        await peer.send_all(data[at : at + 1])


async def test_a_message_byte_by_byte_does_not_gain_time(autojump_clock: object, nursery: trio.Nursery) -> None:
    connection, peer = connect(StreamLimits(message_timeout=10))
    await peer.send_all(MESSAGE + MESSAGE[:1])
    await connection.receive_many()
    nursery.start_soon(trickle, peer, MESSAGE[1:], 1.0)
    with pytest.raises(TransportError, match="not complete in time"):
        await connection.receive_many()
    assert trio.current_time() == pytest.approx(10)
    nursery.cancel_scope.cancel()


async def test_time_for_a_message_starts_with_its_first_byte(autojump_clock: object, nursery: trio.Nursery) -> None:
    connection, peer = connect(StreamLimits(message_timeout=10))
    pause = 9 / len(MESSAGE)
    nursery.start_soon(trickle, peer, MESSAGE + b"\r\n\r\n" + MESSAGE, pause)
    assert await take(connection) == [MESSAGE]
    assert await take(connection) == [MESSAGE]


async def test_connection_lost(autojump_clock: object) -> None:
    connection, _peer = connect()

    async def broken() -> None:
        raise trio.BrokenResourceError

    ours = connection._stream
    assert isinstance(ours, trio.StapledStream)
    ours.receive_stream.receive_some_hook = broken
    with pytest.raises(TransportError, match="connection lost"):
        await connection.receive_many()
    assert not connection.is_open


@pytest.mark.parametrize("where", ["waiting", "writing", "lingering"])
async def test_a_cancelled_writer_closes_the_stream(autojump_clock: object, where: str) -> None:
    connection, _peer = connect()
    if where == "writing":
        never_written(connection)
        connection.send(b"hello")
    if where == "lingering":
        connection.close()
    with trio.move_on_after(0.5) as scope:
        await connection.run_writer()
    assert scope.cancelled_caught
    assert not connection.is_open
    with pytest.raises(trio.ClosedResourceError):
        await connection._stream.send_all(b"")


async def test_a_cancelled_read_loses_nothing(autojump_clock: object) -> None:
    connection, peer = connect()
    await peer.send_all(MESSAGE[:10])
    with trio.move_on_after(0.5) as scope:
        await connection.receive_many()
    assert scope.cancelled_caught
    await peer.send_all(MESSAGE[10:])
    assert await take(connection) == [MESSAGE]
