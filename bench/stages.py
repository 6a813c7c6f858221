"""Where the microseconds go: CPU per message of each stage on the hot way, in one process, one at a time.

Each stage is called for a thousand different messages; rounds are interleaved, and the cost of the loop
itself, which is measured as a stage too, is taken off. It compares each stage with the parse of a message of
one user agent. What lies between the stages is left out: the channel, the workers, Trio's own loop
(`compare.py` has the whole).

usage: python bench/stages.py [--rounds 9] [--seed 1]
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NoReturn

import trio
from load import HOST, build_messages
from report import headline, spread, table

from trio_sip.address import Address, Flow
from trio_sip.identifiers import Identifiers
from trio_sip.message.frame import Frame
from trio_sip.message.model import Request, Response
from trio_sip.message.parse import parse
from trio_sip.message.write import write_reply
from trio_sip.proxy.branch import branch_for
from trio_sip.proxy.forward import forwarded_request, forwarded_response, next_via, own_via
from trio_sip.proxy.validate import check_request
from trio_sip.proxy.via import reply_address, stamp
from trio_sip.transport.udp_socket import UdpSocketPort

MESSAGES = 1_000  # different ones per stage
BURST = 32  # datagrams waiting at each wake-up of the stage `receive`
LOOP = "loop"
PARSE = "parse, one user agent"
ROUTER = Address(HOST, 5060)
SOURCE = Address(HOST, 5062)


@dataclass(frozen=True)
class Stage:
    """Work to do for each input. Inputs are made anew for each round: a message keeps what it was asked."""

    name: str
    work: Callable[..., object]
    inputs: Callable[[], Sequence[object]]


class Nobody:
    """A `Receiver` that is never asked: frames are made here, not routed."""

    def delegate(self, frame: Frame, group: str, xdata: object) -> bool:
        return False

    def drop(self, frame: Frame) -> NoReturn:
        raise NotImplementedError

    def shed(self, frame: Frame) -> NoReturn:
        raise NotImplementedError

    def log(self, frame: Frame, text: str) -> None:
        return


async def empty_route(request: Request) -> None:
    """The least a route can be."""


def call_route(request: Request) -> None:
    """Run a route that never waits, without Trio."""
    try:
        empty_route(request).send(None)
    except StopIteration:
        return


def reply(request: Request, identifiers: Identifiers) -> bytes:
    """200 to a request with one Via and no To tag."""
    reply_address(request, SOURCE)
    tag = identifiers.digest(request.top_via)
    to_value = request.to_value + b";tag=" + tag
    cseq = b"%d %b" % (request.cseq_number, request.method.encode())
    call_id = request.call_id.encode()
    return write_reply(200, None, stamp(request, SOURCE), request.from_value, to_value, call_id, cseq)


def forward(request: Request, identifiers: Identifiers) -> bytes:
    """A request as it goes on."""
    return forwarded_request(request, SOURCE, own_via("udp", ROUTER, branch_for(request, identifiers)))


def forward_back(response: Response) -> bytes:
    """A response as it goes back."""
    next_via(response)
    return forwarded_response(response)


def answers_to(requests: Sequence[Request], identifiers: Identifiers) -> list[bytes]:
    """What a user agent answers to the forwarded requests: 200 with both Via lines."""
    answers = []
    for request in requests:
        head, _, _ = forward(request, identifiers).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if line.startswith((b"Via", b"From", b"To", b"Call", b"CSeq"))]
        answers.append(b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""]))
    return answers


def parse_request(data: bytes) -> Request:
    request = parse(data)
    assert isinstance(request, Request)
    return request


def parse_response(data: bytes) -> Response:
    response = parse(data)
    assert isinstance(response, Response)
    return response


def stages(seed: int, flow: Flow) -> list[Stage]:
    """Everything that can be called for one message after another."""
    identifiers = Identifiers(seed)
    nobody = Nobody()
    build = partial(build_messages, MESSAGES, uri=f"sip:x@{HOST}:5064", port=SOURCE.port, seed=seed)
    one = build()
    # another method, so that the two kinds of traffic are not remembered in the same place
    mixed = build(profile="mixed", method="MESSAGE")
    back = answers_to([parse_request(data) for data in one], identifiers)

    def frames() -> list[Frame]:
        return [Frame(data, flow, 0.0, nobody) for data in one]

    def requests() -> list[Request]:
        return [parse_request(data) for data in one]

    def responses() -> list[Response]:
        return [parse_response(data) for data in back]

    def is_ours(address: Address) -> bool:
        return address == ROUTER

    return [
        Stage(LOOP, lambda _: None, lambda: one),
        Stage("frame", lambda data: Frame(data, flow, 0.0, nobody), lambda: one),
        Stage("frame.method", lambda frame: frame.method, frames),
        Stage("frame.call_id", lambda frame: frame.call_id, frames),
        Stage(PARSE, parse, lambda: one),
        Stage("parse, mixed user agents", parse, lambda: mixed),
        Stage("checks (16.3)", lambda request: check_request(request, is_ours), requests),
        Stage("route that does nothing", call_route, requests),
        Stage("reply, written", lambda request: reply(request, identifiers), requests),
        Stage("forward, written", lambda request: forward(request, identifiers), requests),
        Stage("parse of the response", parse, lambda: back),
        Stage("response back, written", forward_back, responses),
        Stage("send", flow.send, lambda: back),
    ]


def spent(stage: Stage) -> float:
    """CPU microseconds per input of one pass."""
    inputs, work = stage.inputs(), stage.work
    started = time.process_time()
    for each in inputs:
        work(each)
    return (time.process_time() - started) / len(inputs) * 1e6


async def receive(port: UdpSocketPort, sender: socket.socket, messages: Sequence[bytes]) -> float:
    """CPU microseconds per datagram of receiving them, `BURST` at each wake-up."""
    total, received = 0.0, 0
    for at in range(0, len(messages), BURST):
        for message in messages[at : at + BURST]:
            sender.send(message)
        started = time.process_time()
        received += len(await port.receive_many())
        total += time.process_time() - started
    return total / received * 1e6


async def measure(rounds: int, seed: int) -> dict[str, list[float]]:
    """Microseconds of every stage in every round, the loop taken off."""
    figures: dict[str, list[float]] = {}
    with _socket() as bound, _socket() as sender, _socket() as sink:
        port = UdpSocketPort(bound, Address(*bound.getsockname()))
        sender.connect(bound.getsockname())
        todo = stages(seed, port.flow_to(Address(*sink.getsockname())))
        messages = build_messages(MESSAGES, uri="sip:x@example.com", port=SOURCE.port, seed=seed)
        for stage in todo:
            spent(stage)  # warm-up: caches fill, header orders are learned
        for _ in range(rounds):
            figures.setdefault("receive", []).append(await receive(port, sender, messages))
            loop = spent(todo[0])
            for stage in todo[1:]:
                figures.setdefault(stage.name, []).append(max(0.0, spent(stage) - loop))
    return figures


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.setblocking(False)
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU per message of each stage")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures = trio.run(measure, options.rounds, options.seed)
    base = median(figures[PARSE])
    print(headline())
    print(f"{options.rounds} rounds of {MESSAGES} messages per stage, compared with: {PARSE}\n")
    rows = [[name, f"{median(us) / base:.2f}", spread(us, 2)] for name, us in figures.items()]
    print(table(["stage", "ratio", "CPU us/message"], rows))


if __name__ == "__main__":
    main()
