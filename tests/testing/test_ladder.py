"""The sequence diagram says who sent what to whom, when, and what became of it, in plain text of a bounded size."""

from __future__ import annotations

import pytest
import trio

from trio_sip.address import Address
from trio_sip.testing import SimulatedNetwork, TraceRecord
from trio_sip.testing.ladder import ladder, render
from trio_sip.testing.trace import Fate

ALICE, ROUTER, BOB = "10.0.0.2", "10.0.0.1", "10.0.0.3"
NAMES = {ALICE: "alice", ROUTER: "router", BOB: "bob"}


def request(method: str, user: str = "bob", call_id: str = "one", body: bytes = b"") -> bytes:
    head = f"{method} sip:{user}@10.0.0.1 SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def response(status: int, reason: str, method: str = "INVITE", call_id: str = "one") -> bytes:
    head = f"SIP/2.0 {status} {reason}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n"
    return f"{head}Content-Length: 0\r\n\r\n".encode()


def sent(
    time: float, source: str, destination: str, data: bytes, fate: Fate = "delivered", *arrivals: float
) -> TraceRecord:
    if not arrivals and fate == "delivered":
        arrivals = (time + 0.010,)
    return TraceRecord(time, "udp", Address(source, 5060), Address(destination, 5060), data, fate, arrivals)


def piece(time: float, source: str, destination: str, data: bytes, fate: Fate = "delivered") -> TraceRecord:
    ports = (49152, 5060) if source == ALICE else (5060, 49152)
    addresses = Address(source, ports[0]), Address(destination, ports[1])
    return TraceRecord(time, "tcp", *addresses, data, fate, () if fate == "stalled" else (time + 0.010,))


def drawn(*records: TraceRecord, **options: object) -> list[str]:
    return render(records, NAMES, ascii_only=False, **options).split("\n")  # type: ignore[arg-type]


def test_a_forwarded_call_with_a_lost_message() -> None:
    invite = request("INVITE")
    assert render(
        [
            sent(0.0, ALICE, ROUTER, invite),
            sent(0.01, ROUTER, BOB, invite, "lost"),
            sent(0.5, ALICE, ROUTER, invite),
            sent(0.51, ROUTER, BOB, invite),
            sent(0.52, BOB, ROUTER, response(180, "Ringing"), "delivered", 0.57),
            sent(0.53, BOB, ROUTER, response(200, "OK"), "duplicated", 0.54, 0.55),
            sent(3.0, ALICE, BOB, request("ACK")),
        ],
        NAMES,
        ascii_only=False,
        notes=[(3.2, "the test ended")],
    ) == "\n".join(
        [
            "   sent   there      alice                     router                       bob",
            "                   10.0.0.2                   10.0.0.1                   10.0.0.3",
            "  0.000   0.010        │────── INVITE bob ───────>│                          │",
            "  0.010    lost        │                          │────── INVITE bob ──────x │",
            "  0.500   0.510        │────── INVITE bob ───────>│                          │  sent again",
            "  0.510   0.520        │                          │────── INVITE bob ───────>│  sent again",
            "  0.520   0.570        │                          │<── 180 Ringing (INVITE) ─│  overtaken",
            "  0.530   0.540        │                          │<──── 200 OK (INVITE) ────│  again at 0.550",
            "      … 2.5 s later    ┊                          ┊                          ┊",
            "  3.000   3.010        │──────── ACK bob ─────────┼─────────────────────────>│",
            "  3.200 ── the test ended",
        ]
    )


def test_every_line_says_when_it_arrives() -> None:
    [line] = drawn(sent(1.5, ALICE, ROUTER, request("OPTIONS"), "delivered", 1.75))[2:]
    assert line.split()[:2] == ["1.500", "1.750"]


@pytest.mark.parametrize(
    ("fate", "remark"),
    [
        ("lost", ""),
        ("partitioned", "partition"),
        ("unreachable", "nobody there"),
        ("overflowed", "overflow"),
        ("too_big", "over the MTU"),
    ],
)
def test_what_is_lost_ends_in_an_x(fate: Fate, remark: str) -> None:
    [line] = drawn(sent(0.0, ALICE, ROUTER, request("OPTIONS"), fate))[2:]
    assert line.split()[1] == "lost"
    assert "x │" in line
    assert ">" not in line
    assert line.rpartition("│")[2].strip() == remark


def test_what_is_sent_again_says_so() -> None:
    invite = request("INVITE")
    lines = drawn(*(sent(time, ALICE, ROUTER, invite) for time in (0, 0.1, 0.2)))[2:]
    assert [line.rpartition("│")[2].strip() for line in lines] == ["", "sent again", "sent again (3)"]


def test_what_arrives_twice_and_what_is_overtaken_say_so() -> None:
    lines = drawn(
        sent(0.0, ALICE, ROUTER, request("INVITE"), "delivered", 0.5),
        sent(0.1, ALICE, ROUTER, request("CANCEL"), "duplicated", 0.2, 0.3),
    )[2:]
    assert [line.rpartition("│")[2].strip() for line in lines] == ["overtaken", "again at 0.300"]


