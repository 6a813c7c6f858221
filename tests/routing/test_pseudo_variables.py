"""Pseudo-variables on frames, requests and responses. The values are those Kamailio 5.6 printed for the same messages,
except where a comment says otherwise.
"""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
import trio

from trio_sip.address import Address
from trio_sip.errors import LocalProtocolError
from trio_sip.message.frame import Frame
from trio_sip.message.parse import read_any_request, read_response
from trio_sip.routing import pseudo_variables
from trio_sip.routing.pseudo_variables import HOLE, MAX_WARNED, PSEUDO_VARIABLES, expand, find_mistakes, value_of
from trio_sip.routing.request import Request
from trio_sip.routing.response import Response

INVITE = b"""\
INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:25061;branch=z9hG4bK1;rport
Max-Forwards: 70
From: "Al \\"B\\" C" <sip:alice@a.example:5070;user=phone>;tag=ft1
t: Bob Hope <sip:bob@b.example>
Call-ID: cid-1@h
CSeq: 0042 INVITE
Contact: <sip:alice@10.0.0.2>, <sip:al2@10.0.0.3>
Contact: <sip:third@10.0.0.4>
User-Agent: UA/1
s:   hello
 there
Route: <sip:r1;lr>, <sip:r2;lr>
Route: <sip:r3;lr>
Content-Type: text/plain
Content-Length: 5

body!""".replace(b"\n", b"\r\n")

BARE = b"""\
OPTIONS sips:[2001:db8::1]:5062 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:25061;branch=z9hG4bK2
From: "" <sip:a@[::1]:99>;tag=1
To: <sips:b.example>
Call-ID: cid-2
CSeq: 7 OPTIONS
Max-Forwards: 70

""".replace(b"\n", b"\r\n")

TELEPHONE = BARE.replace(b"sips:[2001:db8::1]:5062", b"tel:+4930123").replace(b"<sips:b.example>", b"<sip:b:pw@c>")

RINGING = b"""\
SIP/2.0 180 Ringing Now
Via: SIP/2.0/UDP 127.0.0.1:25060;branch=z9hG4bK9
Via: SIP/2.0/UDP 127.0.0.1:25061;branch=z9hG4bK1
From: <sip:a@b>;tag=1
To: <sip:b@c>;tag=totag
Call-ID: cid-4
CSeq: 3 INVITE
Content-Length: 0

""".replace(b"\n", b"\r\n")


class _Flow:
    transport = "tcp"
    remote = Address("192.0.2.7", 5071)
    local = Address("2001:db8::9", 5060)


def frame_of(data: bytes) -> Frame:
    return Frame(data, cast("Any", _Flow()), 0.0, cast("Any", None))


def message_of(data: bytes) -> Request | Response:
    """As a route gets it."""
    if data.startswith(b"SIP/"):
        response = Response(frame_of(data), None, cast("Any", None))
        read_response(response, data)
        return response
    request = Request(frame_of(data), None, cast("Any", None))
    read_any_request(request, data)
    return request


INVITE_VALUES = {
    "$rm": "INVITE",
    "$ru": "sip:bob@example.com",
    "$rU": "bob",
    "$rd": "example.com",
    "$rp": "5060",
    "$rs": "<null>",
    "$rr": "<null>",
    "$fu": "sip:alice@a.example:5070;user=phone",
    "$fU": "alice",
    "$fd": "a.example",
    "$fn": '"Al \\"B\\" C"',
    "$ft": "ft1",
    "$tu": "sip:bob@b.example",
    "$tU": "bob",
    "$td": "b.example",
    "$tn": "Bob Hope",
    "$tt": "<null>",
    "$ci": "cid-1@h",
    "$cs": "0042",
    "$ct": "<sip:alice@10.0.0.2>, <sip:al2@10.0.0.3>",  # the first line
    "$cl": "5",
    "$ua": "UA/1",
    "$si": "192.0.2.7",
    "$sp": "5071",
    "$Ri": "2001:db8::9",
    "$Rp": "5060",
    "$pr": "tcp",
    "$proto": "tcp",
    "$rb": "body!",
    "$ml": str(len(INVITE)),
    "$mb": INVITE.decode(),
    "$hdr(Subject)": "hello there",  # Kamailio prints the line break, too
    "$hdr(s)": "hello there",
    "$hdr(X-None)": "<null>",
    "$(rm)": "INVITE",
    "$(hdr(Subject))": "hello there",
    "$(hdr(Route)[0])": "<sip:r1;lr>, <sip:r2;lr>",
    "$(hdr(Route)[1])": "<sip:r3;lr>",
    "$(hdr(Route)[-1])": "<sip:r3;lr>",
    "$(hdr(Route)[2])": "<null>",
    "$(hdr(Route)[-3])": "<null>",
    "$(hdr(Route)[*])": "<sip:r1;lr>, <sip:r2;lr>,<sip:r3;lr>",
    "$(hdr(X-None)[*])": "<null>",
    "$var(x)": "<null>",  # never set: 0 in Kamailio, whose $vn(x) this is
    "$null": "<null>",
    "$$": "$",
}

