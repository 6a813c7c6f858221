from __future__ import annotations

import errno
import gc
import socket
from collections.abc import Callable

import pytest
import trio

from trio_sip.address import Address
from trio_sip.errors import ListenError, TransportError
from trio_sip.transport import local_hosts, sockets
from trio_sip.transport.network import MAX_BURST, Network, StreamListener, UdpPort
from trio_sip.transport.pool import ConnectionPool
from trio_sip.transport.sockets import SocketNetwork
from trio_sip.transport.stream import StreamConnection

pytestmark = pytest.mark.sockets

MESSAGE = b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on the loopback interface")
LOOPBACKS = ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)]


@pytest.fixture
def network() -> Network:
    return SocketNetwork()


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_udp_there_and_back(network: Network, host: str) -> None:
    one, two = await network.open_udp(Address(host, 0)), await network.open_udp(Address(host, 0))
    assert one.local.port != 0
    one.flow_to(two.local).send(b"ping")
    with trio.fail_after(5):
        [(data, flow)] = await two.receive_many()
    assert (data, flow.local, flow.remote) == (b"ping", two.local, one.local)
    flow.send(b"pong")
    with trio.fail_after(5):
        [(data, _)] = await one.receive_many()
    assert data == b"pong"
    statistics = one.statistics()
    assert (statistics.sent, statistics.received, statistics.kernel_drops) == (1, 1, 0)
    one.close()
    two.close()


async def test_udp_takes_a_burst_at_once_and_no_more(network: Network) -> None:
    one, two = (
        await network.open_udp(Address("127.0.0.1", 0)),
        await network.open_udp(Address("127.0.0.1", 0)),
    )
    flow = one.flow_to(two.local)
    for number in range(MAX_BURST + 6):
        flow.send(b"%d" % number)
    with trio.fail_after(5):
        batches = [await two.receive_many(), await two.receive_many()]
    assert [len(batch) for batch in batches] == [MAX_BURST, 6]
    assert [int(data) for batch in batches for data, _ in batch] == list(range(MAX_BURST + 6))
    one.close()
    two.close()


async def test_udp_counts_what_the_kernel_dropped(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sockets,
        "widen_receive_buffer",
        lambda port: port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),
    )
    port = await network.open_udp(Address("127.0.0.1", 0))
    flow = port.flow_to(port.local)
    for _ in range(100):
        flow.send(b"x" * 1000)
    assert port.statistics().kernel_drops > 0
    port.close()
    assert port.statistics().kernel_drops == 0


