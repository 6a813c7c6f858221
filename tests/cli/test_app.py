"""The command line where nothing is served: in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import trio_sip
from trio_sip.cli.app import app

ROOT = Path(__file__).parents[2]
SWORKER = "routes/sworker.py"


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="trio-sip")


def complaint(*arguments: str) -> str:
    """The one line on standard error of a command that cannot be done."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("trio-sip: ")
    return line.removeprefix("trio-sip: ")


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"trio-sip {trio_sip.__version__}\n")


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("check", "--help"), ("ping", "--help")])
def test_help(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: trio-sip ")
    assert result.stdout.isascii()  # no boxes in a pipe


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing command (see trio-sip --help)"),
        (("serv",), "No such command 'serv'"),
        (("serve",), "Missing argument 'ROUTES' (see trio-sip serve --help)"),
        (("serve", SWORKER, "--loud"), "No such option: --loud (see trio-sip serve --help)"),
        (("serve", SWORKER, "--grace", "soon"), "--grace"),
        (("serve", SWORKER, "--grace", "-1"), "--grace"),
        (("serve", SWORKER, "--grace", "inf"), "inf is not a number of seconds"),
        (("serve", SWORKER, "--watchdog", "nan"), "--watchdog"),
        (("serve", SWORKER, "--log-level", "loud"), "--log-level"),
        (("serve", SWORKER, "--log-format", "xml"), "--log-format"),
        (("serve", SWORKER, "--listen", "sctp:127.0.0.1:1"), "listen address 'sctp:127.0.0.1:1'"),
        (("serve", SWORKER, "--listen", "udp:127.0.0.1:65536"), "the port must be a number"),
        (("serve", SWORKER, "--listen", "udp:example.com"), "'example.com' is not an IP address"),
        (("serve", "gone.py"), "gone.py: no such file"),
        (("check", "gone.py"), "gone.py: no such file"),
        (("check", SWORKER, "--listen", "udp"), "listen address 'udp'"),
        (("ping",), "Missing argument 'URI'"),
        (("ping", "example.com"), "URI 'example.com'"),
        (("ping", "sips:example.com"), "write sip:host or sip:host:port"),
        (("ping", "tel:+49"), "write sip:host or sip:host:port"),
        (("ping", "sip:a\nb"), "URI"),
        (("ping", "sip:a:65536"), "65536"),
        (("ping", "sip:a;transport=ws"), "transport ws is not supported"),
        (("ping", "sip:a", "--count", "0"), "--count"),
        (("ping", "sip:a", "--timeout", "0"), "--timeout"),
        (("ping", "sip:a", "--transport", "sctp"), "--transport"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    assert says in complaint(*arguments)


def test_a_mistake_in_a_routes_file_is_one_line(tmp_path: Path) -> None:
    routes = tmp_path / "broken.py"
    routes.write_text("\nraise ValueError('one\\ntwo\\x1b')\n")
    for command in ("serve", "check"):
        assert complaint(command, str(routes)) == f"{routes}:2: ValueError: one two\\x1b"


def test_check() -> None:
    result = run("check", SWORKER, "--listen", "udp:[::1]:5070")
    assert result.exit_code == 0
    groups, routes, listeners = (part.splitlines() for part in result.stdout.split("\n\n"))
    assert groups[0] == "groups"
    assert [line.split()[:3] for line in groups[2:]] == [
        ["default", "4", "1024"],
        ["registrations", "2", "512"],
    ]
    assert [line.split()[0] for line in routes[2:]] == [
        "pre_routing",
        "request_route",
        "request_route",
        "reply_route",
    ]
    assert all(f"{os.path.join('routes', 'sworker.py')}:" in line for line in routes[2:])
    assert [line.split() for line in listeners[2:]] == [["udp", "[::1]:5070"]]


def test_check_shows_what_is_there_by_default(tmp_path: Path) -> None:
    routes = tmp_path / "short.py"
    routes.write_text(
        "from trio_sip import Router\nr = Router()\n@r.request_route\nasync def all_of_it(request): ...\n"
    )
    output = run("check", f"{routes}:r").stdout
    assert "shed" in output  # the group it gets
    assert "(none: all go to group default)" in output
    assert "all_of_it  " in output
    assert f"{routes}:3" in output
    assert "0.0.0.0:5060" in output
