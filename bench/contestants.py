"""Who is measured: a name, what it does, what it needs, and how its server is started."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import kamailio
from compiled import BENCH, compile_c
from load import HOST
from measure import Server, free_port, running

Command = list[str | Path]
Build = Callable[[Path, int], Command]


@dataclass(frozen=True)
class Started:
    """A running server, its port, and the Request-URI to ask it for."""

    server: Server
    port: int
    uri: str


@dataclass(frozen=True)
class Contestant:
    """A server to measure. `build` writes what it needs to a folder and returns its command.

    `answer` is what the load must get back: a status, or `echo`. `missing` says why it cannot run here.
    """

    name: str
    what: str
    build: Build
    answer: str = "200"
    forwards: bool = False
    missing: Callable[[], str | None] = lambda: None

    @contextlib.contextmanager
    def start(self) -> Iterator[Started]:
        """Run it, with a responder behind it when it forwards, for the length of a `with` block."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trio-sip-bench-")))
            target = stack.enter_context(_responder()) if self.forwards else None
            port = free_port()
            # a probe for the router's own address would be forwarded to itself: ask for the responder's
            uri = f"sip:x@{HOST}:{target or port}"
            server = stack.enter_context(running(self.build(folder, port), port, uri=uri))
            yield Started(server, port, uri)


@contextlib.contextmanager
def _responder() -> Iterator[int]:
    """The user agent behind a forwarding contestant; its port. It is not measured."""
    port = free_port()
    program = compile_c("uas")
    command: Command = [program] if program else [sys.executable, BENCH / "uas.py"]
    with running([*command, str(port)], port, uri=f"sip:x@{HOST}:{port}"):
        yield port


def _c_echo(_: Path, port: int) -> Command:
    program = compile_c("udp_echo")
    assert program is not None, "a contestant that is missing was started"
    return [program, str(port)]


def _python(script: str) -> Build:
    return lambda _, port: [sys.executable, BENCH / script, str(port)]


def serve_command(routes: str, port: int) -> Command:
    """Run a file of `bench/routes/` on `port`."""
    serve = [sys.executable, "-m", "trio_sip", "serve"]
    return [
        *serve,
        BENCH / "routes" / routes,
        "--listen",
        f"udp:{HOST}:{port}",
        "--log-level",
        "warning",
        "--grace",
        "0.1",
    ]


def _routes(name: str) -> Build:
    return lambda _, port: serve_command(name, port)


def _native(route: str) -> Build:
    return lambda folder, port: kamailio.write_native(folder, port, route)


def _kemi(action: str) -> Build:
    return lambda folder, port: kamailio.write_kemi(folder, port, action)


def _needs_cc() -> str | None:
    return None if compile_c("udp_echo") else "no C compiler (cc)"


def _needs_kamailio() -> str | None:
    return None if kamailio.program() else "kamailio is not installed"


def _needs_kemi() -> str | None:
    if kamailio.program() and not kamailio.has_kemi():
        return "kamailio's app_python3 module is not installed"
    return _needs_kamailio()


REFERENCE = "c-echo"

CONTESTANTS = (
    Contestant(REFERENCE, "UDP echo in C", _c_echo, answer="echo", missing=_needs_cc),
    Contestant("python-echo", "UDP echo, bare Python sockets", _python("echo_python.py"), answer="echo"),
    Contestant("trio-echo", "UDP echo on Trio that drains", _python("echo_trio.py"), answer="echo"),
    Contestant("in-place", "trio-sip: reply in the receive task", _routes("in_place.py")),
    Contestant("group", "trio-sip: reply through a worker group", _routes("group.py")),
    Contestant(
        "forward", "trio-sip: forward in a group, there and back",
        _routes("forward.py"), forwards=True,
    ),
    Contestant(
        "kam-reply", "Kamailio: reply, native script",
        _native(kamailio.NATIVE_REPLY), missing=_needs_kamailio,
    ),
    Contestant(
        "kam-reply-kemi", "Kamailio: reply, Python KEMI",
        _kemi(kamailio.KEMI_REPLY), missing=_needs_kemi,
    ),
    Contestant(
        "kam-forward", "Kamailio: forward, native script, there and back",
        _native(kamailio.NATIVE_FORWARD), forwards=True, missing=_needs_kamailio,
    ),
    Contestant(
        "kam-forward-kemi", "Kamailio: forward, Python KEMI, there and back",
        _kemi(kamailio.KEMI_FORWARD), forwards=True, missing=_needs_kemi,
    ),
)  # fmt: skip
