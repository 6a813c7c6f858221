from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from trio_sip.address import Address
from trio_sip.errors import TransportError
from trio_sip.testing import SimulatedNetwork
from trio_sip.transport.pool import ConnectionPool
from trio_sip.transport.stream import StreamConnection, StreamLimits

SERVER, PEER = Address("10.0.0.1", 5060), Address("10.0.0.2", 5060)
MESSAGE = b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"

Serve = Callable[[StreamConnection], Awaitable[object]]


async def echo(connection: StreamConnection) -> None:
    while True:
        for data, flow in await connection.receive_many():
            flow.send(data)


class Setting:
    def __init__(self, serve: Serve = echo, limits: StreamLimits | None = None) -> None:
        self.network = SimulatedNetwork()
        self.pool = ConnectionPool(self.network, serve, limits)

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.pool.run)
        self.listener = await self.network.open_tcp(SERVER)
        nursery.start_soon(self.pool.serve_listener, self.listener)


async def test_accepted_connections_are_served(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting()
    await setting.start(nursery)
    alice = setting.network.endpoint("10.0.0.2", transport="tcp")
    for _ in range(2):
        alice.send(MESSAGE, SERVER)
        assert await alice.receive() == MESSAGE
    statistics = setting.pool.statistics()
    assert (statistics.accepted, statistics.open) == (1, 1)
    alice.close()
    await trio.sleep(1)
    statistics = setting.pool.statistics()
    assert (statistics.open, statistics.lost) == (0, 1)
    assert repr(setting.pool) == "<ConnectionPool 0 open, 0 connecting>"
    nursery.cancel_scope.cancel()


async def test_callers_share_one_connect(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting()
    await setting.start(nursery)
    setting.network.endpoint("10.0.0.2", transport="tcp")
    found: list[StreamConnection] = []

    async def find() -> None:
        found.append(await setting.pool.flow_to(PEER))

    async with trio.open_nursery() as callers:
        for _ in range(3):
            callers.start_soon(find)
    assert found[0] is found[1] is found[2]
    assert await setting.pool.flow_to(PEER) is found[0]
    assert setting.pool.statistics().connected == 1
    nursery.cancel_scope.cancel()


async def test_a_cancelled_caller_leaves_the_connect_to_the_others(
    autojump_clock: object, nursery: trio.Nursery
) -> None:
    setting = Setting()
    await setting.start(nursery)
    setting.network.endpoint("10.0.0.2", transport="tcp")
    with trio.move_on_after(0.005) as scope:
        await setting.pool.flow_to(PEER)
    assert scope.cancelled_caught
    assert setting.pool.statistics().connecting == 1
    assert (await setting.pool.flow_to(PEER)).remote == PEER
    nursery.cancel_scope.cancel()


async def test_an_accepted_connection_is_reused(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting()
    await setting.start(nursery)
    alice = setting.network.endpoint("10.0.0.2", transport="tcp")
    alice.send(MESSAGE, SERVER)
    await alice.receive()
    remote = setting.network.trace[0].source
    connection = await setting.pool.flow_to(remote)
    assert (connection.local, connection.remote) == (SERVER, remote)
    connection.send(MESSAGE)
    assert await alice.receive() == MESSAGE
    assert setting.pool.statistics().connected == 0
    nursery.cancel_scope.cancel()


async def test_a_closed_connection_is_not_reused(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting()
    await setting.start(nursery)
    setting.network.endpoint("10.0.0.2", transport="tcp")
    first = await setting.pool.flow_to(PEER)
    first.abort("test")
    second = await setting.pool.flow_to(PEER)
    assert second is not first
    await trio.sleep(1)
    assert await setting.pool.flow_to(PEER) is second  # the end of the first did not unregister it
    nursery.cancel_scope.cancel()


async def test_refused(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting()
    await setting.start(nursery)
    with pytest.raises(TransportError, match="refused"):
        await setting.pool.flow_to(PEER)
    assert setting.pool.statistics().failed == 1
    nursery.cancel_scope.cancel()


async def test_connect_timeout(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting(limits=StreamLimits(connect_timeout=3))
    await setting.start(nursery)
    setting.network.partition("10.0.0.1", "10.0.0.2")
    with pytest.raises(TransportError, match="not connected in 3 s"):
        await setting.pool.flow_to(PEER)
    assert trio.current_time() == pytest.approx(3)
    assert setting.pool.statistics().connecting == 0
    nursery.cancel_scope.cancel()


async def test_not_running() -> None:
    with pytest.raises(TransportError, match="not running"):
        await Setting().pool.flow_to(PEER)


async def test_too_many_from_one_host(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting(limits=StreamLimits(connections_per_host=1))
    await setting.start(nursery)
    for port in (1, 2):
        setting.network.endpoint("10.0.0.2", port, "tcp").send(MESSAGE, SERVER)
    bob = setting.network.endpoint("10.0.0.3", transport="tcp")
    bob.send(MESSAGE, SERVER)
    assert await bob.receive() == MESSAGE
    statistics = setting.pool.statistics()
    assert (statistics.accepted, statistics.refused) == (2, 1)
    nursery.cancel_scope.cancel()


async def test_too_many_in_all(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting(limits=StreamLimits(connections=1))
    await setting.start(nursery)
    for host in ("10.0.0.2", "10.0.0.3"):
        setting.network.endpoint(host, transport="tcp").send(MESSAGE, SERVER)
    await trio.sleep(1)
    statistics = setting.pool.statistics()
    assert (statistics.open, statistics.refused) == (1, 1)
    with pytest.raises(TransportError, match="1 connections are open already"):
        await setting.pool.flow_to(PEER)
    nursery.cancel_scope.cancel()


async def test_the_last_word_is_sent_when_serving_ends(autojump_clock: object, nursery: trio.Nursery) -> None:
    async def answer_once(connection: StreamConnection) -> None:
        await connection.receive_many()
        connection.send(MESSAGE)

    setting = Setting(answer_once)
    await setting.start(nursery)
    alice = setting.network.endpoint("10.0.0.2", transport="tcp")
    alice.send(MESSAGE, SERVER)
    assert await alice.receive() == MESSAGE
    await trio.sleep(5)
    statistics = setting.pool.statistics()
    assert (statistics.open, statistics.lost) == (0, 0)
    nursery.cancel_scope.cancel()


async def test_bytes_that_are_not_sip_end_their_connection_only(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting()
    await setting.start(nursery)
    alice, bob = (setting.network.endpoint(f"10.0.0.{n}", transport="tcp") for n in (2, 3))
    alice.send(b"GET / HTTP/1.1\r\n\r\n", SERVER)
    bob.send(MESSAGE, SERVER)
    assert await bob.receive() == MESSAGE
    await trio.sleep(5)
    statistics = setting.pool.statistics()
    assert (statistics.open, statistics.lost) == (1, 1)
    nursery.cancel_scope.cancel()


async def test_a_bug_in_serving_is_loud(autojump_clock: object) -> None:
    async def fail(connection: StreamConnection) -> None:
        raise ZeroDivisionError

    async def serve() -> None:
        setting = Setting(fail)
        async with trio.open_nursery() as nursery:
            await setting.start(nursery)
            setting.network.endpoint("10.0.0.2", transport="tcp").send(MESSAGE, SERVER)

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve()
    assert caught.group_contains(ZeroDivisionError)


async def test_serving_ends_with_the_listener(autojump_clock: object, nursery: trio.Nursery) -> None:
    setting = Setting()
    await nursery.start(setting.pool.run)
    listener = await setting.network.open_tcp(SERVER)
    async with trio.open_nursery() as listening:
        listening.start_soon(setting.pool.serve_listener, listener)
        await trio.testing.wait_all_tasks_blocked()
        listener.close()
    nursery.cancel_scope.cancel()


async def test_cancelling_the_pool_closes_every_connection(autojump_clock: object) -> None:
    setting = Setting()
    async with trio.open_nursery() as nursery:
        await setting.start(nursery)
        setting.network.endpoint("10.0.0.2", transport="tcp")
        accepted = setting.network.open_stream(Address("10.0.0.3", 1), SERVER)
        await setting.pool.flow_to(PEER)
        assert setting.pool.statistics().open == 2
        nursery.cancel_scope.cancel()
    assert setting.pool.statistics().open == 0
    assert await accepted.receive_some() == b""


async def test_cancelling_the_pool_while_connecting(autojump_clock: object) -> None:
    setting = Setting()
    setting.network.endpoint("10.0.0.2", transport="tcp")
    async with trio.open_nursery() as nursery:
        await setting.start(nursery)
        with trio.move_on_after(0.015):  # the other end is there already
            await setting.pool.flow_to(PEER)
        nursery.cancel_scope.cancel()
    statistics = setting.pool.statistics()
    assert (statistics.connecting, statistics.open) == (0, 0)