async def test_udp_receive_buffer_is_large(network: Network) -> None:
    port = await network.open_udp(Address("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        usual = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert port._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= usual  # type: ignore[attr-defined]
    port.close()


async def test_udp_outlives_what_nobody_receives(network: Network) -> None:
    gone = await network.open_udp(Address("127.0.0.1", 0))
    gone.close()
    port = await network.open_udp(Address("127.0.0.1", 0))
    for _ in range(3):
        port.flow_to(gone.local).send(b"x")
    port.flow_to(port.local).send(b"y")
    with trio.fail_after(5):
        assert [data for data, _ in await port.receive_many()] == [b"y"]
    port.close()


class FailingSocket:
    """Stands in for `recvfrom`: an ICMP error between two datagrams."""

    def __init__(self) -> None:
        self.results = [(b"1", ("127.0.0.1", 1)), ConnectionRefusedError(), (b"2", ("127.0.0.1", 1))]

    def __call__(self, size: int) -> object:
        result = self.results.pop(0) if self.results else BlockingIOError()
        if isinstance(result, OSError):
            raise result
        return result


async def test_udp_errors_on_receiving_are_counted_and_skipped(network: Network) -> None:
    port = await network.open_udp(Address("127.0.0.1", 0))
    port._recvfrom = FailingSocket()  # type: ignore[attr-defined]
    port.flow_to(port.local).send(b"wake up")
    with trio.fail_after(5):
        assert [data for data, _ in await port.receive_many()] == [b"1", b"2"]
    assert port.statistics().receive_errors == 1
    port.close()


@pytest.mark.parametrize("remote", [Address("example.com", 5060), Address("::1", 5060), Address("1\0", 1)])
async def test_udp_takes_no_names_and_no_other_family(network: Network, remote: Address) -> None:
    port = await network.open_udp(Address("127.0.0.1", 0))
    with pytest.raises(TransportError, match="not an IPv4 address"):
        port.flow_to(remote)
    port.close()


async def test_udp_says_what_is_too_long(network: Network) -> None:
    port = await network.open_udp(Address("127.0.0.1", 0))
    with pytest.raises(TransportError, match="too long"):
        port.flow_to(port.local).send(b"x" * 65_535)
    port.close()
    with pytest.raises(TransportError, match="descriptor"):
        port.flow_to(port.local).send(b"x")


async def expect_closed(wait: Callable[[], object]) -> None:
    with pytest.raises(trio.ClosedResourceError), trio.fail_after(5):
        await wait()  # type: ignore[misc]


async def test_closing_ends_who_waits(network: Network) -> None:
    port: UdpPort = await network.open_udp(Address("127.0.0.1", 0))
    listener: StreamListener = await network.open_tcp(Address("127.0.0.1", 0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, port.receive_many)
        nursery.start_soon(expect_closed, listener.accept)
        await trio.testing.wait_all_tasks_blocked()
        port.close()
        listener.close()
    await expect_closed(port.receive_many)
    await expect_closed(listener.accept)


async def test_cancelling_who_waits_loses_nothing(network: Network) -> None:
    port = await network.open_udp(Address("127.0.0.1", 0))
    with trio.move_on_after(0.01) as scope:
        await port.receive_many()
    assert scope.cancelled_caught
    port.flow_to(port.local).send(b"x")
    with trio.fail_after(5):
        assert len(await port.receive_many()) == 1
    port.close()


@needs_ipv6
async def test_both_families_on_one_port(network: Network) -> None:
    four = await network.open_udp(Address("0.0.0.0", 0))
    six = await network.open_udp(Address("::", four.local.port))
    assert six.local == Address("::", four.local.port)
    four.close()
    six.close()


async def test_port_in_use(network: Network) -> None:
    port = await network.open_udp(Address("127.0.0.1", 0))
    with pytest.raises(ListenError, match=r"udp:127\.0\.0\.1:\d+: Address already in use \(is another server"):
        await network.open_udp(port.local)
    port.close()
    listener = await network.open_tcp(Address("127.0.0.1", 0))
    with pytest.raises(ListenError, match=r"tcp:127\.0\.0\.1:\d+: Address already in use \(is another server"):
        await network.open_tcp(listener.local)
    listener.close()


async def test_address_of_nobody(network: Network) -> None:
    with pytest.raises(ListenError, match="no interface of this machine"):
        await network.open_udp(Address("192.0.2.1", 0))


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_tcp_there_and_back_over_one_connection(network: Network, nursery: trio.Nursery, host: str) -> None:
    arrived: list[Address] = []
    done = trio.Event()

    async def echo(connection: StreamConnection) -> None:
        while True:
            for data, flow in await connection.receive_many():
                arrived.append(flow.remote)
                if len(arrived) < 4:
                    flow.send(data)
                else:
                    done.set()

    pool = ConnectionPool(network, echo)
    await nursery.start(pool.run)
    listener = await network.open_tcp(Address(host, 0))
    nursery.start_soon(pool.serve_listener, listener)
    with trio.fail_after(5):
        connection = await pool.flow_to(listener.local)
        connection.send(MESSAGE)
        await done.wait()
        accepted = await pool.flow_to(connection.local)
    assert (accepted.local, accepted.remote) == (listener.local, connection.local)
    assert arrived == [connection.local, listener.local] * 2
    statistics = pool.statistics()
    assert (statistics.connected, statistics.accepted, statistics.open) == (1, 1, 2)
    listener.close()
    nursery.cancel_scope.cancel()


async def test_tcp_refused(network: Network) -> None:
    listener = await network.open_tcp(Address("127.0.0.1", 0))
    listener.close()
    with pytest.raises(TransportError, match="refused"), trio.fail_after(5):
        await network.connect_tcp(listener.local)
    with pytest.raises(TransportError, match="unspecified"):
        await network.connect_tcp(Address("0.0.0.0", 5060))


async def test_a_cancelled_connect_leaves_no_socket(network: Network) -> None:
    listener = await network.open_tcp(Address("127.0.0.1", 0))
    with trio.CancelScope() as scope:
        scope.cancel()
        await network.connect_tcp(listener.local)
    assert scope.cancelled_caught
    listener.close()
    gc.collect()  # a socket left open would be a ResourceWarning, and that an error


async def test_accept_outlives_errors(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "ACCEPT_PAUSE", 0.001)
    listener = await network.open_tcp(Address("127.0.0.1", 0))
    real = listener._socket.accept  # type: ignore[attr-defined]
    errors = [OSError(number, "no") for number in (errno.EMFILE, errno.ECONNABORTED, errno.ENETDOWN)]

    async def accept() -> object:
        if errors:
            raise errors.pop()
        return await real()

    monkeypatch.setattr(listener._socket, "accept", accept)  # type: ignore[attr-defined]
    with trio.fail_after(5):
        stream, local = await network.connect_tcp(listener.local)
        accepted, remote = await listener.accept()
    assert (remote, errors) == (local, [])
    await stream.aclose()
    await accepted.aclose()
    listener.close()


async def test_is_local(network: Network) -> None:
    assert network.is_local("127.0.0.1")
    assert network.is_local("127.0.0.1")
    for host in ("192.0.2.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "localhost", "", "2001:db8::1"):
        assert not network.is_local(host)


async def test_source_host(network: Network) -> None:
    assert network.source_host("127.0.0.1") == "127.0.0.1"
    with pytest.raises(TransportError):
        network.source_host("localhost")


async def test_what_is_remembered_is_bounded_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    asked: list[str] = []

    def can_bind(host: str) -> bool:
        asked.append(host)
        return False

    monkeypatch.setattr(local_hosts, "_can_bind", can_bind)
    monkeypatch.setattr(local_hosts, "MAX_REMEMBERED_HOSTS", 4)
    hosts = local_hosts.LocalHosts()
    for _ in range(2):
        hosts.is_local("a")
    assert asked == ["a"]
    autojump_clock.jump(local_hosts.REMEMBERED_FOR)
    hosts.is_local("a")
    assert asked == ["a", "a"]
    for number in range(20):
        hosts.is_local(str(number))
        assert len(hosts._local) <= 4


async def test_resolve(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await network.resolve("::1") == ["::1"]
    assert await network.resolve("192.0.2.7") == ["192.0.2.7"]

    async def found(host: str, port: object, **_: object) -> list[tuple[object, ...]]:
        return [
            (0, 0, 0, "", ("192.0.2.7", 0)),
            (0, 0, 0, "", ("192.0.2.7", 0)),
            (0, 0, 0, "", ("::1", 0, 0, 0)),
        ]

    monkeypatch.setattr(trio.socket, "getaddrinfo", found)
    assert await network.resolve("example.com") == ["192.0.2.7", "::1"]


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "not known"), UnicodeError("label empty"), ValueError("NUL")]
)
async def test_resolve_fails(network: Network, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def fail(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(trio.socket, "getaddrinfo", fail)
    with pytest.raises(TransportError, match="example"):
        await network.resolve("example.com")


async def test_resolve_is_bounded(network: Network, monkeypatch: pytest.MonkeyPatch, autojump_clock: object) -> None:
    async def hang(*_: object, **__: object) -> object:
        return await trio.sleep_forever()

    monkeypatch.setattr(trio.socket, "getaddrinfo", hang)
    with pytest.raises(TransportError, match="no answer from DNS in 5 s"):
        await network.resolve("example.com")
