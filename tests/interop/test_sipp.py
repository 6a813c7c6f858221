"""Independent SIP programs against a real server on the loopback interface: SIPp, sipsak, Kamailio."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from trio_sip import Frame, Request, Router, Server, WorkerGroup, serve

pytestmark = [pytest.mark.sockets, pytest.mark.peer]

HOST = "127.0.0.1"
CALLS = 200
SECONDS = 20
"""How long a program may take."""


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port(transport: str) -> int:
    """A port nobody has now. Programs that cannot choose one themselves are given it."""
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(transport: str, port: int) -> bool:
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if transport == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


@asynccontextmanager
async def running(command: list[str], transport: str, port: int, folder: Path) -> AsyncIterator[None]:
    """A program in the background, from when it listens until the block is left."""
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            deliver_cancel=end,
        )
        process = await nursery.start(start)
        with trio.fail_after(SECONDS):
            while not is_taken(transport, port):
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                await trio.sleep(0.02)
        yield
        nursery.cancel_scope.cancel()


async def end(process: trio.Process) -> None:
    """Ask it to end, so that it can end its children; insist after a while."""
    process.terminate()
    with trio.move_on_after(3):
        await process.wait()
    process.kill()


async def run(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a program to its end; its exit status and what it printed."""
    with trio.fail_after(SECONDS):
        result = await trio.run_process(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            deliver_cancel=end,
        )
    return result.returncode, result.stdout.decode("utf-8", "replace")


def forwarding_to(target: str) -> Router:
    """As routes/sworker.py: REGISTER in a group of its own, OPTIONS answered, everything else forwarded."""
    router = Router(groups=[WorkerGroup("default", workers=4), WorkerGroup("registrations", workers=2)])

    @router.pre_routing
    def pre_routing(frame: Frame) -> None:
        if frame.delegate("registrations" if frame.method == "REGISTER" else "default"):
            frame.drop()

    @router.request_route("OPTIONS")
    async def options(request: Request) -> None:
        request.reply(200, headers=[("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")])

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward(target)

    return router


@asynccontextmanager
async def serving(router: Router) -> AsyncIterator[Server]:
    """The server on UDP and TCP, each with a port of the system's choice."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, router, listen=[f"udp:{HOST}:0", f"tcp:{HOST}:0"], watchdog=None))
        yield server
        nursery.cancel_scope.cancel()


def port_of(server: Server, transport: str) -> int:
    return next(listener.address.port for listener in server.listeners if listener.transport == transport)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipp_calls_through_the_router_to_sipp(tmp_path: Path, transport: str) -> None:
    sipp, mode = program("sipp"), {"udp": "u1", "tcp": "t1"}[transport]
    uas, uac = free_port(transport), free_port(transport)
    common = ["-i", HOST, "-t", mode, "-nostdin"]
    router = forwarding_to(f"sip:service@{HOST}:{uas};transport={transport}")
    async with (
        running([sipp, "-sn", "uas", "-p", str(uas), *common], transport, uas, tmp_path),
        serving(router) as server,
    ):
        ours = f"{HOST}:{port_of(server, transport)}"
        limits = ["-m", str(CALLS), "-r", "200", "-timeout", str(SECONDS - 2), "-timeout_error"]
        status, printed = await run([sipp, "-sn", "uac", ours, "-p", str(uac), *common, *limits], tmp_path)
        assert status == 0, printed[-2000:]
        statistics = server.statistics()
        assert statistics.groups["default"].failed == 0
        assert statistics.routing.stray == 0
        assert statistics.lost == 0


async def test_sipsak_gets_its_answer(tmp_path: Path) -> None:
    sipsak = program("sipsak")
    async with serving(forwarding_to("sip:nobody@127.0.0.1:1")) as server:
        status, printed = await run([sipsak, "-vv", "-s", f"sip:{HOST}:{port_of(server, 'udp')}"], tmp_path)
        assert status == 0, printed
        assert "SIP/2.0 200 OK" in printed


async def test_kamailio_as_the_next_hop(tmp_path: Path) -> None:
    kamailio, sipsak = program("kamailio"), program("sipsak")
    port = free_port("udp")
    config = tmp_path / "kamailio.cfg"
    config.write_text(
        "#!KAMAILIO\ndebug=0\nlog_stderror=yes\nfork=yes\nchildren=1\ndisable_tcp=yes\nauto_aliases=no\ndns=no\nrev_dns=no\n"
        f'listen=udp:{HOST}:{port}\nloadmodule "sl.so"\n'
        'request_route { sl_send_reply("200", "Kamailio says so"); }\n'
    )
    router = Router()

    @router.request_route
    async def request_route(request: Request) -> None:
        await request.forward(f"sip:{HOST}:{port}")

    command = [kamailio, "-DD", "-E", "-f", str(config), "-Y", str(tmp_path), "-w", str(tmp_path)]
    async with running(command, "udp", port, tmp_path), serving(router) as server:
        status, printed = await run([sipsak, "-vv", "-s", f"sip:{HOST}:{port_of(server, 'udp')}"], tmp_path)
        assert status == 0, printed
        assert "200 Kamailio says so" in printed
        assert "received=" in printed or "rport=" in printed
