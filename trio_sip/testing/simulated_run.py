"""One test on a simulated network: its servers, its user agents, and how it ended.

The test has `TEST_SECONDS` of virtual time. Its servers run in a nursery of the `sip_serve` fixture; a server that
crashes ends the test. What servers may have left over when it has ended is written in `leaks`.
"""

from __future__ import annotations

import linecache
import logging
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
import trio
import trio.testing

from trio_sip.address import Address
from trio_sip.errors import ListenError, RoutesError
from trio_sip.routing.load import load_router
from trio_sip.routing.router import Router
from trio_sip.server import Server, serve
from trio_sip.testing.leaks import SETTLE_SECONDS, find_leaks, settle
from trio_sip.testing.simulated_network import SimulatedNetwork
from trio_sip.testing.task_order import pinned_task_order
from trio_sip.testing.user_agent import UserAgent

__all__ = ["SERVER", "TEST_SECONDS", "Serve", "SimulatedRun", "UserAgents", "leaves"]

SERVER = Address("10.0.0.1", 5060)
"""Where `sip_server` listens, on UDP and TCP."""
LISTEN = (f"udp:{SERVER}", f"tcp:{SERVER}")
TEST_SECONDS = 3600.0
"""Virtual seconds a test may take: one that waits for what never comes fails, and does not hang."""

_END_SECONDS = 5.0  # virtual; an idle server ends at once
_HOSTS = range(2, 255)


class Serve(Protocol):
    """What the `sip_serve` fixture gives."""

    async def __call__(self, router: Router | str, *, listen: Sequence[str] = ...) -> Server:
        """Start a server and wait until it listens.

        `router` may be a routes file, which is looked for as that of the `sip_routes` mark. `listen` is as for `serve`,
        by default UDP and TCP 10.0.0.1:5060. Raises `RoutesError` and `ListenError`.
        """


class UserAgents:
    """What the `user_agent` fixture gives: call it to put a user agent on the network."""

    def __init__(self, run: SimulatedRun) -> None:
        self._run = run
        self.made: list[UserAgent] = []

    def __repr__(self) -> str:
        return f"<user agents: {', '.join(f'{agent.name} {agent.address}' for agent in self.made) or 'none'}>"

    def __call__(
        self,
        name: str,
        host: str | None = None,
        port: int = 5060,
        transport: str = "udp",
        *,
        proxy: str | None = None,
    ) -> UserAgent:
        """A user agent with a name for diagrams. Hosts are given out from 10.0.0.2 onward; `proxy` is the server."""
        names = self._run.network.names
        if host is None:
            host = next(host for host in (f"10.0.0.{n}" for n in _HOSTS) if host not in names)
        if proxy is None:
            proxy = str(self._run.server_address(transport, host))
        agent = self._run.network.user_agent(host, port, transport, name=name, proxy=proxy)
        self.made.append(agent)
        return agent


