"""A frame: the raw bytes of one message as they came off the wire, with where they came from and when.

This is what pre-routing looks at. A frame answers `method`, `call_id` and the like from its bytes, when asked. What can be
done with it is done by whoever received it, the `Receiver`.
"""

from __future__ import annotations

from typing import NoReturn, Protocol

from trio_sip.address import Address, Flow
from trio_sip.message.parse import is_response
from trio_sip.message.peek import peek_call_id, peek_header, peek_method, peek_status

__all__ = ["Dropped", "Frame", "Receiver"]


class Dropped(BaseException):
    """Raised by `Frame.drop`, so that it does not return. Not an `Exception`: `except Exception` lets it pass."""


class Receiver(Protocol):
    """Who received a frame, and can do what pre-routing asks for."""

    def delegate(self, frame: Frame, group: str, xdata: object) -> bool: ...

    def drop(self, frame: Frame) -> NoReturn: ...

    def shed(self, frame: Frame) -> NoReturn: ...

    def log(self, frame: Frame, text: str) -> None: ...


class Frame:
    """One received message, not parsed."""

    __slots__ = ("arrived", "data", "done", "flow", "receiver", "xdata")

    def __init__(self, data: bytes, flow: Flow, arrived: float, receiver: Receiver) -> None:
        self.data = data
        """The bytes, exactly as received."""
        self.flow = flow
        """The way back to the sender."""
        self.arrived = arrived
        """When it was received, in seconds of Trio's clock."""
        self.receiver = receiver
        self.done = False
        """Whether it was delegated, dropped or shed, so that nothing more of it happens here."""
        self.xdata: object = None

    @property
    def is_request(self) -> bool:
        """Whether this is a request; otherwise it is a response."""
        return not is_response(self.data)

    @property
    def method(self) -> str | None:
        """The method; of a response, the one CSeq names; None where there is none to see."""
        return peek_method(self.data)

    @property
    def status(self) -> int | None:
        """The status code of a response; None for a request."""
        return peek_status(self.data)

    @property
    def call_id(self) -> str | None:
        """The Call-ID, or None."""
        return peek_call_id(self.data)

    def header(self, name: str) -> str | None:
        """The value of the first header called `name`, by its long or compact form, or None."""
        return peek_header(self.data, name)

    @property
    def source(self) -> Address:
        """Who sent it: host and port."""
        return self.flow.remote

    @property
    def local(self) -> Address:
        """Where it was received."""
        return self.flow.local

    @property
    def transport(self) -> str:
        """`"udp"` or `"tcp"`."""
        return self.flow.transport

    def delegate(self, group: str, xdata: object = None) -> bool:
        """Put this frame on the channel of a worker group; Kamailio's `sworker_task`. Returns at once.

        True: the frame is the group's now, and is not processed here, whatever else happens. False: the group is unknown,
        full or closed, or the frame was delegated before; a warning says which, and processing continues here.
        `group` may hold pseudo-variables (`"shard-$si"`). `xdata` reaches the route as `request.xdata`; nothing else does.
        """
        return self.receiver.delegate(self, group, xdata)

    def drop(self) -> NoReturn:
        """End this message here. Does not return."""
        self.receiver.drop(self)

    def shed(self) -> NoReturn:
        """Refuse this message for overload: 503 with Retry-After, nothing for an ACK. Does not return.

        A response is forwarded as it came, if it can be.
        """
        self.receiver.shed(self)

    def log(self, text: str) -> None:
        """Log a line at level INFO; pseudo-variables in it are replaced (`"from [$si:$sp]"`)."""
        self.receiver.log(self, text)

    def __repr__(self) -> str:
        return f"<Frame {self.method} {self.status or ''} {len(self.data)} bytes from {self.transport}:{self.source}>"
