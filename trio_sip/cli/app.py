"""The typer application: options, and what an error looks like.

Whatever the user can set right (a flag, an address in use, a routes file) is one line on standard error and
exit status 2. A traceback is a bug of ours.
"""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any

import trio
import typer
from typer.core import TyperGroup

import trio_sip
from trio_sip.address import ListenAddress
from trio_sip.cli.check import describe_router
from trio_sip.cli.logs import LogFormat, LogLevel, set_up_logging
from trio_sip.cli.options_client import Transport, read_target
from trio_sip.cli.output import complain, say
from trio_sip.cli.ping import ping_until_done
from trio_sip.cli.serve import ServerRun
from trio_sip.errors import SipError
from trio_sip.routing.load import load_router
from trio_sip.server import DEFAULT_GRACE

__all__ = ["app", "main"]

MISTAKE = 2
"""Exit status where the user has to change something."""
INTERRUPTED = 130
DEFAULT_LISTEN = ("udp:0.0.0.0:5060", "tcp:0.0.0.0:5060")

_USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]
"""What typer raises for any usage error; it has no public name of its own."""


class _PlainGroup(TyperGroup):
    """Commands whose mistakes are one line. A command returns its exit status, or None for 0."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except _USAGE_ERROR as error:
            command = error.ctx.command_path if error.ctx else "trio-sip"
            complain(f"{error.format_message().rstrip('.')} (see {command} --help)")
            status = MISTAKE
        except SipError as error:
            complain(str(error))
            status = MISTAKE
        except typer.Abort:
            status = INTERRUPTED
        sys.exit(status)


app = typer.Typer(
    name="trio-sip",
    cls=_PlainGroup,
    help="A programmable SIP router.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number of seconds")
    return value


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"trio-sip {trio_sip.__version__}")
        raise typer.Exit


Routes = Annotated[
    str,
    typer.Argument(
        metavar="ROUTES", help="file.py, file.py:name or package.module:name; the name is router by default."
    ),
]
Listen = Annotated[
    list[str],
    typer.Option(
        "--listen",
        metavar="ADDRESS",
        help="Where to listen, as in udp:0.0.0.0:5060, tcp:[::1]:5060; port 0 takes a free one. Repeatable.",
    ),
]


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """A programmable SIP router: routes in typed Python, worker groups, Trio."""


@app.command("serve")
def serve(
    routes: Routes,
    listen: Listen = list(DEFAULT_LISTEN),  # noqa: B006  (typer copies it)
    log_level: Annotated[LogLevel, typer.Option(help="Log from this level up, on standard error.")] = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option(help="Log as lines of text or as JSON.")] = LogFormat.TEXT,
    grace: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            callback=_finite,
            help="For the messages in work to end, once told to stop.",
        ),
    ] = DEFAULT_GRACE,
    watchdog: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            callback=_finite,
            help="Log the line that holds the event loop for longer; 0 = off.",
        ),
    ] = 0.25,
) -> int:
    """Serve a routes file.

    SIGTERM and Ctrl-C drain: no more is received, what is in work ends within --grace, exit status 0. A
    second one stops at once, exit status 1. What cannot be served at all (routes file, address, flag) is exit
    status 2.
    """
    _read_addresses(listen)
    set_up_logging(log_level, log_format)
    router = load_router(routes)
    return trio.run(ServerRun(routes, router, listen, grace=grace, watchdog=watchdog or None).run)


@app.command("check")
def check(routes: Routes, listen: Listen = list(DEFAULT_LISTEN)) -> None:  # noqa: B006
    """Load a routes file and show its groups, routes and listeners, or what is wrong (exit status 2)."""
    addresses = _read_addresses(listen)
    say(describe_router(load_router(routes), addresses))


@app.command("ping")
def ping(
    uri: Annotated[str, typer.Argument(metavar="URI", help="sip:host, sip:host:port, sip:user@[::1]:5060")],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many to send.")] = 4,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, callback=_finite, help="From one to the next.")
    ] = 1.0,
    transport: Annotated[
        Transport | None, typer.Option(help="Default: what the URI says, else udp.", show_default=False)
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, callback=_finite, help="To wait for each answer.")
    ] = 5.0,
) -> int:
    """Send OPTIONS and show the answers with their round-trip times.

    Exit status 0: it answered, whatever the status. 1: it did not. 2: the URI is no good.
    """
    target = read_target(uri, transport)
    return trio.run(ping_until_done, target, count, interval, timeout)


def _read_addresses(listen: list[str]) -> list[ListenAddress]:
    return [ListenAddress.parse(text) for text in listen]


def main() -> None:
    """The entry point of `trio-sip` and of `python -m trio_sip`."""
    app(prog_name="trio-sip")