class SimulatedRun:
    """One test: its network, its servers, its user agents, and how it ended."""

    def __init__(self, network: SimulatedNetwork, find_routes: Callable[[str], str]) -> None:
        self.network = network
        self._find_routes = find_routes
        self.user_agents = UserAgents(self)
        self.order = ExitStack()
        self.has_failed = False
        self.ended: float | None = None
        self.sent: int | None = None
        """How many records the trace had when the servers were cut off."""
        self._began = False
        self._servers: list[tuple[Server, trio.Event]] = []

    # The order of tasks

    async def pin(self) -> None:
        """Let the order of tasks be that of the seed from now on, however many steps fixtures have taken before."""
        await trio.testing.wait_all_tasks_blocked()
        self.order.enter_context(pinned_task_order(self.network.seed))

    # Servers

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Serve]:
        """Run servers until the test has ended; then see that they have nothing left over."""
        __tracebackhide__ = True
        with ExitStack() as stack:
            async with trio.open_nursery() as nursery:

                async def start(router: Router | str, *, listen: Sequence[str] = LISTEN) -> Server:
                    __tracebackhide__ = True
                    return await self._start(nursery, router, listen)

                yield start
                try:
                    if not self.has_failed:
                        await self._end_servers()
                finally:  # what is cut off from here on has nothing to say that helps
                    self.sent = len(self.network.trace)
                    stack.enter_context(_unlogged())
                nursery.cancel_scope.cancel()

    async def _start(self, nursery: trio.Nursery, router: Router | str, listen: Sequence[str]) -> Server:
        __tracebackhide__ = True
        if not self._began:
            await self.pin()
        ended = trio.Event()
        try:
            loaded = load_router(self._find_routes(router)) if isinstance(router, str) else router
            server = await nursery.start(self._serve, loaded, listen, ended)
        except (RoutesError, ListenError) as error:
            raise error.with_traceback(None) from None  # it says what is wrong; our lines do not
        assert isinstance(server, Server)
        self._servers.append((server, ended))
        self._name(server)
        await trio.testing.wait_all_tasks_blocked()
        return server

    async def _serve(
        self,
        router: Router,
        listen: Sequence[str],
        ended: trio.Event,
        *,
        task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            # No watchdog: it measures real time, and what it says depends on the machine.
            await serve(router, listen=listen, network=self.network, watchdog=None, task_status=task_status)
        except Exception as error:
            for crashed in (server for server, event in self._servers if event is ended):
                for leaf in leaves(error):  # the groups around it are not shown
                    leaf.add_note(f"The server crashed with this at {trio.current_time():.3f}: {crashed!r}")
            raise
        finally:
            ended.set()

    def _name(self, server: Server) -> None:
        for host in dict.fromkeys(listener.address.host for listener in server.listeners):
            number = len(self._servers)
            self.network.names.setdefault(host, "router" if number == 1 else f"router {number}")

    def server_address(self, transport: str, host: str) -> Address:
        """Where a user agent finds the first server that speaks its transport and its family of addresses."""
        for server, _ in self._servers:
            for listener in server.listeners:
                if listener.transport == transport and (":" in listener.address.host) == (":" in host):
                    return listener.address
        return SERVER

    async def _end_servers(self) -> None:
        """What a test may leave behind is written in `leaks`."""
        __tracebackhide__ = True
        for agent in self.user_agents.made:
            agent.close()
        servers = [server for server, _ in self._servers]
        await settle(servers, self.network)
        self._check(servers, f"{SETTLE_SECONDS:g} virtual seconds after its end")
        for server in servers:
            server.shutdown(grace=0)
        with trio.move_on_after(_END_SECONDS):
            for _, ended in self._servers:
                await ended.wait()
        self._check(servers, f"{_END_SECONDS:g} virtual seconds after shutdown")
        for server, ended in self._servers:
            if not ended.is_set():
                pytest.fail(f"{server!r} did not end when it was shut down", pytrace=False)

    def _check(self, servers: Sequence[Server], when: str) -> None:
        __tracebackhide__ = True
        for server in servers:
            leaks = find_leaks(server)
            if leaks:
                lines = "\n".join(f"  - {leak}" for leak in leaks)
                pytest.fail(f"the test itself passed, but {when} {server!r} still has:\n{lines}", pytrace=False)

    # The test

    async def carry_out(self, test: Callable[[], Awaitable[None]], item: pytest.Function) -> None:
        """Run the test function itself, once everything is set up."""
        __tracebackhide__ = True
        await self.pin()
        self._began = True
        place = ""
        try:
            with trio.move_on_after(TEST_SECONDS) as time:
                try:
                    await test()
                except BaseException as error:
                    place = _place(error, item.path)
                    raise
            if time.cancelled_caught:
                pytest.fail(
                    f"the test had not ended after {TEST_SECONDS:g} virtual seconds; it waited at {place}",
                    pytrace=False,
                )
        except BaseException:
            self.has_failed = True
            raise
        finally:
            self.ended = trio.current_time()


@contextmanager
def _unlogged() -> Iterator[None]:
    """Nothing of ours is logged in this block."""
    logger = logging.getLogger("trio_sip")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What is in a group of groups; of anything else, itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def _place(error: BaseException, file: Path) -> str:
    """The innermost line of a file on the way to an error."""
    for leaf in leaves(error):
        for frame in reversed(traceback.extract_tb(leaf.__traceback__)):
            if frame.filename == str(file) and frame.lineno is not None:
                line = linecache.getline(frame.filename, frame.lineno).strip()
                return f"{os.path.basename(frame.filename)}:{frame.lineno}: {line}"
    return "a place unknown"