OTHERS = [
    (BARE, {"$rU": "<null>", "$rd": "[2001:db8::1]", "$rp": "5062", "$fn": '""', "$fd": "[::1]", "$tU": "<null>"}),
    (BARE, {"$tn": "<null>", "$ct": "<null>", "$cl": "<null>", "$ua": "<null>", "$rb": "", "$hdr(Subject)": "<null>"}),
    (TELEPHONE, {"$ru": "tel:+4930123", "$rU": "+4930123", "$rd": "<null>", "$rp": "5060", "$tu": "sip:b:pw@c"}),
    (TELEPHONE, {"$tU": "b"}),
    (RINGING, {"$rm": "INVITE", "$ru": "<null>", "$rU": "<null>", "$rd": "<null>", "$rp": "<null>", "$tt": "totag"}),
    (RINGING, {"$rs": "180", "$rr": "Ringing Now", "$cs": "3", "$rb": "", "$ml": str(len(RINGING))}),
]


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        *((INVITE, name, value) for name, value in INVITE_VALUES.items()),
        *((data, name, value) for data, values in OTHERS for name, value in values.items()),
    ],
)
def test_the_value_is_the_same_on_a_frame_and_on_the_message(data: bytes, name: str, value: str) -> None:
    assert expand(frame_of(data), name) == value
    assert expand(message_of(data), name) == value


def test_the_table_above_leaves_none_out() -> None:
    named = {name.replace("(name)", "") for name in PSEUDO_VARIABLES}
    tested = {name.split("(")[0] for name in INVITE_VALUES if not name.startswith("$(")}
    assert named - tested == {"$Tf", "$Ts"}


def test_the_time() -> None:
    before = int(time.time())
    text, seconds = expand(frame_of(BARE), "$Tf|$Ts").split("|")
    assert before <= int(seconds) <= time.time()
    assert 0 <= time.mktime(time.strptime(text, "%a %b %d %H:%M:%S %Y")) - before < 5


def test_a_request_that_was_changed() -> None:
    request = message_of(INVITE)
    assert isinstance(request, Request)
    request.uri = "sip:carol@10.0.0.9:5090"
    request.headers.set("To", "<sip:carol@c.example>;tag=9")
    request.headers.remove("User-Agent")
    request.headers.set("Subject", "new")
    request.body = b"longer body"
    assert expand(request, "$ru $rU $rp") == "sip:carol@10.0.0.9:5090 carol 5090"
    assert expand(request, "$tU $tt $ua $hdr(Subject)") == "carol 9 <null> new"
    assert expand(request, "$rb $cl") == "longer body 11"
    whole = expand(request, "$mb")
    assert whole.startswith("INVITE sip:carol@10.0.0.9:5090 SIP/2.0\r\n")
    assert whole.endswith("Content-Length: 11\r\n\r\nlonger body")
    assert expand(request, "$ml") == str(len(whole))
    assert expand(request.frame, "$rU $ua") == "bob UA/1"


def test_a_request_whose_uri_alone_was_changed_is_not_what_was_received() -> None:
    request = message_of(INVITE)
    assert isinstance(request, Request)
    request.uri = "sip:b@c"
    assert expand(request, "$mb").startswith("INVITE sip:b@c SIP/2.0\r\n")


def test_a_response_that_was_changed() -> None:
    response = message_of(RINGING)
    assert isinstance(response, Response)
    response.status, response.reason = 183, "Session Progress"
    assert expand(response, "$rs $rr") == "183 Session Progress"
    assert expand(response, "$mb").startswith("SIP/2.0 183 Session Progress\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"INVITE",
        b"INVITE sip:a",
        b"SIP/2.0 200",
        b"SIP/2.0 banana\r\n\r\n",
        b"INVITE \xff\xfe SIP/2.0\r\nFrom: <\xff>;tag=1\r\nTo: <<>\r\nCSeq: \r\nContact:\r\n",
        INVITE.replace(b"<", b">"),
    ],
)
def test_on_a_frame_of_garbage_nothing_raises(data: bytes) -> None:
    text = " ".join(PSEUDO_VARIABLES).replace("(name)", "(Route)") + " $(hdr(Route)[-1]) $(hdr(Route)[*])"
    expand(frame_of(data), text).encode()


