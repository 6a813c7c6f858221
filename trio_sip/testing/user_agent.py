"""A scripted user agent: it sends what the test says, and the test says what it expects.

    alice = network.user_agent("10.0.0.2", name="alice", proxy="10.0.0.1")
    bob = network.user_agent("10.0.0.3", name="bob")
    await alice.send("MESSAGE", "sip:bob@10.0.0.3", body=b"lunch?")
    await bob.reply(await bob.expect("MESSAGE"), 202)
    await alice.expect(202)

It does nothing of its own accord: no retransmission, no answer, no ACK; only a `Call` sends the ACKs of its caller.
Whatever it waits for it waits for 32 (virtual) seconds unless told otherwise, and a failure says what came instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack, overload

import trio

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message import model
from trio_sip.message.parse import parse
from trio_sip.testing import messages
from trio_sip.testing.call import Call, Leg
from trio_sip.testing.dialog import Dialog, destination
from trio_sip.testing.endpoint import Endpoint, NothingReceived, wait_any
from trio_sip.testing.failure import UnexpectedMessage, report, shown
from trio_sip.testing.identity import Identity, RequestFields
from trio_sip.testing.mailbox import PATIENCE, Expectation, Mailbox, Message, Received, read
from trio_sip.testing.messages import Headers
from trio_sip.testing.outbox import Outbox, Sent

__all__ = ["UserAgent"]

StatusClass = Literal["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"]


class UserAgent:
    """A peer of the router that speaks SIP. `name` is its user name; `proxy` is where its requests go by default."""

    def __init__(self, endpoint: Endpoint, name: str, proxy: str | None = None) -> None:
        self.endpoint = endpoint
        self.address = endpoint.address
        self.transport = endpoint.transport
        self.name = name
        self._identity = Identity(name, endpoint.address, endpoint.transport)
        self._mailbox = Mailbox(endpoint)
        self._outbox = Outbox(endpoint, proxy)
        self._calls: dict[str, Call] = {}  # those made from here, by Call-ID
        self._legs: dict[str, Leg] = {}  # those that came here, by Call-ID

    def __repr__(self) -> str:
        return f"<UserAgent {self.name} {self.transport}:{self.address}>"

    @property
    def uri(self) -> str:
        """Its address of record: `sip:alice@10.0.0.2`."""
        return self._identity.uri

    @property
    def contact(self) -> str:
        """The URI that requests in its dialogs are sent to: `sip:alice@10.0.0.2:5060`."""
        return self._identity.contact

    @property
    def received(self) -> Sequence[Received]:
        """All that came here and was looked at, retransmissions too, the newest last."""
        return self._mailbox.history

    @property
    def last_sent(self) -> Sent | None:
        """What it has sent last, with `time`, `to` and `data`."""
        return self._outbox.last

    def close(self) -> None:
        """Leave the network: what is sent here from now on is unreachable."""
        self.endpoint.close()

    # -- sending

    def make_request(self, method: str, uri: str, **fields: Unpack[RequestFields]) -> bytes:
        """The bytes of a request from here.

        `fields` are those of `trio_sip.testing.make_request`: `call_id`, `branch`, `cseq`, `from_tag`, `to_tag`,
        `headers`, `body`. Call-ID and branch are new, CSeq counts by Call-ID, and the From tag stays with it.
        """
        return self._identity.make_request(method, uri, **fields)

    @overload
    async def send(self, what: bytes, *, to: str | Address | None = None) -> None: ...

    @overload
    async def send(
        self, what: str, uri: str, *, to: str | Address | None = None, **fields: Unpack[RequestFields]
    ) -> model.Request: ...

    async def send(
        self, what: str | bytes, uri: str = "", *, to: str | Address | None = None, **fields: Unpack[RequestFields]
    ) -> model.Request | None:
        """Send a request, and return it as sent; `fields` are those of `make_request`. Or send bytes as they are.

        It goes to `to`, else to the proxy, else to where its URI leads. Raises `ValueError` where that is nowhere.
        """
        await trio.lowlevel.checkpoint()
        if isinstance(what, bytes):
            self._outbox.send(what, self._outbox.where(to, read(what)))
            return None
        if not uri:
            raise ValueError(f"send({what!r}) lacks the Request-URI: write send({what!r}, 'sip:bob@10.0.0.1')")
        data = self.make_request(what, uri, **fields)
        try:
            request = parse(data)
        except RemoteProtocolError as error:
            how = f"to send it all the same, write send({self.name}.make_request({what!r}, ...))"
            raise ValueError(f"this {what} is not SIP: {error}; {how}") from error
        assert isinstance(request, model.Request)
        self._outbox.send(data, self._outbox.where(to, request))
        return request

    async def reply(
        self, request: Message, status: int, reason: str | None = None, headers: Headers = (), body: bytes = b""
    ) -> model.Response:
        """Answer a request that came here, back over the way it came; returns the answer as sent.

        The To tag is the same for one Call-ID. Raises `ValueError` for a request that never came here, and for an ACK.
        """
        await trio.lowlevel.checkpoint()
        source = self._mailbox.source_of(request)
        if source is None or not isinstance(request, model.Request):
            raise ValueError(f"{self.name} cannot reply to {request!r}: it is no request that came to {self.name}")
        if request.method == "ACK":
            raise ValueError("an ACK is never answered (RFC 3261 17)")
        ours = [("Contact", f"<{self.contact}>")] if request.method == "INVITE" and 100 < status < 300 else []
        data = messages.make_response(
            request.data,
            status,
            reason,
            to_tag=None if status == 100 else self._identity.tag(request.call_id, "To"),
            headers=messages.unless_given(ours, headers),
            body=body,
            source=source,
        )
        response = parse(data)
        assert isinstance(response, model.Response)
        self._outbox.send(data, source)
        if (leg := self._legs.get(request.call_id)) is not None and leg.invite.data == request.data:
            leg.answered(response)
        return response

    async def ack(self, response: Message) -> None:
        """Acknowledge a final answer to an INVITE of this agent's (RFC 3261 13.2.2.4, 17.1.1.3)."""
        await trio.lowlevel.checkpoint()
        self._ack(response)

    # -- expecting

    @overload
    async def expect(  # type: ignore[overload-overlap]
        self, what: int | StatusClass, within: float = PATIENCE, *, about: Call | Message | None = None
    ) -> model.Response: ...

    @overload
    async def expect(
        self, what: str, within: float = PATIENCE, *, about: Call | Message | None = None
    ) -> model.Request: ...

    async def expect(
        self, what: int | str, within: float = PATIENCE, *, about: Call | Message | None = None
    ) -> Message:
        """Wait for a message and return it: a status (200), a class of them ("2xx"), or a method ("INVITE").

        Retransmissions are passed over, and 100 Trying unless it is asked for. With `about`, a call or a message, only
        what has its Call-ID is looked at, of responses only those to that message, and the rest keeps waiting.

        Raises `UnexpectedMessage` where another message comes, and `NothingReceived` where none does `within` seconds.
        """
        __tracebackhide__ = True
        await trio.lowlevel.checkpoint()
        expectation = Expectation.read(what)
        call = about if isinstance(about, Call) else None
        caller = None if call is None else call.caller
        deadline = trio.current_time() + within
        passed: list[Received] = []
        while (received := self._next(about)) is None or expectation.passes_over(received):
            if received is not None:
                passed.append(received)
            elif call is not None and expectation.method == "INVITE" and call.failure is not None:
                why = f"{call.caller.name} got {shown(call.caller, call.failure)}"
                headline = f"{self.name} never got the INVITE of {call}: {why}"
                raise UnexpectedMessage(report(headline, self, call.failure, passed, caller))
            elif trio.current_time() >= deadline:
                headline = f"{self.name} expected {expectation}{_of(call)} and got nothing in {within:g} s"
                raise NothingReceived(report(headline, self, None, passed, caller))
            else:
                await wait_any([self.endpoint] if call is None else call.endpoints(self), deadline)
        self._took(received)
        if not expectation.fits(received.message):
            headline = f"{self.name} expected {expectation}{_of(call)} and got {shown(self, received)}"
            raise UnexpectedMessage(report(headline, self, received, passed, caller))
        assert received.message is not None
        return received.message

    async def expect_nothing(self, seconds: float) -> None:
        """Let this time pass. Raises `UnexpectedMessage` where a message comes that `expect` would not pass over."""
        __tracebackhide__ = True
        await trio.lowlevel.checkpoint()
        deadline = trio.current_time() + seconds
        nothing = Expectation("nothing")
        while True:
            while (received := self._mailbox.take()) is not None:
                if not nothing.passes_over(received):
                    self._took(received)
                    headline = f"{self.name} expected nothing for {seconds:g} s and got {shown(self, received)}"
                    raise UnexpectedMessage(report(headline, self, received))
            if trio.current_time() >= deadline:
                return
            await self.endpoint.wait_until(deadline)

    # -- calls

    async def call(
        self, uri: str, *, to: str | Address | None = None, headers: Headers = (), body: bytes | None = None
    ) -> Call:
        """Send an INVITE, with a session description unless a `body` is given, and return the call it begins."""
        headers, body = messages.with_session(self.address, headers, body)
        call_id = self._identity.new_call_id()
        invite = await self.send("INVITE", uri, to=to, call_id=call_id, headers=headers, body=body)
        call = self._calls[call_id] = Call(self, invite)
        return call

    async def ring(self, call: Call, status: int = 180, *, headers: Headers = (), within: float = PATIENCE) -> None:
        """Get the INVITE, unless it came before, and answer 180; the caller gets it."""
        __tracebackhide__ = True
        await call._ring(self, status, headers, within)

    async def answer(
        self, call: Call, *, headers: Headers = (), body: bytes | None = None, within: float = PATIENCE
    ) -> None:
        """Get the INVITE, unless it came before, and answer 200; the caller gets it and sends ACK; get that."""
        __tracebackhide__ = True
        await call._answer(self, headers, body, within)

    async def reject(self, call: Call, status: int = 486, *, headers: Headers = (), within: float = PATIENCE) -> None:
        """Get the INVITE, unless it came before, answer it with this status, and get the ACK.

        What the caller gets is for the router to decide; `await call.expect(486)` sees to it.
        """
        __tracebackhide__ = True
        await call._reject(self, status, headers, within)

    async def expect_cancel(self, call: Call, *, within: float = PATIENCE) -> None:
        """Get the INVITE, unless it came before, and its CANCEL; answer 200 to this and 487 to that; get the ACK."""
        __tracebackhide__ = True
        await call._expect_cancel(self, within)

    # -- for a call

    def _next(self, about: Call | Message | None) -> Received | None:
        if isinstance(about, Call):
            if about.caller is not self:
                about._hear()
            return self._mailbox.take(about.call_id)
        return self._mailbox.take() if about is None else self._mailbox.take(about.call_id, about.cseq_value)

    def _took(self, received: Received) -> None:
        """A message leaves the mailbox: an INVITE that begins something, or what a call from here waits for."""
        message = received.message
        if isinstance(message, model.Response):
            if (call := self._calls.get(message.call_id)) is not None and call.is_answered_by(message):
                call._took(received)
        elif message is not None and message.method == "INVITE" and message.to_tag is None:
            self._legs[message.call_id] = Leg(message)

    def _ack(self, response: Message) -> None:
        found = self._outbox.invite_of(response)
        if found is None or not isinstance(response, model.Response):
            raise ValueError(f"{self.name} cannot acknowledge {response!r}: it answers no INVITE of {self.name}'s")
        invite, to = found
        if response.status >= 300:
            self._outbox.send(messages.make_ack(invite, response), to)
        else:
            self._send_in(Dialog.of_caller(invite, response), "ACK", cseq=invite.cseq_number)

    def _cancel(self, request: model.Request) -> None:
        found = self._outbox.invite_of(request)
        assert found is not None, "nobody cancels so late"
        self._outbox.send(messages.make_cancel(request), found[1])

    def _send_in(
        self, dialog: Dialog, method: str, headers: Headers = (), body: bytes = b"", cseq: int | None = None
    ) -> model.Request:
        """Send a request in a dialog. It goes where the dialog says, not to the proxy (RFC 3261 12.2.1.1)."""
        uri, ours = dialog.uri_and_headers()
        data = self.make_request(
            method,
            uri,
            call_id=dialog.call_id,
            cseq=cseq,
            headers=messages.unless_given(ours, headers),
            body=body,
        )
        request = parse(data)
        assert isinstance(request, model.Request)
        self._outbox.send(data, destination(dialog.next_hop(), self.transport))
        return request


def _of(call: Call | None) -> str:
    return "" if call is None else f" of {call}"
