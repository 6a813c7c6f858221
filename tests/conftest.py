"""A server on a simulated network, and peers that talk with it: what most tests of promises begin with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from trio_sip import Router, Server, serve
from trio_sip.address import Address
from trio_sip.message import model
from trio_sip.message.parse import parse
from trio_sip.testing import Endpoint, NothingReceived, SimulatedNetwork, make_request

SERVER = "10.0.0.1:5060"


class Peer:
    """A user agent that writes whole requests and reads parsed messages."""

    def __init__(self, agent: Endpoint, server: str) -> None:
        self.agent = agent
        self.address: Address = agent.address
        self.server = server

    def send(self, data: bytes) -> None:
        self.agent.send(data, to=self.server)

    def request(self, method: str = "OPTIONS", uri: str = "sip:10.0.0.1", **fields: object) -> bytes:
        """Send a request to the server; `fields` are those of `make_request`. Returns its bytes."""
        fields.setdefault("transport", self.agent.transport.upper())
        data = make_request(method, uri, source=self.address, **fields)  # type: ignore[arg-type]
        self.send(data)
        return data

    async def receive(self, seconds: float = 32.0) -> model.Request | model.Response:
        return parse(await self.agent.receive(seconds))

    async def answer(self, seconds: float = 32.0) -> model.Response:
        """The next message, which is a response."""
        message = await self.receive(seconds)
        assert isinstance(message, model.Response), message
        return message

    async def asked(self, seconds: float = 32.0) -> model.Request:
        """The next message, which is a request."""
        message = await self.receive(seconds)
        assert isinstance(message, model.Request), message
        return message

    async def ask(self, method: str = "OPTIONS", uri: str = "sip:10.0.0.1", **fields: object) -> model.Response:
        """Send a request, and wait for its answer."""
        self.request(method, uri, **fields)
        return await self.answer()

    async def answers(self, seconds: float = 1.0) -> list[model.Response]:
        """Every response until nothing has come for that long."""
        found: list[model.Response] = []
        try:
            while True:
                found.append(await self.answer(seconds))
        except NothingReceived:
            return found

    async def statuses(self, seconds: float = 1.0) -> list[int]:
        """As `answers`, but their status codes alone."""
        return [response.status for response in await self.answers(seconds)]

    async def silence(self, seconds: float = 1.0) -> None:
        """Nothing comes."""
        with pytest.raises(NothingReceived):
            await self.agent.receive(seconds)


class Lab:
    """A simulated network, servers on it, peers around them."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = SimulatedNetwork(seed=1, latency=0.010)
        self.nursery = nursery

    async def serve(self, router: Router, *listen: str, watchdog: float | None = None) -> Server:
        """Start a server; it listens on UDP and TCP 10.0.0.1:5060 unless told otherwise."""
        assert isinstance(trio.lowlevel.current_clock(), MockClock), "the test has no autojump_clock argument"
        addresses = listen or (f"udp:{SERVER}", f"tcp:{SERVER}")
        server = await self.nursery.start(
            partial(serve, router, listen=addresses, network=self.network, watchdog=watchdog)
        )
        assert isinstance(server, Server)
        return server

    def peer(self, host: str = "10.0.0.2", transport: str = "udp", *, port: int = 5060, server: str = SERVER) -> Peer:
        return Peer(self.network.endpoint(host, port, transport), server)

    def sent_by(self, host: str) -> list[bytes]:
        """Everything this host has sent so far."""
        return [record.data for record in self.network.trace if record.source.host == host]


@pytest.fixture
def lab(nursery: trio.Nursery) -> Lab:
    """What is started in the lab ends with the test. The test itself has to ask for `autojump_clock`, too."""
    return Lab(nursery)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged at ERROR, with tracebacks."""

    def logged() -> list[str]:
        return [caplog.handler.format(record) for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]

    return logged


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged at WARNING."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
