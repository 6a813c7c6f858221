"""A frame: the raw bytes of one message as they came off the wire, with where they came from and when.

This is what pre-routing looks at. A frame answers `method`, `call_id` and the like from its bytes, when asked. What
can be done with it is done by whoever received it, the `Receiver`.
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

    __slots__ = ("_arrived", "_data", "_done", "_flow", "_receiver", "_xdata")

    # Read-only for scripts: nothing that pre-routing does to a frame reaches the worker. The receive task and the
    # workers, which see every message, read the attributes themselves.

    def __init__(self, data: bytes, flow: Flow, arrived: float, receiver: Receiver) -> None:
        self._data = data
        self._flow = flow
        self._arrived = arrived
        self._receiver = receiver
        self._done = False  # delegated, dropped or shed: nothing more of it happens here
        self._xdata: object = None

    @property
    def data(self) -> bytes:
        """The bytes, exactly as received."""
        return self._data

    @property
    def flow(self) -> Flow:
        """The way back to the sender."""
        return self._flow

    @property
    def arrived(self) -> float:
        """When it was received, in seconds of Trio's clock."""
        return self._arrived

    @property
    def xdata(self) -> object:
        """What was passed along by `delegate`."""
        return self._xdata

    @property
    def is_request(self) -> bool:
        """Whether this is a request; otherwise it is a response."""
        return not is_response(self._data)

    @property
    def method(self) -> str | None:
        """The method; of a response, the one CSeq names; None where there is none to see."""
        return peek_method(self._data)

    @property
    def status(self) -> int | None:
        """The status code of a response; None for a request."""
        return peek_status(self._data)

    @property
    def call_id(self) -> str | None:
        """The Call-ID, or None."""
        return peek_call_id(self._data)

    def header(self, name: str) -> str | None:
        """The value of the first header called `name`, by its long or compact form, or None."""
        return peek_header(self._data, name)

    @property
    def source(self) -> Address:
        """Who sent it: host and port."""
        return self._flow.remote

    @property
    def local(self) -> Address:
        """Where it was received."""
        return self._flow.local

    @property
    def transport(self) -> str:
        """`"udp"` or `"tcp"`."""
        return self._flow.transport

    def delegate(self, group: str, xdata: object = None) -> bool:
        """Put this frame on the channel of a worker group; Kamailio's `sworker_task`. Returns at once.

        True: the frame is the group's now, and is not processed here, whatever else happens. False: the group is
        unknown, full or closed, or the frame was delegated before; a warning says which, and processing continues
        here. `group` may hold pseudo-variables (`"shard-$si"`). `xdata` reaches the route as `request.xdata`; nothing
        else does.
        """
        return self._receiver.delegate(self, group, xdata)

    def drop(self) -> NoReturn:
        """End this message here. Does not return."""
        self._receiver.drop(self)

    def shed(self) -> NoReturn:
        """Refuse this message for overload: 503 with Retry-After, nothing for an ACK. Does not return.

        A response is forwarded as it came, if it can be.
        """
        self._receiver.shed(self)

    def log(self, text: str) -> None:
        """Log a line at level INFO; pseudo-variables in it are replaced (`"from [$si:$sp]"`)."""
        self._receiver.log(self, text)

    def __repr__(self) -> str:
        what = self.method if self.status is None else f"{self.method} {self.status}"
        return f"<Frame {what}, {len(self._data)} bytes from {self.transport}:{self.source}>"
