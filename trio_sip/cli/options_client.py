"""A client that asks with OPTIONS (RFC 3261 11): whom, over which link, and what came back after how long.

One flow, one receive task, and a table of the requests under way by branch and Call-ID. Over UDP a request is
sent again after T1, 2 T1 and so on, T2 at most (17.1.2.2), until there is an answer or the time is up.
"""

from __future__ import annotations

from enum import StrEnum

import attrs
import trio

import trio_sip
from trio_sip.address import Address, Flow
from trio_sip.cli.output import printable
from trio_sip.errors import RemoteProtocolError, TransportError
from trio_sip.identifiers import Identifiers
from trio_sip.message.framing import FramingError
from trio_sip.message.model import Response
from trio_sip.message.parse import parse
from trio_sip.message.uri import Uri
from trio_sip.transport.network import Network, UdpPort
from trio_sip.transport.stream import StreamConnection

__all__ = ["Answer", "Link", "Pinger", "Target", "Transport", "milliseconds", "open_link", "read_target"]

T1 = 0.5
T2 = 4.0


class Transport(StrEnum):
    """Values of `--transport`."""

    UDP = "udp"
    TCP = "tcp"


@attrs.frozen
class Target:
    """Whom to ask: the Request-URI, and the transport."""

    uri: Uri
    transport: str


@attrs.frozen
class Answer:
    """A final response; `seconds` from the first sending to its arrival."""

    status: int
    reason: str
    agent: str | None
    """Its Server or User-Agent header."""
    source: Address
    seconds: float
    sendings: int

    def __str__(self) -> str:
        agent = f", {printable(self.agent)}" if self.agent else ""
        again = f", sent {self.sendings} times" if self.sendings > 1 else ""
        status = f"{self.status} {printable(self.reason)}".rstrip()
        return f"{status} from {self.source} in {milliseconds(self.seconds)} ms{again}{agent}"


def read_target(text: str, transport: Transport | None) -> Target:
    """The target a user wrote, `sip:host[:port]`. Raises `RemoteProtocolError` where it is none."""
    uri = Uri.parse(text).without_headers()
    if uri.scheme != "sip" or not uri.host:
        raise RemoteProtocolError(f"URI {text!r}: write sip:host or sip:host:port")
    wanted = transport or uri.transport or Transport.UDP
    if wanted not in set(Transport):
        raise RemoteProtocolError(f"URI {text!r}: transport {wanted} is not supported; udp and tcp are")
    return Target(uri, str(wanted))


@attrs.define
class _Waiting:
    done: trio.Event = attrs.Factory(trio.Event)
    response: Response | None = None
    source: Address | None = None
    at: float = 0.0


class Pinger:
    """A client on one flow. `serve` has to run meanwhile."""

    def __init__(self, target: Target, flow: Flow, identifiers: Identifiers, timeout: float) -> None:
        self._target = target
        self._flow = flow
        self._identifiers = identifiers
        self._timeout = timeout
        self._waiting: dict[tuple[bytes, str], _Waiting] = {}
        self._lost: TransportError | None = None

    async def ping(self, number: int) -> Answer:
        """Ask once. Raises `TransportError` where no answer comes in time, or none can."""
        if self._lost is not None:
            raise self._lost
        branch, call_id = f"z9hG4bK{self._identifiers.token()}", self._identifiers.token()
        request = self._request(number, branch, call_id)
        key = (branch.encode(), call_id)
        waiting = self._waiting[key] = _Waiting()
        started = trio.current_time()
        try:
            sendings = await self._send_until_done(request, waiting.done)
        finally:
            del self._waiting[key]
        response = waiting.response
        if response is None:
            raise self._why_not()
        agent = response.headers.get("Server") or response.headers.get("User-Agent")
        source = waiting.source or self._flow.remote
        return Answer(response.status, response.reason, agent, source, waiting.at - started, sendings)

    def _why_not(self) -> TransportError:
        return self._lost or TransportError(f"no answer in {self._timeout:g} s")

    async def _send_until_done(self, request: bytes, done: trio.Event) -> int:
        """Send, and over UDP send again, until there is an answer or the time is up; gives how many times."""
        sendings, pause = 0, T1
        with trio.move_on_after(self._timeout):
            while not done.is_set():
                self._flow.send(request)
                sendings += 1
                with trio.move_on_after(self._timeout if self._flow.reliable else pause):
                    await done.wait()
                pause = min(2 * pause, T2)
        return sendings

    def _request(self, number: int, branch: str, call_id: str) -> bytes:
        flow, uri = self._flow, self._target.uri
        return "\r\n".join(
            (
                f"OPTIONS {uri} SIP/2.0",
                f"Via: SIP/2.0/{flow.transport.upper()} {flow.local};branch={branch};rport",
                "Max-Forwards: 70",
                f"From: <sip:ping@{flow.local}>;tag={self._identifiers.token()}",
                f"To: <{uri}>",
                f"Call-ID: {call_id}",
                f"CSeq: {number} OPTIONS",
                f"Contact: <sip:ping@{flow.local};transport={flow.transport}>",
                "Accept: application/sdp",
                f"User-Agent: trio-sip/{trio_sip.__version__}",
                "Content-Length: 0",
                "\r\n",
            )
        ).encode()

    async def serve(self, source: UdpPort | StreamConnection) -> None:
        """Receive answers until cancelled, or until the connection has ended: then nobody waits on."""
        try:
            while True:
                for data, flow in await source.receive_many():
                    self._take(data, flow.remote)
        except (TransportError, FramingError) as error:
            self._lost = TransportError(str(error))
        except trio.EndOfChannel:
            self._lost = TransportError("the connection was closed")
        for waiting in self._waiting.values():
            waiting.done.set()

    def _take(self, data: bytes, source: Address) -> None:
        try:
            message = parse(data)
        except RemoteProtocolError:
            return
        if not isinstance(message, Response) or message.status < 200:
            return
        waiting = self._waiting.get((message.branch, message.call_id))
        if waiting is not None and waiting.response is None:
            waiting.response = message
            waiting.source = source
            waiting.at = trio.current_time()
            waiting.done.set()


@attrs.frozen
class Link:
    """A flow to the target, where its answers come from, and what has to run meanwhile."""

    flow: Flow
    source: UdpPort | StreamConnection

    async def run(self) -> None:
        """Send what is queued; end the link when cancelled."""
        if isinstance(self.source, StreamConnection):
            await self.source.run_writer()
            return
        try:
            await trio.sleep_forever()
        finally:
            self.source.close()


async def open_link(network: Network, target: Target, timeout: float) -> Link:  # noqa: ASYNC109
    """Find the target's host, and the way to it.

    Raises `TransportError` where the host is unknown, or not connected to within `timeout` seconds.
    """
    uri = target.uri
    hosts = await network.resolve(uri.maddr or uri.host)
    # Most SIP servers listen on IPv4, and "localhost" means both.
    remote = Address(min(hosts, key=lambda host: ":" in host), uri.address_port)
    if target.transport == "udp":
        port = await network.open_udp(Address(network.source_host(remote.host), 0))
        try:
            return Link(port.flow_to(remote), port)
        except TransportError:
            port.close()
            raise
    with trio.move_on_after(timeout):
        stream, local = await network.connect_tcp(remote)
        connection = StreamConnection(stream, local, remote)
        return Link(connection, connection)
    raise TransportError(f"tcp to {remote}: not connected in {timeout:g} s")


def milliseconds(seconds: float) -> str:
    """As a person reads it."""
    return f"{1000 * seconds:.2f}"
