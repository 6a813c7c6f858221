"""What a scripted user agent sends, and where it goes."""

from __future__ import annotations

import attrs
import trio

from trio_sip.address import Address
from trio_sip.message import model
from trio_sip.testing.dialog import destination
from trio_sip.testing.endpoint import Endpoint, read_address
from trio_sip.testing.mailbox import MAX_REMEMBERED, Message, read

__all__ = ["Outbox", "Sent"]


@attrs.frozen
class Sent:
    """One message, and when it was sent where to."""

    time: float
    to: Address
    data: bytes


class Outbox:
    """The messages that left one endpoint. `proxy` is where requests go by default."""

    def __init__(self, endpoint: Endpoint, proxy: str | None) -> None:
        self.proxy = None if proxy is None else read_address(proxy)
        self.last: Sent | None = None
        self._endpoint = endpoint
        self._requests: dict[bytes, tuple[model.Request, Address]] = {}  # by branch

    def send(self, data: bytes, to: Address) -> None:
        """Send it, and remember a request that may want an ACK or a CANCEL later."""
        self.last = Sent(trio.current_time(), to, data)
        message = read(data)
        if isinstance(message, model.Request) and message.method not in ("ACK", "CANCEL"):
            if len(self._requests) >= MAX_REMEMBERED:
                del self._requests[next(iter(self._requests))]
            self._requests[message.branch] = message, to
        self._endpoint.send(data, to)

    def invite_of(self, message: Message) -> tuple[model.Request, Address] | None:
        """The INVITE sent from here in whose transaction this is, and where it went; None if there is none."""
        found = self._requests.get(message.branch)
        return found if found is not None and found[0].method == "INVITE" else None

    def where(self, to: str | Address | None, message: Message | None) -> Address:
        """Where to send a message: to `to`, else to the proxy, else to where its URI leads. Raises `ValueError`."""
        if to is not None:
            return read_address(to) if isinstance(to, str) else to
        if self.proxy is not None:
            return self.proxy
        if isinstance(message, model.Request):
            return destination(message.uri_text, self._endpoint.transport)
        raise ValueError("without a proxy, say where these bytes go: send(..., to='10.0.0.1:5060')")
