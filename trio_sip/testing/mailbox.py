"""What a scripted user agent has got, and what it waits for.

Messages wait here in the order they came until somebody takes them. A message that comes again, byte for byte, is
known as a retransmission.
"""

from __future__ import annotations

import re
from collections import deque

import attrs
import trio

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message import model
from trio_sip.message.parse import parse, skip_empty_lines
from trio_sip.testing.endpoint import Endpoint

__all__ = ["MAX_REMEMBERED", "PATIENCE", "Expectation", "Mailbox", "Message", "Received", "first_line", "read"]

PATIENCE = 32.0
"""Virtual seconds a user agent waits for a message unless told otherwise: 64 times T1 (RFC 3261 17.1.1.2)."""

MAX_REMEMBERED = 10_000
"""Messages a user agent remembers; the oldest are forgotten."""

_CLASS = re.compile(r"[1-6]xx")
_METHOD = re.compile(r"[A-Za-z][0-9A-Za-z\-.!%*_+`'~]*")

Message = model.Request | model.Response


@attrs.frozen(eq=False)
class Received:
    """A message as a user agent got it. `message` is None where the bytes are not SIP, and `problem` says why.

    `time` is when the agent looked, which is when it arrived if it was waiting. `is_repeated`: a retransmission.
    """

    time: float
    source: Address
    data: bytes
    message: Message | None
    problem: str = ""
    is_repeated: bool = False


class Mailbox:
    """The messages that came to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.history: deque[Received] = deque(maxlen=MAX_REMEMBERED)
        self._endpoint = endpoint
        self._waiting: list[Received] = []
        self._sources: dict[bytes, Address] = {}

    def take(self, call_id: str | None = None, cseq: bytes | None = None) -> Received | None:
        """The next message that has arrived, or the next with this Call-ID, and this CSeq if it is a response.

        The others stay.
        """
        self._collect()
        for at, received in enumerate(self._waiting):
            if call_id is None or _is_about(received.message, call_id, cseq):
                return self._waiting.pop(at)
        return None

    def take_responses(self, request: model.Request) -> list[Received]:
        """Every response to this request, and to its CANCEL, that has arrived."""
        self._collect()
        found = [received for received in self._waiting if _answers(received.message, request)]
        if found:
            self._waiting = [received for received in self._waiting if received not in found]
        return found

    def source_of(self, message: Message) -> Address | None:
        """Where a message came from; None if it never came here."""
        return self._sources.get(message.data)

    def _collect(self) -> None:
        while (arrived := self._endpoint.receive_from_nowait()) is not None:
            data, source = skip_empty_lines(arrived[0]), arrived[1]
            received = _read(data, source, is_repeated=data in self._sources)
            self.history.append(received)
            self._waiting.append(received)
            if len(self._sources) >= MAX_REMEMBERED:
                del self._sources[next(iter(self._sources))]
            self._sources[data] = source


@attrs.frozen
class Expectation:
    """What an agent waits for: a status, a class of them, or a method."""

    text: str
    statuses: range = range(0)
    method: str | None = None

    @classmethod
    def read(cls, what: int | str) -> Expectation:
        """Read 200, "2xx" or "INVITE". Raises `ValueError`, which says how to write it."""
        if isinstance(what, int) and 100 <= what <= 699:
            return cls(str(what), range(what, what + 1))
        if isinstance(what, str) and _CLASS.fullmatch(what.lower()):
            lowest = int(what[0]) * 100
            return cls(what.lower(), range(max(lowest, 101), lowest + 100))
        if isinstance(what, str) and _METHOD.fullmatch(what):
            return cls(what, method=what)
        raise ValueError(f"cannot expect {what!r}: write a status (200), a class ('2xx') or a method ('INVITE')")

    def __str__(self) -> str:
        return self.text

    def fits(self, message: Message | None) -> bool:
        """Whether this is what was waited for."""
        if isinstance(message, model.Response):
            return message.status in self.statuses
        return message is not None and message.method == self.method

    def passes_over(self, received: Received) -> bool:
        """Whether this is none of the test's business: a retransmission, or a 100 that was not asked for."""
        message = received.message
        is_trying = isinstance(message, model.Response) and message.status == 100
        return received.is_repeated or (is_trying and not self.fits(message))


def read(data: bytes) -> Message | None:
    """Parse bytes; None where they are not SIP."""
    try:
        return parse(data)
    except RemoteProtocolError:
        return None


def first_line(data: bytes) -> str:
    """The start line without the version, short enough for an error message; of a response also the method."""
    line = data.lstrip(b"\r\n").partition(b"\r\n")[0].decode("utf-8", "backslashreplace")
    text = line.removeprefix("SIP/2.0 ").removesuffix(" SIP/2.0")[:120]
    message = read(data)
    return f"{text} ({message.method})" if isinstance(message, model.Response) else text


def _read(data: bytes, source: Address, *, is_repeated: bool) -> Received:
    now = trio.current_time()
    try:
        return Received(now, source, data, parse(data), is_repeated=is_repeated)
    except RemoteProtocolError as error:
        return Received(now, source, data, None, f"not a SIP message: {error}")


def _is_about(message: Message | None, call_id: str, cseq: bytes | None) -> bool:
    if message is None or message.call_id != call_id:
        return False
    return cseq is None or isinstance(message, model.Request) or message.cseq_value == cseq


def _answers(message: Message | None, request: model.Request) -> bool:
    return (
        isinstance(message, model.Response)
        and message.method in (request.method, "CANCEL")
        and message.call_id_value == request.call_id_value
        and message.branch == request.branch
    )
