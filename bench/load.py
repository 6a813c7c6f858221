"""The load: SIP requests over UDP from a process of its own, as a closed loop or at a fixed rate.

Every message has a branch, Call-ID and From tag of its own, all drawn from a seed, and about 380 bytes like
one of a real user agent. They are built before the clock starts. An answer is matched by its Call-ID, once;
what stays unanswered is counted as lost. Every run is bounded in messages and in seconds.

There are two profiles. `one`: one user agent, which writes its headers in one order. `mixed`: 10000 users
behind user agents of 12 different header orders, so that whatever a server remembers about one message is
seldom of use for the next.

As a program it builds its messages, prints `ready`, waits for a line on standard input, runs, and prints one
line of JSON (`Result`): a closed loop, or with `--rate` that many messages a second whatever comes back.

The closed loop runs in C (`closed_loop.c`) where there is a compiler. A load that takes a processor of its own slows
the server on the other, where the two share a core, and what is measured is then the load as well; `--loop python`
is that loop in Python.

usage: python bench/load.py PORT [--count N] [--window W] [--uri URI] [--seed S]
    [--profile one|mixed] [--seconds S] [--method METHOD] [--rate R] [--loop c|python]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from compiled import compile_c

HOST = "127.0.0.1"
DATAGRAM_BYTES = 65535
QUIET = 0.5  # seconds without any answer after which a closed loop gives up on what is in flight
CALL_ID = b"Call-ID: "
INDEX_DIGITS = 8

HEADERS = (
    "Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch:016x};rport",
    "Max-Forwards: 70",
    "From: <sip:{user}@{host}:{port}>;tag={tag:08x}",
    "To: <{uri}>",
    "Call-ID: {index:08d}{call:012x}@{host}",
    "CSeq: 1 {method}",
    "Contact: <sip:{user}@{host}:{port}>",
    "User-Agent: trio-sip-bench",
    "Accept: application/sdp",
    "Content-Length: 0",
)


@dataclass(frozen=True)
class Profile:
    """How much the messages of a load differ: how many users send them, and in how many header orders."""

    users: int
    orders: int


PROFILES = {"one": Profile(users=1, orders=1), "mixed": Profile(users=10_000, orders=12)}


@dataclass
class Result:
    """What came of one run. Only `run_open` keeps `latencies`: seconds, one per answer with status 200."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    seconds: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def count(self, answer: bytes) -> None:
        """Note one answer under its status, or as `echo`."""
        status = answer[8:11].decode("latin-1") if answer.startswith(b"SIP/2.0 ") else "echo"
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.answered += 1


def build_messages(
    count: int, *, uri: str, port: int, seed: int, profile: str = "one", method: str = "OPTIONS"
) -> list[bytes]:
    """`count` requests for `uri` that ask for their answer at `port`; the same for the same seed."""
    dice = random.Random(seed)
    users, templates = PROFILES[profile].users, _templates(PROFILES[profile].orders)
    return [
        templates[dice.randrange(len(templates))]
        .format(
            method=method,
            uri=uri,
            host=HOST,
            port=port,
            user=f"user{dice.randrange(users):05d}",
            index=index,
            branch=dice.getrandbits(64),
            tag=dice.getrandbits(32),
            call=dice.getrandbits(48),
        )
        .encode("ascii")
        for index in range(count)
    ]


def _templates(orders: int) -> list[str]:
    """Messages to fill in, in different header orders that are the same in every run; Via stays first."""
    dice = random.Random(0)
    rests = [HEADERS[1:], *(dice.sample(HEADERS[1:], len(HEADERS) - 1) for _ in range(orders - 1))]
    return ["\r\n".join(["{method} {uri} SIP/2.0", HEADERS[0], *rest, "", ""]) for rest in rests]


def index_of(answer: bytes) -> int | None:
    """Which message an answer belongs to, from its Call-ID; None when it has none of ours."""
    start = answer.find(CALL_ID) + len(CALL_ID)
    digits = answer[start : start + INDEX_DIGITS]
    return int(digits) if len(digits) == INDEX_DIGITS and digits.isdigit() else None


class Answers:
    """The answers that arrive on a socket: each message counts once, later copies do not."""

    def __init__(self, sock: socket.socket, count: int) -> None:
        self.result = Result()
        self._recv = sock.recv
        self._seen = bytearray(count)
        self._sock = sock

    def wait(self, seconds: float) -> bool:
        """Wait until something can be read; False when nothing came within `seconds`."""
        return bool(select.select([self._sock], [], [], max(0.0, seconds))[0])

    def drain(self, most: int) -> list[int]:
        """Take what is waiting, `most` datagrams at the most; the indexes of the messages they answer."""
        fresh = []
        try:
            for _ in range(most):
                answer = self._recv(DATAGRAM_BYTES)
                index = index_of(answer)
                if index is not None and index < len(self._seen) and not self._seen[index]:
                    self._seen[index] = 1
                    fresh.append(index)
                    self.result.count(answer)
        except (BlockingIOError, ConnectionRefusedError):
            pass
        return fresh