def test_bytes_that_are_not_utf_8_can_be_logged() -> None:
    frame = frame_of(INVITE.replace(b"UA/1", b"UA/\xff\xc3\xa9"))
    assert expand(frame, "$ua") == "UA/�é"
    assert value_of(frame, "$ua") == "UA/\udcffé"  # as it is elsewhere, and as it can be sent again


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("100 $ and 5 €", "100 $ and 5 €"),
        ("from $si.", "from 192.0.2.7."),
        ("[$si:$sp]", "[192.0.2.7:5071]"),
        ("$rm(x)", "INVITE(x)"),
        ("$$rm $$$rm", "$rm $INVITE"),
        ("$hdr(CSeq)$cs", "0042 INVITE0042"),
    ],
)
def test_text_around_them(text: str, shown: str) -> None:
    assert expand(frame_of(INVITE), text) == shown
    assert list(find_mistakes(text)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$rM", "$rM is not a pseudo-variable; did you mean $rm? There are $rm $ru "),
        ("a$Fu", "$Fu is not a pseudo-variable; did you mean $fu? "),
        ("$protocol", "did you mean $proto?"),
        ("$src_ip", "did you mean $si?"),
        ("$avp(x)", "$avp is not a pseudo-variable; did you mean $var(name)?"),
        ("$qqqq", "$qqqq is not a pseudo-variable. There are $rm "),
        ("costs $5", "$5 is not a pseudo-variable. There are $rm $ru "),
        ("$rmx", "$rmx is not a pseudo-variable; did you mean $rm?"),
        ("$(rx)", "$rx is not a pseudo-variable"),
        ("$hdr", "$hdr needs a name in parentheses, as in $hdr(Subject)"),
        ("$hdr()", "$hdr needs a name in parentheses, as in $hdr(Subject)"),
        ("$hdr(Subject", "$hdr needs a name in parentheses"),
        ("$var", "$var needs a name in parentheses, as in $var(count)"),
        ("$hdr(a b)", "$hdr(a b): 'a b' is not a header name"),
        ("$(var(x)[0])", "$var(x) has no index"),
        ("$(rm[1])", "$(rm[1]): $rm has neither a name in parentheses nor an index"),
        ("$(ru{uri.user})", "$(ru{uri.user}) is not understood: between $( and ) stands"),
        ("$(", "$( is not understood"),
    ],
)
def test_a_mistake_says_what_and_what_to_do(text: str, message: str) -> None:
    [mistake] = find_mistakes(text)
    assert message in mistake
    if "is not a pseudo-variable" in mistake:
        assert mistake.endswith("$hdr(name) $var(name); a dollar is $$")


def test_a_mistake_in_a_part_not_known_yet_is_not_judged() -> None:
    for text in (f"$r{HOLE}", f"$hdr({HOLE})", f"$(hdr({HOLE})[0])", f"$({HOLE}"):
        assert list(find_mistakes(text)) == []
    assert len(list(find_mistakes(f"$rM {HOLE} $rM"))) == 2


def test_at_run_time_a_mistake_stays_as_it_is_and_is_warned_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pseudo_variables, "_warned", set())
    frame = frame_of(INVITE)
    for number in range(3):
        assert expand(frame, f"{number} $once $rm $(rm[1]) $hdr(") == f"{number} $once INVITE $(rm[1]) $hdr("
    told = [line for line in caplog.messages if "$once" in line]
    assert len(told) == 1
    assert told[0].endswith("a dollar is $$; it stays as it is")
    for number in range(2 * MAX_WARNED):  # formats may be made of what a peer wrote
        expand(frame, f"$n{number}")
    assert len(caplog.messages) <= MAX_WARNED


def test_the_value_of_one() -> None:
    frame = frame_of(INVITE)
    assert value_of(frame, "$sp") == 5071
    assert value_of(frame, "$tt") is None
    assert value_of(frame, "$(hdr(Route)[-1])") == "<sip:r3;lr>"
    for wrong in ("rm", "", "$rm $ru", "$$", "$rm "):
        with pytest.raises(LocalProtocolError, match="is not one pseudo-variable"):
            value_of(frame, wrong)
    with pytest.raises(LocalProtocolError, match=r"did you mean \$rm\?"):
        value_of(frame, "$rM")


async def test_a_variable_outside_any_route_is_nothing() -> None:
    await trio.lowlevel.checkpoint()
    assert value_of(frame_of(INVITE), "$var(x)") is None
