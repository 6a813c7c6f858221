"""A bare Python UDP echo: what the interpreter and two system calls cost, without Trio and without SIP.

usage: python bench/echo_python.py PORT
"""

from __future__ import annotations

import socket
import sys

DATAGRAM_BYTES = 65535


def serve(port: int) -> None:
    """Send every datagram back where it came from, for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        recvfrom, sendto = sock.recvfrom, sock.sendto
        while True:
            data, peer = recvfrom(DATAGRAM_BYTES)
            sendto(data, peer)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
