"""A call between scripted user agents: one line of a test for each thing people do.

    call = await alice.call("sip:bob@10.0.0.1")
    await bob.ring(call)
    await bob.answer(call)
    await call.hang_up(by=bob)

The call stands at the caller's side: it notes what the caller gets, and sends the ACKs. Who is called is for the router
to decide, so each callee comes in by `ring`, `answer`, `reject` or `expect_cancel`. It finds its INVITE by the Call-ID.
Retransmissions and 100 Trying are passed over, so a router with transactions and one without look the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import trio

from trio_sip.message import model
from trio_sip.testing.dialog import Dialog
from trio_sip.testing.endpoint import Endpoint, NothingReceived
from trio_sip.testing.failure import UnexpectedMessage, report, shown
from trio_sip.testing.mailbox import PATIENCE, Expectation, Message, Received
from trio_sip.testing.messages import Headers, with_session

if TYPE_CHECKING:
    from trio_sip.testing.user_agent import UserAgent

__all__ = ["Call", "Leg"]


@attrs.define(eq=False)
class Leg:
    """A call as a callee has it. `status` is its final answer, None before."""

    invite: model.Request
    status: int | None = None
    dialog: Dialog | None = None

    def answered(self, response: model.Response) -> None:
        """The callee has sent this."""
        if 100 < response.status < 300 and self.dialog is None:
            self.dialog = Dialog.of_callee(self.invite, response)
        if response.status >= 200:
            self.status = response.status


class Call:
    """Made by `await alice.call(...)`. `invite` is the INVITE as she sent it."""

    def __init__(self, caller: UserAgent, invite: model.Request) -> None:
        self.caller = caller
        self.invite = invite
        self.callees: list[UserAgent] = []
        self.dialog: Dialog | None = None
        """The caller's: the early one, then the one that was answered."""
        self._received: list[Received] = []
        self._cancelled: list[Received] = []  # answers to the CANCEL
        self._is_over = False

    def __str__(self) -> str:
        return f"{self.caller.name}'s call to {self.invite.uri_text}"

    def __repr__(self) -> str:
        return f"<Call {self.call_id} to {self.invite.uri_text}, {self.state}, statuses {self.statuses}>"

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        return self.invite.call_id

    @property
    def responses(self) -> list[model.Response]:
        """What the caller has got to her INVITE so far, 100 Trying too, without retransmissions."""
        self._hear()
        return [received.message for received in self._received if isinstance(received.message, model.Response)]

    @property
    def statuses(self) -> list[int]:
        """The statuses of `responses`, without 100."""
        return [response.status for response in self.responses if response.status != 100]

    @property
    def final(self) -> model.Response | None:
        """The first final answer the caller has got."""
        return next((response for response in self.responses if response.status >= 200), None)

    @property
    def failure(self) -> Received | None:
        """What the caller has got that is final, and not a 2xx."""
        self._hear()
        return self._first_from(300)

    @property
    def state(self) -> str:
        """What the caller knows: `"calling"`, `"ringing"`, `"answered"`, `"failed"` or, after a BYE, `"ended"`."""
        if self._is_over:
            return "ended"
        if self.final is not None:
            return "failed" if self.failure else "answered"
        return "ringing" if self.statuses else "calling"

    async def expect(self, what: int | str, within: float = PATIENCE) -> model.Response:
        """Wait until the caller has this answer to the INVITE, a status or a class of them; it may be there already.

        Raises `UnexpectedMessage` where there is another final answer, and `NothingReceived` after `within` seconds.
        """
        __tracebackhide__ = True
        expectation = Expectation.read(what)
        return await self._wait(self._received, expectation.fits, str(expectation), within, hopeless=200)

    async def cancel(self, *, within: float = PATIENCE) -> None:
        """The caller sends CANCEL. Those who ring get it and answer it, and the caller gets 487.

        Where nobody rings it is only sent; go on with `await bob.expect_cancel(call)` or `await call.expect(487)`.
        """
        __tracebackhide__ = True
        await trio.lowlevel.checkpoint()
        if self.final is not None:
            raise RuntimeError(f"{self} cannot be cancelled: it is {self.state}, statuses {self.statuses}")
        ringing = [callee for callee in self.callees if callee._legs[self.call_id].status is None]
        self.caller._cancel(self.invite)
        for callee in ringing:
            await callee.expect_cancel(self, within=within)
        if ringing:
            await self._wait(self._cancelled, Expectation.read("2xx").fits, "2xx to CANCEL", within, hopeless=700)
            await self.expect(487, within)

    async def hang_up(self, by: UserAgent | None = None, *, within: float = PATIENCE) -> None:
        """Send BYE, from the caller unless told otherwise; the other side gets it and answers 200, and that arrives."""
        __tracebackhide__ = True
        if self.state != "answered":
            raise RuntimeError(f"{self} cannot be hung up: it is {self.state}, statuses {self.statuses}")
        by = self.caller if by is None else by
        other = self._other_side(by)
        bye = await self.send("BYE", by=by)
        await other.reply(await other.expect("BYE", within, about=self), 200)
        await by.expect(200, within, about=bye)
        self._is_over = True

    async def send(
        self, method: str, by: UserAgent | None = None, *, headers: Headers = (), body: bytes = b""
    ) -> model.Request:
        """Send a request in the dialog, from the caller unless told otherwise, and return it as sent.

        It goes along the route set to the other side's Contact (RFC 3261 12.2.1), not to the proxy.
        """
        await trio.lowlevel.checkpoint()
        by = self.caller if by is None else by
        leg = by._legs.get(self.call_id)
        dialog = self.dialog if by is self.caller else None if leg is None else leg.dialog
        if dialog is None:
            raise RuntimeError(f"{by.name} cannot send {method}: no dialog in {self}, statuses {self.statuses}")
        return by._send_in(dialog, method, headers, body)

    # -- for the user agents

    def is_answered_by(self, response: model.Response) -> bool:
        """Whether this answers the INVITE, or its CANCEL."""
        return response.branch == self.invite.branch and response.method in ("INVITE", "CANCEL")

    def endpoints(self, agent: UserAgent) -> list[Endpoint]:
        """Where something may arrive that matters while `agent` waits."""
        return [agent.endpoint] if agent is self.caller else [agent.endpoint, self.caller.endpoint]

    def _hear(self) -> None:
        """Let the caller take what came for the call."""
        for received in self.caller._mailbox.take_responses(self.invite):
            if not received.is_repeated:
                self._took(received)

    def _took(self, received: Received) -> None:
        response = received.message
        assert isinstance(response, model.Response)
        if response.method == "CANCEL":
            self._cancelled.append(received)
            return
        self._received.append(received)
        if 100 < response.status < 300 and (self.dialog is None or response.status >= 200):
            self.dialog = Dialog.of_caller(self.invite, response)
        if response.status >= 200:
            self.caller._ack(response)

    def _first_from(self, status: int) -> Received | None:
        """The first answer with this status or a higher one."""
        for received in self._received:
            if isinstance(received.message, model.Response) and received.message.status >= status:
                return received
        return None

    async def _ring(self, callee: UserAgent, status: int, headers: Headers, within: float) -> None:
        __tracebackhide__ = True
        leg = await self._reach(callee, within)
        await self._see_through(await callee.reply(leg.invite, status, headers=headers), callee, within)

    async def _answer(self, callee: UserAgent, headers: Headers, body: bytes | None, within: float) -> None:
        __tracebackhide__ = True
        leg = await self._reach(callee, within)
        headers, body = with_session(callee.address, headers, body)
        await self._see_through(await callee.reply(leg.invite, 200, headers=headers, body=body), callee, within)
        await callee.expect("ACK", within, about=self)

    async def _reject(self, callee: UserAgent, status: int, headers: Headers, within: float) -> None:
        __tracebackhide__ = True
        leg = await self._reach(callee, within)
        await callee.reply(leg.invite, status, headers=headers)
        await callee.expect("ACK", within, about=self)

    async def _expect_cancel(self, callee: UserAgent, within: float) -> None:
        __tracebackhide__ = True
        leg = await self._reach(callee, within)
        await callee.reply(await callee.expect("CANCEL", within, about=self), 200)
        await callee.reply(leg.invite, 487)
        await callee.expect("ACK", within, about=self)

    async def _reach(self, callee: UserAgent, within: float) -> Leg:
        """The call at this callee, who may have to wait for the INVITE; after a final answer, for another one."""
        __tracebackhide__ = True
        leg = callee._legs.get(self.call_id)
        if leg is None or leg.status is not None:
            await callee.expect("INVITE", within, about=self)
            leg = callee._legs[self.call_id]
        if callee not in self.callees:
            self.callees.append(callee)
        return leg

    async def _see_through(self, sent: model.Response, callee: UserAgent, within: float) -> None:
        """Wait until the caller has got what a callee has sent."""
        __tracebackhide__ = True

        def is_it(message: Message | None) -> bool:
            if not isinstance(message, model.Response):
                return False
            return (message.status, message.to_tag) == (sent.status, sent.to_tag)

        await self._wait(self._received, is_it, f"the {sent.status} that {callee.name} sent", within, hopeless=300)

    async def _wait(
        self, among: list[Received], fits: Callable[[Message | None], bool], text: str, within: float, hopeless: int
    ) -> model.Response:
        """Wait for one of these messages. An answer to the INVITE of status `hopeless` or more ends it at once."""
        __tracebackhide__ = True
        await trio.lowlevel.checkpoint()
        caller, deadline = self.caller, trio.current_time() + within
        headline = f"{caller.name} expected {text} in {self} and got"
        while True:
            self._hear()
            for received in among:
                if fits(received.message):
                    assert isinstance(received.message, model.Response)
                    return received.message
            if (final := self._first_from(hopeless)) is not None:
                raise UnexpectedMessage(report(f"{headline} {shown(caller, final)}", caller, final))
            if trio.current_time() >= deadline:
                what = "nothing" if not self._received else f"nothing but {self.statuses or [100]}"
                raise NothingReceived(report(f"{headline} {what} in {within:g} s", caller))
            await caller.endpoint.wait_until(deadline)

    def _other_side(self, by: UserAgent) -> UserAgent:
        """Who is in the answered call with `by`."""
        if by is not self.caller:
            return self.caller
        for callee in self.callees:
            dialog = callee._legs[self.call_id].dialog
            if dialog is not None and self.dialog is not None and dialog.local == self.dialog.remote:
                return callee
        raise RuntimeError(f"nobody of {self} has said `await bob.answer(call)`, so who hangs up is not known")
