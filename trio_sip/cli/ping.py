"""`trio-sip ping`: ask so many times, a line for each, and sum up."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import attrs
import trio

from trio_sip.cli.options_client import Pinger, Target, milliseconds, open_link
from trio_sip.cli.output import printable, say
from trio_sip.errors import TransportError
from trio_sip.transport.network import Network
from trio_sip.transport.sockets import SocketNetwork

__all__ = ["Tally", "ping_until_done"]

MAX_UNDER_WAY = 1000
"""Pings that may wait for their answers at the same time."""
UNANSWERED = 1
"""Exit status where no answer came."""


@attrs.define
class Tally:
    """What came of the pings so far."""

    sent: int = 0
    seconds: list[float] = attrs.Factory(list)
    """Of each answer."""

    def __str__(self) -> str:
        received = len(self.seconds)
        loss = 100 * (self.sent - received) / self.sent if self.sent else 0
        text = f"{self.sent} sent, {received} received, {loss:.0f}% loss"
        if received:
            least, mean, most = min(self.seconds), sum(self.seconds) / received, max(self.seconds)
            times = "/".join(map(milliseconds, (least, mean, most)))
            text += f"; round trip min/avg/max {times} ms"
        return text


async def ping_until_done(
    target: Target,
    count: int,
    interval: float,
    timeout: float,  # noqa: ASYNC109
    network: Network | None = None,
) -> int:
    """Ping `count` times and sum up, after Ctrl-C as well. The exit status: 0 if it answered at all."""
    network = SocketNetwork() if network is None else network
    tally = Tally()
    with trio.open_signal_receiver(signal.SIGINT) as interrupts:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on, interrupts, nursery.cancel_scope)
            try:
                link = await open_link(network, target, timeout)
            except TransportError as error:
                say(f"{target.uri}: {printable(str(error))}")
            else:
                pinger = Pinger(target, link.flow, network.identifiers, timeout)
                nursery.start_soon(link.run)
                nursery.start_soon(pinger.serve, link.source)
                await _ping_many(pinger, tally, count, interval)
            nursery.cancel_scope.cancel()
    if tally.sent:
        say(str(tally))
    return 0 if tally.seconds else UNANSWERED


async def _cancel_on(interrupts: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(interrupts)
    scope.cancel()


async def _ping_many(pinger: Pinger, tally: Tally, count: int, interval: float) -> None:
    room = trio.CapacityLimiter(MAX_UNDER_WAY)
    async with trio.open_nursery() as nursery:
        for number in range(1, count + 1):
            async with room:
                pass  # wait here while all of them are under way
            nursery.start_soon(_ping_once, pinger, tally, number, room)
            if number < count:
                await trio.sleep(interval)


async def _ping_once(pinger: Pinger, tally: Tally, number: int, room: trio.CapacityLimiter) -> None:
    async with room:
        tally.sent += 1
        try:
            answer = await pinger.ping(number)
        except TransportError as error:
            say(f"{number}: {printable(str(error))}")
        else:
            tally.seconds.append(answer.seconds)
            say(f"{number}: {answer}")
