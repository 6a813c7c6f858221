"""The pytest plugin of trio-sip: tests of a routes file, in virtual time, without a network.

    # pytest.ini: sip_routes = routes.py
    async def test_options(sip_server, user_agent):
        alice = user_agent("alice")
        await alice.send("OPTIONS", "sip:10.0.0.1")
        await alice.expect(200)

pytest imports this wherever trio-sip is installed. So it stands beside the package and imports nothing of it before a
test that uses one of the fixtures is collected; what there is to do is done in `trio_sip.testing.pytest_plugin`.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trio_sip import Router, Server
    from trio_sip.testing import SimulatedNetwork
    from trio_sip.testing.simulated_run import Serve, UserAgents

__all__ = ["FIXTURES", "SECTION"]

FIXTURES = frozenset({"sip_network", "sip_serve", "sip_server", "user_agent"})
SECTION = "SIP messages"
"""How the title of the report section begins that holds the sequence diagram."""

_MARKERS = (
    "sip_routes(routes): the routes file of `sip_server`, as in 'routes.py' or 'routes.py:name', beside the test or in"
    " the root directory; or a Router",
    "sip_network(seed, latency, jitter, loss, duplication, reordering, mtu): conditions of the simulated network, as in"
    " sip_network(latency=0.05, loss=0.1)",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sip", "SIP tests (trio-sip)")
    group.addoption(
        "--sip-seed",
        type=_read_seed,
        metavar="N",
        help="what losses, delays and the order of tasks are drawn from; one seed is one run (default: 1)",
    )
    group.addoption("--sip-ladder", action="store_true", help="print the sequence diagrams of passing tests, too")
    parser.addini("sip_routes", "the routes file of the sip_server fixture, relative to the root directory", default="")


def _read_seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"takes a whole number, as in --sip-seed 7, not {text!r}")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    using = [item for item in items if not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))]
    if using:
        from trio_sip.testing import pytest_plugin

        pytest_plugin.prepare(config, using)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("sip_ladder"):
        return
    for report in terminalreporter.getreports("passed"):
        for title, text in report.sections:
            if title.startswith(SECTION):
                terminalreporter.write_sep("_", report.nodeid)
                terminalreporter.write_line(text)


@pytest.fixture
def sip_network(request: pytest.FixtureRequest) -> SimulatedNetwork:
    """The simulated network of this test; `@pytest.mark.sip_network(latency=0.05, loss=0.1)` sets its conditions."""
    from trio_sip.testing import pytest_plugin

    return pytest_plugin.open_run(request).network


@pytest.fixture
async def sip_serve(sip_network: SimulatedNetwork, request: pytest.FixtureRequest) -> AsyncIterator[Serve]:
    """Start a server: `server = await sip_serve(router)`, or `sip_serve("routes.py", listen=["udp:10.0.0.1:5060"])`.

    When the test has ended, no server may have anything left over; see `trio_sip.testing.leaks`.
    """
    from trio_sip.testing import pytest_plugin

    run = pytest_plugin.run_of(request)
    async with run.serving() as serve:
        yield serve


@pytest.fixture
def _sip_router(sip_network: SimulatedNetwork, request: pytest.FixtureRequest) -> Router:
    from trio_sip.testing import pytest_plugin

    return pytest_plugin.load_routes(request)


@pytest.fixture
async def sip_server(_sip_router: Router, sip_serve: Serve) -> Server:
    """A running `Server` on your routes file, at udp and tcp 10.0.0.1:5060.

    The file is that of `@pytest.mark.sip_routes("routes.py")`, or of the option `sip_routes` in pytest's
    configuration. It is executed anew for each test.
    """
    return await sip_serve(_sip_router)


@pytest.fixture
def user_agent(sip_network: SimulatedNetwork, request: pytest.FixtureRequest) -> UserAgents:
    """Make scripted user agents: `alice = user_agent("alice")`. Their requests go to the server by default."""
    from trio_sip.testing import pytest_plugin

    return pytest_plugin.run_of(request).user_agents
