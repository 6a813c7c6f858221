"""The test kit: a network with virtual time, user agents on it, and messages to send.

    async def test_options(autojump_clock, nursery):
        network = SimulatedNetwork(seed=1, latency=0.010)
        await nursery.start(partial(serve, router, listen=["udp:10.0.0.1:5060"], network=network))
        alice = network.user_agent("10.0.0.2")
        alice.send(make_request("OPTIONS", "sip:10.0.0.1", source=alice.address), to="10.0.0.1:5060")
        assert (await alice.receive()).startswith(b"SIP/2.0 200 ")

For tests of the router and of routes files; the server never imports it.
"""

from trio_sip.testing.messages import make_request, make_response
from trio_sip.testing.simulated_network import SimulatedNetwork, TraceRecord
from trio_sip.testing.user_agent import NothingReceived, UserAgent

__all__ = [
    "NothingReceived",
    "SimulatedNetwork",
    "TraceRecord",
    "UserAgent",
    "make_request",
    "make_response",
]