def run_closed(sock: socket.socket, messages: list[bytes], *, window: int, seconds: float) -> Result:
    """Keep `window` requests in flight until all are sent, or `seconds` have passed, and those are answered.

    When nothing comes for `QUIET` seconds, all that is in flight counts as lost and the window opens again.
    """
    answers = Answers(sock, len(messages))
    result, send = answers.result, sock.send
    in_flight = 0
    started = time.perf_counter()
    quiet_at, stop_at = started + QUIET, started + seconds
    while in_flight or result.sent < len(messages):
        burst = messages[result.sent : result.sent + window - in_flight]
        for message in burst:
            send(message)
        result.sent += len(burst)
        in_flight += len(burst)
        fresh = len(answers.drain(window))
        if not fresh:
            answers.wait(QUIET)
            fresh = len(answers.drain(window))
        now = time.perf_counter()
        if fresh:
            quiet_at = now + QUIET
        elif now >= quiet_at:
            in_flight, quiet_at = 0, now + QUIET
        in_flight = max(0, in_flight - fresh)
        if now >= stop_at:
            messages = messages[: result.sent]
    result.seconds = time.perf_counter() - started
    result.lost = result.sent - result.answered
    return result


def become_closed_loop(program: Path, sock: socket.socket, messages: list[bytes], window: int, seconds: float) -> None:
    """Do as `run_closed`, from `ready` to the result, in C. Does not return."""
    file = os.memfd_create("messages", 0)
    with open(file, "wb", closefd=False) as opened:
        for message in messages:
            opened.write(len(message).to_bytes(4, "little") + message)
    sock.set_inheritable(True)
    numbers = (sock.fileno(), file, len(messages), window, seconds, QUIET * 1000)
    os.execv(program, [str(program), *map(str, numbers)])


def run_open(sock: socket.socket, messages: list[bytes], *, rate: float, linger: float = 1.0) -> Result:
    """Send at `rate` messages a second whatever comes back, then wait `linger` seconds for late answers.

    `Result.seconds` is the time of sending; a latency counts from when the message was due, so that a sender
    that is late does not make the server look quick.
    """
    answers = Answers(sock, len(messages))
    result, send = answers.result, sock.send
    started = time.perf_counter()
    result.seconds = len(messages) / rate
    stop_at = started + result.seconds + linger
    while (now := time.perf_counter()) < stop_at and result.answered < len(messages):
        due = min(len(messages), int((now - started) * rate) + 1)
        for message in messages[result.sent : due]:
            send(message)
        result.sent = due
        good = result.statuses.get("200", 0)
        fresh = answers.drain(1)
        if fresh and result.statuses.get("200", 0) > good:
            result.latencies.append(time.perf_counter() - (started + fresh[0] / rate))
        if not fresh:
            next_due = started + result.sent / rate if result.sent < len(messages) else stop_at
            answers.wait(next_due - time.perf_counter())
    result.lost = result.sent - result.answered
    return result


def connected_socket(port: int) -> socket.socket:
    """A UDP socket of our own on loopback, connected to `port`, that never blocks."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((HOST, 0))
    sock.connect((HOST, port))
    sock.setblocking(False)
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(description="SIP requests over UDP on loopback")
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=64, help="requests in flight")
    parser.add_argument("--uri", help="Request-URI; default sip:x@127.0.0.1:PORT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", choices=PROFILES, default="one")
    parser.add_argument("--method", default="OPTIONS")
    parser.add_argument("--rate", type=float, help="messages a second: an open loop")
    parser.add_argument("--loop", choices=("c", "python"), default="c", help="what the closed loop is written in")
    parser.add_argument("--seconds", type=float, default=30.0, help="stop after this long")
    options = parser.parse_args()
    with connected_socket(options.port) as sock:
        uri = options.uri or f"sip:x@{HOST}:{options.port}"
        local = sock.getsockname()[1]
        messages = build_messages(
            options.count,
            uri=uri,
            port=local,
            seed=options.seed,
            profile=options.profile,
            method=options.method,
        )
        program = compile_c("closed_loop") if options.loop == "c" and not options.rate else None
        if program is not None:
            become_closed_loop(program, sock, messages, options.window, options.seconds)
        print("ready", flush=True)
        if sys.stdin.readline():
            if options.rate:
                result = run_open(sock, messages[: int(options.rate * options.seconds)], rate=options.rate)
            else:
                result = run_closed(sock, messages, window=options.window, seconds=options.seconds)
            print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