def test_pieces_of_a_stream_are_joined_to_messages() -> None:
    message = request("MESSAGE", body=b"x" * 50)
    lines = drawn(
        piece(0.0, ALICE, ROUTER, message[:30]),
        piece(0.1, ALICE, ROUTER, message[30:] + request("OPTIONS")),
        piece(0.2, ALICE, ROUTER, b"\r\n\r\n"),
        piece(0.3, ROUTER, ALICE, b"\r\n"),
        piece(0.4, ALICE, ROUTER, message[:40]),
    )[2:]
    assert [line[line.index("│") :].partition("│  ")[0].strip("│<═> ") for line in lines] == [
        "MESSAGE bob",
        "OPTIONS bob",
        "keep-alive (ping)",
        "keep-alive (pong)",
        "part of MESSAGE bob",
    ]
    assert lines[0].endswith("│  in 2 pieces")
    assert lines[0].split()[:2] == ["0.000", "0.110"]  # from its first piece to its last
    assert lines[1].split()[:2] == ["0.100", "0.110"]
    assert lines[1].endswith("│")
    assert all("═" in line and "─" not in line for line in lines)


def test_what_is_no_sip_says_so() -> None:
    lines = drawn(
        sent(0.0, ALICE, ROUTER, b"\x1b[2Jhello"), sent(0.1, ALICE, ROUTER, b"\0\0"), sent(0.2, ALICE, ROUTER, b"")
    )
    assert " 9 bytes, not SIP " in lines[2]
    assert lines[2].endswith(r"b'\x1b[2Jhello'")
    assert " keep-alive " in lines[3]
    assert " nothing " in lines[4]


def test_calls_are_told_apart() -> None:
    lines = drawn(
        sent(0.0, ALICE, ROUTER, request("INVITE", call_id="one")),
        sent(0.1, ALICE, ROUTER, request("INVITE", call_id="two\x1b")),
        sent(0.2, ROUTER, ALICE, response(200, "OK", call_id="one")),
    )
    assert [line.split()[2] for line in lines[2:5]] == ["#1", "#2", "#1"]
    assert [line.strip() for line in lines[5:]] == ["#1 Call-ID one", "#2 Call-ID two?"]


def test_time_that_passes_has_a_line() -> None:
    lines = drawn(sent(0.0, ALICE, ROUTER, request("INVITE")), sent(32.0, ALICE, ROUTER, request("INVITE")))
    assert "32.0 s later" in lines[3]


def test_who_got_nothing_has_a_column_too() -> None:
    [names, hosts, _] = drawn(sent(0.0, ALICE, ROUTER, request("INVITE")))
    assert names.split()[2:] == ["alice", "router", "bob"]
    assert hosts.split() == [ALICE, ROUTER, BOB]


def test_six_parties_fit_on_100_columns() -> None:
    names = {f"10.0.0.{n}": f"party {n}" for n in range(1, 7)}
    records = [sent(n, "10.0.0.1", f"10.0.0.{n}", request("INVITE", f"user{n}"), "lost") for n in range(2, 7)]
    lines = render(records, names, ascii_only=False).split("\n")
    assert max(map(len, lines)) <= 100
    assert all(name in lines[0] for name in names.values())
    assert "INVITE" in lines[2]
    assert " INVITE user6 " in lines[-1]


@pytest.mark.parametrize("width", [60, 80, 100, 130])
@pytest.mark.parametrize("parties", [1, 2, 3, 6, 8, 30])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_nothing_is_wider_than_asked_for(width: int, parties: int, ascii_only: bool) -> None:
    hosts = ["2001:db8:1234:5678:9abc:def0:1234:5678", *(f"2001:db8::{n:x}" for n in range(1, parties))]
    fates: tuple[Fate, ...] = ("delivered", "lost", "duplicated", "partitioned", "too_big") * 8
    records = [
        sent(n, hosts[n % parties], hosts[(n + 1) % parties], response(481, "Call/Transaction Does Not Exist"), fate)
        for n, fate in enumerate(fates)
    ]
    text = render(records, {hosts[0]: "someone with a long name"}, width=width, ascii_only=ascii_only)
    assert max(map(len, text.split("\n"))) <= width
    assert text.isascii() is ascii_only
    assert text.count("481") == 40


def test_lines_are_bounded_and_what_is_left_out_is_counted() -> None:
    lines = drawn(*(sent(n / 100, ALICE, ROUTER, request("OPTIONS", f"user{n}")) for n in range(1000)), lines=50)
    assert len(lines) == 2 + 50 + 1
    assert "(950 more messages between, not shown)" in lines[22]
    assert "user19 " in lines[21]
    assert "user999 " in lines[-1]


@pytest.mark.parametrize("options", [{"width": 59}, {"lines": 0}])
def test_bounds_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        drawn(**options)


def test_nothing_sent() -> None:
    assert drawn() == ["(nothing was sent)"]


async def test_of_a_network(autojump_clock: trio.abc.Clock) -> None:
    network = SimulatedNetwork()
    alice = network.endpoint(ALICE)
    network.names[ALICE] = "alice"
    alice.send(request("OPTIONS"), to=BOB)
    text = ladder(network)
    assert "alice" in text
    assert "nobody there" in text
