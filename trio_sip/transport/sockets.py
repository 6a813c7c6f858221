"""`SocketNetwork`: the network of this machine.

    network = SocketNetwork()
    port = await network.open_udp(Address("0.0.0.0", 5060))

IPv6 sockets take IPv6 only, so that `udp:0.0.0.0:5060` and `udp:[::]:5060` can stand side by side and no
address has two spellings. SO_REUSEADDR is set on TCP listeners, which it lets start again at once; on a UDP
port it would let two servers steal each other's datagrams without a word.
"""

from __future__ import annotations

import errno
import socket

import trio

from trio_sip.address import Address, is_ip_address
from trio_sip.errors import ListenError, TransportError
from trio_sip.identifiers import Identifiers
from trio_sip.transport.destinations import why_unreachable
from trio_sip.transport.local_hosts import LocalHosts, family_of
from trio_sip.transport.network import StreamListener, UdpPort
from trio_sip.transport.udp_socket import UdpSocketPort, widen_receive_buffer

__all__ = ["ACCEPT_PAUSE", "BACKLOG", "RESOLVE_TIMEOUT", "SocketListener", "SocketNetwork"]

ACCEPT_PAUSE = 0.1
BACKLOG = 1024
RESOLVE_TIMEOUT = 5.0

_SHORT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_HINTS = {
    errno.EADDRINUSE: "is another server running? `ss -lnp` tells; port 0 takes a free one",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; SIP's own port is 5060",
    errno.EADDRNOTAVAIL: "no interface of this machine has this address; 0.0.0.0 or [::] takes them all",
    errno.EAFNOSUPPORT: "this machine does not have this address family",
}


class SocketNetwork:
    """A `Network` on the system's sockets. `identifiers` are unguessable unless given."""

    def __init__(self, identifiers: Identifiers | None = None) -> None:
        self.identifiers = Identifiers() if identifiers is None else identifiers
        hosts = LocalHosts()
        self.is_local = hosts.is_local
        self.source_host = hosts.source_host

    async def open_udp(self, address: Address) -> UdpPort:
        await trio.lowlevel.checkpoint()
        bound = _bind("udp", socket.SOCK_DGRAM, address)
        widen_receive_buffer(bound)
        return UdpSocketPort(bound, _address(bound.getsockname()))

    async def open_tcp(self, address: Address) -> StreamListener:
        await trio.lowlevel.checkpoint()
        return SocketListener(trio.socket.from_stdlib_socket(_bind("tcp", socket.SOCK_STREAM, address)))

    async def connect_tcp(self, remote: Address) -> tuple[trio.abc.Stream, Address]:
        if reason := why_unreachable(remote):
            raise TransportError(f"tcp to {remote}: {reason}")
        connecting = trio.socket.socket(family_of(remote.host), socket.SOCK_STREAM)
        try:
            await connecting.connect(tuple(remote))
            return trio.SocketStream(connecting), _address(connecting.getsockname())
        except OSError as error:
            connecting.close()
            raise TransportError(f"tcp to {remote}: {error.strerror or error}") from error
        except BaseException:
            connecting.close()
            raise

    async def resolve(self, host: str) -> list[str]:
        if is_ip_address(host):
            return [host]
        try:
            with trio.fail_after(RESOLVE_TIMEOUT):
                found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except trio.TooSlowError:
            raise TransportError(f"host {host!r}: no answer from DNS in {RESOLVE_TIMEOUT:g} s") from None
        except OSError as error:
            raise TransportError(f"host {host!r}: {error.strerror or error}") from error
        except ValueError as error:  # UnicodeError where it cannot be a name, an embedded NUL
            raise TransportError(f"host {host!r} is not a name: {error}") from error
        return list(dict.fromkeys(str(socket_address[0]).partition("%")[0] for *_, socket_address in found))


class SocketListener:
    """A `StreamListener`; takes over a bound socket."""

    def __init__(self, listening: trio.socket.SocketType) -> None:
        listening.listen(BACKLOG)
        self.local = _address(listening.getsockname())
        self._socket = listening

    def __repr__(self) -> str:
        return f"<SocketListener {self.local}>"

    async def accept(self) -> tuple[trio.abc.Stream, Address]:
        while True:
            try:
                accepted, remote = await self._socket.accept()
                return trio.SocketStream(accepted), _address(remote)
            except OSError as error:
                if self._socket.fileno() < 0:
                    raise trio.ClosedResourceError("this listener was closed") from error
                # Anything else is this one connection's end (ECONNABORTED and, on Linux, its pending
                # network errors).
                await trio.sleep(ACCEPT_PAUSE if error.errno in _SHORT_OF_RESOURCES else 0)

    def close(self) -> None:
        self._socket.close()


def _bind(transport: str, kind: socket.SocketKind, address: Address) -> socket.socket:
    unbound: socket.socket | None = None
    try:
        unbound = socket.socket(family_of(address.host), kind)
        unbound.setblocking(False)
        if kind is socket.SOCK_STREAM:
            unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if unbound.family == socket.AF_INET6:
            unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        unbound.bind(tuple(address))
    except OSError as error:
        if unbound is not None:
            unbound.close()
        raise _listen_error(transport, address, error) from error
    return unbound


def _listen_error(transport: str, address: Address, error: OSError) -> ListenError:
    hint = _HINTS.get(error.errno or 0)
    return ListenError(
        f"cannot listen on {transport}:{address}: {error.strerror or error}{f' ({hint})' if hint else ''}"
    )


def _address(socket_address: tuple[str | int, ...]) -> Address:
    host, port = socket_address[:2]
    return Address(str(host).partition("%")[0], int(port))
