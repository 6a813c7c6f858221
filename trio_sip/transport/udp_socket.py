"""A UDP port on a socket of the system.

The socket is non-blocking and read to the bottom at each wake-up: one wait, then up to `MAX_BURST`
datagrams without another await.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys

import trio

from trio_sip.address import Address, Flow
from trio_sip.errors import TransportError
from trio_sip.transport.network import MAX_BURST, UdpStatistics
from trio_sip.transport.outbox import SocketOutbox
from trio_sip.transport.udp import DatagramCounters, FlowTable, SocketAddress

__all__ = ["MAX_DATAGRAM", "RECEIVE_BUFFER", "UdpSocketPort", "widen_receive_buffer"]

MAX_DATAGRAM = 65_535
RECEIVE_BUFFER = 8 * 1024 * 1024
RECEIVE_ERROR_PAUSE = 0.010

# From Linux <asm-generic/socket.h> and <linux/sock_diag.h>; the socket module does not have them.
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_MEMINFO_DROPS = 8


class UdpSocketPort:
    """A `UdpPort`; takes over a bound, non-blocking socket."""

    def __init__(self, bound: socket.socket, local: Address) -> None:
        self.local = local
        self._socket = bound
        self._fileno = bound.fileno()
        self._recvfrom = bound.recvfrom
        self._counters = DatagramCounters()
        self._outbox = SocketOutbox()
        self._flows = FlowTable(local, bound.sendto, self._counters, self._outbox)

    def __repr__(self) -> str:
        return f"<UdpSocketPort {self.local}{' closed' if self._fileno < 0 else ''}>"

    async def receive_many(self) -> list[tuple[bytes, Flow]]:
        while True:
            if self._fileno < 0:
                raise trio.ClosedResourceError("this UDP port was closed")
            self._outbox.flush()
            await trio.lowlevel.wait_readable(self._fileno)
            errors = self._counters.receive_errors
            if batch := self._drain():
                return batch
            if self._counters.receive_errors > errors:
                await trio.sleep(RECEIVE_ERROR_PAUSE)  # an error that stays must not take the processor

    async def run_outbox(self) -> None:
        await self._outbox.run()

    def flow_to(self, remote: Address) -> Flow:
        return self._flows[self._socket_address(remote)]

    def statistics(self) -> UdpStatistics:
        counters = self._counters
        return UdpStatistics(
            received=counters.received,
            sent=counters.sent,
            send_lost=counters.send_lost,
            kernel_drops=_kernel_drops(self._socket),
            receive_errors=counters.receive_errors,
        )

    def close(self) -> None:
        if self._fileno >= 0:
            self._outbox.flush()
            self._fileno = -1
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _drain(self) -> list[tuple[bytes, Flow]]:
        batch: list[tuple[bytes, Flow]] = []
        recvfrom, flows = self._recvfrom, self._flows
        for _ in range(MAX_BURST):
            try:
                data, peer = recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EBADF:
                    break
                self._counters.receive_errors += 1
            else:
                batch.append((data, flows[peer]))
        self._counters.received += len(batch)
        return batch

    def _socket_address(self, remote: Address) -> SocketAddress:
        # Never a name: sendto would look it up and block.
        try:
            socket.inet_pton(self._socket.family, remote.host)
        except (OSError, ValueError):
            raise TransportError(
                f"udp {self.local} to {remote}: not an {_FAMILIES[self._socket.family]} address"
            ) from None
        return (*remote, 0, 0) if self._socket.family == socket.AF_INET6 else tuple(remote)


_FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def widen_receive_buffer(port: socket.socket, size: int = RECEIVE_BUFFER) -> None:
    """Ask for a receive buffer of `size` bytes, beyond the system's limit where we are allowed to."""
    if sys.platform == "linux":
        try:
            port.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
        except OSError:
            pass  # needs CAP_NET_ADMIN
        else:
            return
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _kernel_drops(port: socket.socket) -> int:
    if sys.platform != "linux":
        return 0
    try:
        values: tuple[int, ...] = _MEMINFO.unpack(port.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    except (OSError, struct.error):
        return 0  # closed, or a kernel before 4.12
    return values[_MEMINFO_DROPS]
