"""Starting a server, loading it, and reading what it cost: what every program in this folder stands on.

CPU time is that of the server's whole process tree, user and system, read from the kernel before and after
the load (`/proc/<pid>/task/*/schedstat`, in nanoseconds; `/proc/<pid>/stat`, in clock ticks, where that does
not count). Linux only.
Only processes started here are ended, each through its own handle or process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiled import BENCH
from load import HOST, Answers, Result, build_messages, connected_socket

PROJECT = BENCH.parent
START_SECONDS = 15.0  # for a server to answer its first request
STOP_SECONDS = 5.0  # for a server to end after SIGTERM
LOAD_MARGIN = 10.0  # seconds a load may take beyond its own bound
WARM_UP = 2_000  # messages before the clock starts
NANOSECONDS = 1e9
LOG_LINES = 8  # of a server that failed, shown in the error


class ServerError(RuntimeError):
    """A server did not start, or did not answer what it should."""


@dataclass(frozen=True)
class Cost:
    """One run against one server: CPU of its process tree and messages a second, as the load saw it."""

    cpu_us: float
    rate: float
    busy: float  # cores the server kept busy
    result: Result
    logged: str  # what the server wrote meanwhile; a server that logs every message is measured wrong


def free_port() -> int:
    """A UDP port on loopback that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def process_tree(root: int) -> list[int]:
    """`root` and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    return tree


def cpu_seconds(root: int) -> float:
    """CPU time, user and system, that the process tree under `root` has used."""
    return sum(_process_cpu(Path(f"/proc/{pid}")) for pid in process_tree(root))


def _process_cpu(process: Path) -> float:
    with contextlib.suppress(OSError):
        on_cpu = sum(int((task / "schedstat").read_text().split()[0]) for task in (process / "task").iterdir())
        if on_cpu:
            return on_cpu / NANOSECONDS
    with contextlib.suppress(OSError):
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def resident_bytes(root: int) -> int:
    """Resident memory of the process tree under `root`, in bytes."""
    pages = 0
    for pid in process_tree(root):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Server:
    """A running server and the file it logs to."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def logged(self, after: int = 0) -> str:
        """What it has written to standard output and error, from the byte `after` on."""
        return self.log.read_bytes()[after:].decode("utf-8", "replace")

    def __str__(self) -> str:
        status = self.process.poll()
        arguments = self.process.args
        command = " ".join(map(str, arguments)) if isinstance(arguments, (list, tuple)) else repr(arguments)
        return f"{command} ({'still running' if status is None else f'exit status {status}'})"


@contextlib.contextmanager
def running(command: Sequence[str | Path], port: int, *, uri: str) -> Iterator[Server]:
    """Run a server for the length of a `with` block, which begins once `port` has answered OPTIONS for `uri`.

    Raises `ServerError`, with the last lines the server wrote, when it ends early or does not answer in time.
    """
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with tempfile.NamedTemporaryFile(prefix="trio-sip-bench-") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        server = Server(process, Path(log.name))
        try:
            _wait_until_it_answers(server, port, uri)
            yield server
        finally:
            _stop(process)


def _wait_until_it_answers(server: Server, port: int, uri: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    with connected_socket(port) as sock:
        probe = build_messages(1, uri=uri, port=sock.getsockname()[1], seed=0)[0]
        while time.monotonic() < deadline and server.process.poll() is None:
            answers = Answers(sock, 1)
            with contextlib.suppress(ConnectionRefusedError):
                sock.send(probe)
            if answers.wait(0.1) and answers.drain(1):
                return
            time.sleep(0.05)
    last = "\n".join("    " + line for line in server.logged().splitlines()[-LOG_LINES:])
    raise ServerError(f"{server} did not answer on port {port}\n{last}")


def _stop(process: subprocess.Popen[Any]) -> None:
    if process.poll() is not None:
        return
    tree = process_tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)


class Load:
    """A load generator in a process of its own, with its messages built and waiting for `go`."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self._process = process
        self._seconds = seconds

    def go(self) -> None:
        """Start sending."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def result(self) -> Result:
        """Wait until it is done."""
        output, _ = self._process.communicate(timeout=self._seconds + LOAD_MARGIN)
        return Result(**json.loads(output))


@contextlib.contextmanager
def loading(port: int, *, seconds: float, **options: str | float | int) -> Iterator[Load]:
    """A load of `port` that is ready to go; `options` are the flags of `load.py`."""
    flags = [f"--{name}={value}" for name, value in {"seconds": seconds, **options}.items()]
    command = [sys.executable, str(BENCH / "load.py"), str(port), *flags]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise ServerError("the load generator did not start")
        yield Load(process, seconds)
    finally:
        _stop(process)


def run_load(server: Server, port: int, *, seconds: float = 60.0, **options: str | float | int) -> Cost:
    """Load `port`; what it cost the process tree of `server`."""
    with loading(port, seconds=seconds, **options) as load:
        written, before = server.log.stat().st_size, cpu_seconds(server.pid)
        load.go()
        result = load.result()
        spent = cpu_seconds(server.pid) - before
    if not result.answered:
        raise ServerError(f"no answer to any of {result.sent} messages")
    return Cost(
        cpu_us=spent / result.answered * 1e6,
        rate=result.answered / result.seconds,
        busy=spent / result.seconds,
        result=result,
        logged=server.logged(after=written),
    )
