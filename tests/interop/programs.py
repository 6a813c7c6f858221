"""Independent SIP programs on the loopback interface: found, started, awaited, ended."""

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

__all__ = ["HOST", "SECONDS", "end", "free_port", "is_taken", "program", "run", "running"]

HOST = "127.0.0.1"
SECONDS = 20
"""How long a program may take."""


def program(name: str) -> str:
    """Where it is; skips the test where it is not installed."""
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
    """Whether somebody listens there."""
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
