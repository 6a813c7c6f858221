"""Memory per queued frame: resident memory of a router before and after frames are put on a group's queue.

The router's one worker sleeps, so what arrives waits. The table gives resident bytes per frame for each
further lot and compares with the bytes of the message itself. The kernel says when the socket is empty and
that nothing was lost.

usage: python bench/memory.py [--frames 10000] [--lots 2] [--seed 1]
"""

from __future__ import annotations

import argparse
import socket
import time
from pathlib import Path

from contestants import serve_command
from load import HOST, build_messages, connected_socket
from measure import ServerError, free_port, resident_bytes, running
from report import headline, table

PAUSE_EVERY = 50  # messages, so that the socket's buffer does not overflow
PAUSE = 0.01  # seconds
SETTLE = 10.0  # seconds for the router to take what the socket holds
MAX_FRAMES = 40_000  # what the queue of routes/hold.py takes, with room to spare


def waiting_and_dropped(port: int) -> tuple[int, int]:
    """Bytes waiting in the UDP socket of `port`, and datagrams it has dropped (`/proc/net/udp`)."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            return int(fields[4].partition(":")[2], 16), int(fields[12])
    raise ServerError(f"no socket on port {port}")


def queue_up(sock: socket.socket, messages: list[bytes], port: int) -> None:
    """Send gently, and wait until the router has taken all. Raises `ServerError` when one is lost."""
    for index, message in enumerate(messages):
        sock.send(message)
        if index % PAUSE_EVERY == 0:
            time.sleep(PAUSE)
    deadline = time.monotonic() + SETTLE
    while waiting_and_dropped(port)[0]:
        if time.monotonic() > deadline:
            raise ServerError("the router does not take what the socket holds")
        time.sleep(0.05)
    time.sleep(0.2)
    if dropped := waiting_and_dropped(port)[1]:
        raise ServerError(f"the socket dropped {dropped} datagrams: send more gently")


def measure(frames: int, lots: int, seed: int) -> list[list[str]]:
    """One line for each lot of frames."""
    port = free_port()
    uri = f"sip:x@{HOST}:{port}"
    rows = []
    with running(serve_command("hold.py", port), port, uri=uri) as server, connected_socket(port) as sock:
        local = sock.getsockname()[1]
        messages = build_messages(frames * lots, uri=uri, port=local, seed=seed, method="MESSAGE")
        before = resident_bytes(server.pid)
        for lot in range(lots):
            queue_up(sock, messages[lot * frames : (lot + 1) * frames], port)
            after = resident_bytes(server.pid)
            size = len(messages[0])
            per_frame = (after - before) / frames
            name = f"{lot * frames + 1} to {(lot + 1) * frames}"
            rows.append([name, str(size), f"{per_frame:.0f}", f"{per_frame / size:.1f}", f"{after / 2**20:.1f}"])
            before = after
        if logged := server.logged():
            print(f"note: the router logged: {logged.splitlines()[0]}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="resident bytes per queued frame")
    parser.add_argument("--frames", type=int, default=10_000, help="per lot")
    parser.add_argument("--lots", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.frames * options.lots > MAX_FRAMES:
        parser.error(f"at most {MAX_FRAMES} frames in all")
    rows = measure(options.frames, options.lots, options.seed)
    print(headline())
    print("resident memory per queued frame, compared with the bytes of the message\n")
    columns = ["frames", "message bytes", "bytes per frame", "times the message", "router MiB"]
    print(table(columns, rows))


if __name__ == "__main__":
    main()
