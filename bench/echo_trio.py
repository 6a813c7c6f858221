"""A bare Trio UDP echo that drains: it waits until it can read, then takes many datagrams without awaiting.

This is what a router on Trio can reach at best; awaiting per datagram costs several times more.

usage: python bench/echo_trio.py PORT
"""

from __future__ import annotations

import socket
import sys

import trio

DATAGRAM_BYTES = 65535
BATCH = 64  # datagrams per wake-up


async def serve(port: int) -> None:
    """Send every datagram back where it came from, for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(sock)
            _echo_waiting(sock)


def _echo_waiting(sock: socket.socket) -> None:
    recvfrom, sendto = sock.recvfrom, sock.sendto
    try:
        for _ in range(BATCH):
            data, peer = recvfrom(DATAGRAM_BYTES)
            sendto(data, peer)
    except BlockingIOError:
        return


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]))
