"""The test kit: a network with virtual time, user agents on it that do what a test says, and messages to send.

    async def test_a_call(autojump_clock, nursery):
        network = SimulatedNetwork(seed=1, latency=0.010)
        await nursery.start(partial(serve, router, listen=["udp:10.0.0.1:5060"], network=network))
        alice = network.user_agent("10.0.0.2", name="alice", proxy="10.0.0.1:5060")
        bob = network.user_agent("10.0.0.3", name="bob", proxy="10.0.0.1:5060")

        await alice.send("OPTIONS", "sip:10.0.0.1")
        await alice.expect(200)

        call = await alice.call("sip:bob@10.0.0.3")
        await bob.ring(call)
        await bob.answer(call)
        assert call.statuses == [180, 200]
        await call.hang_up(by=bob)

For tests of the router and of routes files; the server never imports it.
"""

from trio_sip.testing.call import Call
from trio_sip.testing.endpoint import Endpoint, NothingReceived
from trio_sip.testing.failure import UnexpectedMessage
from trio_sip.testing.ladder import ladder
from trio_sip.testing.leaks import assert_no_leaks
from trio_sip.testing.messages import make_request, make_response
from trio_sip.testing.simulated_network import SimulatedNetwork, TraceRecord
from trio_sip.testing.user_agent import UserAgent

__all__ = [
    "Call",
    "Endpoint",
    "NothingReceived",
    "SimulatedNetwork",
    "TraceRecord",
    "UnexpectedMessage",
    "UserAgent",
    "assert_no_leaks",
    "ladder",
    "make_request",
    "make_response",
]
