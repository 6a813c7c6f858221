"""What can go wrong, by culprit.

A `RemoteProtocolError` is the peer's fault and knows what to answer; a `LocalProtocolError` is the script's; a
`RoutesError` is in the routes file; a `ListenError` or a `TransportError` is the network's. Nothing else of ours is
raised on purpose.
"""

from __future__ import annotations

__all__ = [
    "ListenError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "RoutesError",
    "SipError",
    "TransportError",
]


class SipError(Exception):
    """The base of every error trio-sip raises on purpose."""


class RemoteProtocolError(SipError):
    """Bytes or values from the network that RFC 3261 does not allow.

    `status` is the status code to answer a request with (400 where nothing more exact is known); `headers` are the
    (name, value) pairs such an answer has to carry, for example `("Unsupported", "100rel")`.
    """

    def __init__(self, message: str, status: int = 400, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class LocalProtocolError(SipError):
    """The script asked for something that would not be SIP: a header value with a line break, a second final reply."""


class RoutesError(SipError):
    """A routes file cannot be used. The message says what is wrong, where, and what to do."""

    def __init__(self, message: str, file: str | None = None, line: int | None = None) -> None:
        place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(f"{place}{message}")
        self.file = file
        self.line = line


class ListenError(SipError):
    """A listen address is not understood, or nothing can listen on it."""


class TransportError(SipError):
    """A message could not be sent: no route, refused, connection gone, its queue full, or the time was up."""
