"""The Python stand-in for `uas.c`, used where there is no C compiler: answers every request with 200.

usage: python bench/uas.py PORT
"""

from __future__ import annotations

import socket
import sys

COPIED = (b"via:", b"from:", b"call-id:", b"cseq:")


def answer(request: bytes) -> bytes | None:
    """The 200 to `request`, or None for a response or an ACK."""
    if request.startswith((b"SIP/2.0", b"ACK ")):
        return None
    head, _, _ = request.partition(b"\r\n\r\n")
    reply = [b"SIP/2.0 200 OK"]
    for line in head.split(b"\r\n")[1:]:
        name = line[:8].lower()
        if name.startswith(COPIED):
            reply.append(line)
        elif name.startswith(b"to:"):
            reply.append(line + b";tag=uas")
    return b"\r\n".join([*reply, b"Content-Length: 0\r\n\r\n"])


def serve(port: int) -> None:
    """Answer for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        while True:
            request, peer = sock.recvfrom(65535)
            reply = answer(request)
            if reply is not None:
                sock.sendto(reply, peer)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
