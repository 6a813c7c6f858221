"""`trio-sip serve` and `trio-sip ping` as a user starts them: processes, signals, real sockets."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from trio_sip.address import Address
from trio_sip.testing import make_request

pytestmark = pytest.mark.sockets

ROOT = Path(__file__).parents[2]
SWORKER = "routes/sworker.py"
COMMAND = (sys.executable, "-m", "trio_sip")
PATIENCE = 15.0
BOTH = ("--listen", "udp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0")

SLOW = """\
import trio
from trio_sip import Router

router = Router()

@router.request_route
async def request_route(request):
    request.reply(183)
    with trio.CancelScope(shield=request.method == "CLING"):
        await trio.sleep(0.5 if request.method == "OPTIONS" else 60)
    request.reply(200)
"""

Server = subprocess.Popen[str]
Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command; it is killed with the test if it has not ended by then."""
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        process = subprocess.Popen(
            (*COMMAND, *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=PATIENCE)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*COMMAND, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def listens_on(server: Server) -> dict[str, int]:
    """The ports of its first line, by transport; it listens when that has come."""
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line, server.communicate(timeout=PATIENCE)
    return {match[1]: int(match[2]) for match in re.finditer(r"(udp|tcp):\S+?:(\d+)[,;]", line)}


def stop(server: Server, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    server.send_signal(number)
    output, errors = server.communicate(timeout=PATIENCE)
    return server.returncode, output, errors


def ask(port: int, method: str = "OPTIONS") -> socket.socket:
    """Send a request from a socket of its own."""
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(PATIENCE)
    asking.bind(("127.0.0.1", 0))
    source = Address("127.0.0.1", asking.getsockname()[1])
    asking.sendto(make_request(method, "sip:127.0.0.1", source=source), ("127.0.0.1", port))
    return asking


def slow_routes(tmp_path: Path) -> str:
    routes = tmp_path / "slow.py"
    routes.write_text(SLOW)
    return str(routes)


def test_the_first_line_says_it_all(start: Start) -> None:
    server = start("serve", SWORKER, *BOTH)
    assert server.stdout is not None
    line = server.stdout.readline()
    assert re.fullmatch(
        r"trio-sip \S+: routes/sworker\.py listens on udp:127\.0\.0\.1:\d+, tcp:127\.0\.0\.1:\d+; "
        r"groups default \(4 workers\), registrations \(2 workers\)\n",
        line,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(start: Start, number: signal.Signals) -> None:
    server = start("serve", SWORKER, *BOTH)
    ports = listens_on(server)
    with closing(ask(ports["udp"])) as asking:
        assert asking.recv(65_535).startswith(b"SIP/2.0 200 OK\r\n")
    status, output, errors = stop(server, number)
    assert status == 0
    assert output.splitlines() == [
        f"trio-sip: {number.name}, draining for up to 5 s",
        "trio-sip: stopped; 1 requests, 0 responses, 0 shed, 0 timed out, 0 failed",
    ]
    assert re.fullmatch(r"\S+ \S+ INFO trio_sip\.routes: delegated \[.*\] \[127\.0\.0\.1:\d+\]\n", errors)


def answer(asking: socket.socket) -> bytes:
    """The status code of the next answer."""
    return asking.recv(65_535)[8:11]


def test_what_is_in_work_ends_first(start: Start, tmp_path: Path) -> None:
    server = start("serve", slow_routes(tmp_path), *BOTH)
    with closing(ask(listens_on(server)["udp"])) as asking:
        assert answer(asking) == b"183"
        status, output, _ = stop(server)
        assert answer(asking) == b"200"
    assert status == 0
    assert "stopped; 1 requests" in output


def test_what_does_not_end_within_the_grace_is_cancelled(start: Start, tmp_path: Path) -> None:
    server = start("serve", slow_routes(tmp_path), *BOTH, "--grace", "0.2")
    with closing(ask(listens_on(server)["udp"], "WAIT")) as asking:
        assert answer(asking) == b"183"
        status, output, _ = stop(server)
        assert answer(asking) == b"503"
    assert status == 0
    assert "draining for up to 0.2 s" in output


@pytest.mark.parametrize("method", ["WAIT", "CLING"])
def test_a_second_signal_stops_at_once(start: Start, tmp_path: Path, method: str) -> None:
    server = start("serve", slow_routes(tmp_path), *BOTH, "--grace", "60")
    with closing(ask(listens_on(server)["udp"], method)) as asking:
        assert answer(asking) == b"183"
        server.send_signal(signal.SIGTERM)
        assert server.stdout is not None
        assert "draining" in server.stdout.readline()
        status, output, _ = stop(server, signal.SIGINT)
    assert status == 1
    assert ("stopped at once" if method == "WAIT" else "a route cannot be cancelled") in output


def test_who_reads_the_first_line_may_go(start: Start) -> None:
    server = start("serve", SWORKER, *BOTH)
    listens_on(server)
    assert server.stdout is not None
    server.stdout.close()
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=PATIENCE) == 0
    assert server.stderr is not None
    assert server.stderr.read() == ""


def test_a_port_in_use_is_one_line(start: Start) -> None:
    ports = listens_on(start("serve", SWORKER, *BOTH))
    for transport, port in ports.items():
        address = f"{transport}:127.0.0.1:{port}"
        second = run("serve", SWORKER, "--listen", address)
        assert (second.returncode, second.stdout) == (2, "")
        [line] = second.stderr.splitlines()
        assert line.startswith(f"trio-sip: cannot listen on {address}: Address already in use")


@pytest.mark.parametrize("mistake", [("gone.py",), (SWORKER, "--loud"), (SWORKER, "--listen", "udp:nowhere")])
def test_a_mistake_is_one_line(mistake: tuple[str, ...]) -> None:
    result = run("serve", *mistake)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_logs_as_json_and_levels(start: Start, tmp_path: Path) -> None:
    for level, loggers in (("info", ["trio_sip.routes"]), ("warning", [])):
        server = start("serve", SWORKER, *BOTH, "--log-format", "json", "--log-level", level)
        with closing(ask(listens_on(server)["udp"])) as asking:
            assert answer(asking) == b"200"
        _, _, errors = stop(server)
        assert [json.loads(line)["logger"] for line in errors.splitlines()] == loggers


def test_the_watchdog_is_on_unless_it_is_0(start: Start, tmp_path: Path) -> None:
    routes = tmp_path / "blocking.py"
    routes.write_text(SLOW.replace("await trio.sleep(", "__import__('time').sleep("))
    for seconds, noticed in (("0.1", True), ("0", False)):
        server = start("serve", str(routes), *BOTH, "--watchdog", seconds)
        with closing(ask(listens_on(server)["udp"])) as asking:
            assert [answer(asking), answer(asking)] == [b"183", b"200"]
        _, _, errors = stop(server)
        assert ("the event loop stands still" in errors) is noticed


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_ping_gets_answers(start: Start, transport: str) -> None:
    port = listens_on(start("serve", SWORKER, *BOTH))[transport]
    arguments = ("--transport", transport, "--count", "3", "--interval", "0.05")
    result = run("ping", f"sip:127.0.0.1:{port}", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    *answers, summary = result.stdout.splitlines()
    assert len(answers) == 3
    for number, line in enumerate(answers, 1):
        assert re.fullmatch(rf"{number}: 200 OK from 127\.0\.0\.1:{port} in \d+\.\d\d ms", line)
    assert re.fullmatch(r"3 sent, 3 received, 0% loss; round trip min/avg/max [\d./]+ ms", summary)


def test_ping_over_ipv6_and_by_name(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on the loopback interface")
    four = listens_on(start("serve", SWORKER, *BOTH))["udp"]
    six = listens_on(start("serve", SWORKER, "--listen", "udp:[::1]:0"))["udp"]
    assert run("ping", f"sip:localhost:{four}", "--count", "1").returncode == 0
    assert run("ping", f"sip:ping@[::1]:{six}", "--count", "1").returncode == 0


def test_ping_says_that_nobody_answers() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        result = run("ping", f"sip:127.0.0.1:{port}", "--count", "1", "--timeout", "0.1")
    assert result.returncode == 1
    assert result.stdout.splitlines() == ["1: no answer in 0.1 s", "1 sent, 0 received, 100% loss"]


def test_ctrl_c_ends_a_ping_with_its_summary(start: Start) -> None:
    port = listens_on(start("serve", SWORKER, *BOTH))["udp"]
    pinging = start("ping", f"sip:127.0.0.1:{port}", "--count", "1000", "--interval", "30")
    assert pinging.stdout is not None
    assert pinging.stdout.readline().startswith("1: 200 OK")
    status, output, errors = stop(pinging, signal.SIGINT)
    assert (status, errors) == (0, "")
    assert output.startswith("1 sent, 1 received")


def free_port_of_four_digits() -> int:
    """sipsak writes no more than four digits of a port into its Request-URI."""
    for port in range(9_100, 9_999):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no free port of four digits")


@pytest.mark.peer
def test_sipsak_gets_an_answer(start: Start) -> None:
    sipsak = shutil.which("sipsak")
    if sipsak is None:
        pytest.skip("sipsak is not installed")
    port = free_port_of_four_digits()
    listens_on(start("serve", SWORKER, "--listen", f"udp:127.0.0.1:{port}"))
    result = subprocess.run(
        (sipsak, "-vv", "-s", f"sip:127.0.0.1:{port}"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "SIP/2.0 200 OK" in result.stdout
