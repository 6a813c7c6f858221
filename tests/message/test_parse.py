from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from time import process_time
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_messages import OPTIONS, RINGING, VALID, answer, forgetful, near_sip, replaced, request

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message import shapes
from trio_sip.message.limits import MAX_BODY_BYTES, MAX_HEADER_LINES
from trio_sip.message.model import Request, Response
from trio_sip.message.parse import parse
from trio_sip.message.peek import peek_call_id, peek_header, peek_lines, peek_method, peek_status
from trio_sip.message.salvage import _NEEDED, salvage_request


@pytest.fixture(autouse=True)
def unlearned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The general reader alone: no test here is read by a shape."""
    monkeypatch.setattr(shapes, "LEARN_AFTER", 10**9)
    monkeypatch.setattr(shapes, "REQUESTS", forgetful(shapes.REQUESTS))
    monkeypatch.setattr(shapes, "RESPONSES", forgetful(shapes.RESPONSES))


def parse_request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def parse_response(data: bytes) -> Response:
    message = parse(data)
    assert isinstance(message, Response)
    return message


def test_a_request() -> None:
    message = parse_request(OPTIONS)
    assert (message.method, message.uri_text, message.received_uri) == (
        "OPTIONS",
        "sip:bob@example.net",
        b"sip:bob@example.net",
    )
    assert message.sent_by == Address("192.0.2.4", 5062)
    assert (message.branch, message.wants_rport, message.plain_via) == (b"z9hG4bK77asjd", True, True)
    assert (message.from_value, message.from_tag) == (b"<sip:alice@example.com>;tag=98asjd8", b"98asjd8")
    assert (message.to_value, message.to_tag) == (b"<sip:bob@example.net>", None)
    assert (message.call_id, message.cseq_number, message.max_forwards) == ("7c1a@192.0.2.4", 31, 70)
    assert message.body == b""


def test_a_response() -> None:
    message = parse_response(RINGING)
    assert (message.status, message.reason, message.method) == (180, "Ringing", "OPTIONS")
    assert message.from_.display_name == "Alice, at home"
    assert [via.host for via in message.vias] == ["192.0.2.1", "192.0.2.4"]
    assert message.to_tag == b"7f"


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_what_is_accepted(data: bytes) -> None:
    assert parse(data).data == data


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n", b"\r\n" * 100])
def test_empty_lines_before_a_message_are_skipped(before: bytes) -> None:
    assert parse(before + OPTIONS).data == OPTIONS


def test_folds_are_one_space() -> None:
    message = parse(VALID["folded"])
    assert message.headers["Subject"] == "one two three"
    assert (message.headers["X-Empty"], message.headers["X-Blank"]) == ("", "")
    folded = parse(VALID["folded to"])
    assert folded.to_value == b'"Bob Smith" <sip:bob@example.net> ;x=y'
    assert folded.to.display_name == "Bob Smith"


def test_compact_forms_are_their_long_forms() -> None:
    message = parse(VALID["compact"])
    assert message.keys == ("via", "from", "to", "call-id", "cseq", "contact", "subject", "content-length")
    assert (message.headers["Subject"], message.headers["m"], message.body) == ("hi", "<sip:a@h>", b"hi")


def test_vias_of_one_line_and_of_many() -> None:
    message = parse(VALID["many vias"])
    assert [via.host for via in message.vias] == ["h", "g", "f", "e"]
    assert message.top_via == b'SIP/2.0/UDP h;branch=z9hG4bK1;x="a,b\\""'
    assert not message.plain_via


def test_escaped_nul_in_quotes_is_text() -> None:
    assert parse(VALID["quoted nul"]).to.display_name == 'a\0b"'


def test_bytes_survive_as_text() -> None:
    value = parse(VALID["high bits"]).headers["Subject"]
    assert value.encode("utf-8", "surrogateescape") == b"\x80\xff\xfe"
    assert parse(VALID["utf-8"]).headers["Subject"] == "Gr\u00fc\u00dfe"


def test_an_escape_in_a_method_is_none() -> None:
    assert parse_request(VALID["percent method"]).method == "O%50TIONS"


def test_leading_zeros() -> None:
    message = parse_request(VALID["zero padded"])
    assert (message.max_forwards, message.cseq_number) == (70, 31)


def test_what_follows_content_length_is_not_the_body() -> None:
    data = request(b"l: 5", body=b"hello, INVITE sip:x SIP/2.0\r\n", length=False)
    assert parse(data).body == b"hello"


def test_without_content_length_the_rest_of_a_datagram_is_the_body() -> None:
    assert parse(VALID["body without length"]).body == b"hello\r\n\r\n"


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "empty lines": b"\r\n\r\n\r\n\r\n",
    "no empty line": OPTIONS[:-2],
    "bare lf": OPTIONS.replace(b"\r\n", b"\n"),
    "bare cr": OPTIONS.replace(b"\r\n", b"\r"),
    "lf in a value": request(b"Subject: a\nX: b"),
    "cr in a value": request(b"Subject: a\rX: b"),
    "nul in a value": request(b"Subject: a\0b"),
    "nul in quotes": replaced(b"To", b'To: "a\0b" <sip:bob@example.net>'),
    "escaped cr": request(b'Subject: "a\\\rb"'),
    "escaped lf": request(b'Subject: "a\\\nb"'),
    "escaped escape before cr": request(b'Subject: "a\\\\\rb"'),
    "cr before crlf": request(b"Subject: a\r"),
    "lf before crlf": request(b"Subject: a\n"),
    "nul in the start line": request(start=b"OPTIONS sip:bob@example.net\0 SIP/2.0"),
    "no colon": request(b"Subject"),
    "no name": request(b": x"),
    "name with a space": request(b"Sub ject: x"),
    "name with a control": request(b"Subject\x0b: x"),
    "name beyond ascii": request(b"Subject\xc2\xa0: x"),
    "fold before the colon": request(b"Subject\r\n : x"),
    "start line folded": request(start=b"OPTIONS sip:bob@example.net\r\n SIP/2.0"),
    "fold after the start line": OPTIONS.replace(b"SIP/2.0\r\nVia", b"SIP/2.0\r\n Via", 1),
    "two spaces": request(start=b"OPTIONS  sip:bob@example.net SIP/2.0"),
    "tab": request(start=b"OPTIONS\tsip:bob@example.net SIP/2.0"),
    "space before": request(start=b" OPTIONS sip:bob@example.net SIP/2.0"),
    "space behind": request(start=b"OPTIONS sip:bob@example.net SIP/2.0 "),
    "space in the uri": request(start=b"OPTIONS sip:bob@example.net; lr SIP/2.0"),
    "uri in brackets": request(start=b"OPTIONS <sip:bob@example.net> SIP/2.0"),
    "no uri": request(start=b"OPTIONS SIP/2.0"),
    "no version": request(start=b"OPTIONS sip:bob@example.net"),
    "http": request(start=b"OPTIONS / HTTP/1.1"),
    "version in letters": request(start=b"OPTIONS sip:bob@example.net SIP/two"),
    "method not a token": request(start=b"OPT(IONS sip:bob@example.net SIP/2.0"),
    "method beyond ascii": request(start=b"OPTI\xd6NS sip:bob@example.net SIP/2.0"),
    "long method": replaced(b"CSeq", b"CSeq: 1 " + b"A" * 33, data=request(start=b"A" * 33 + b" sip:a@b SIP/2.0")),
    "other method in cseq": replaced(b"CSeq", b"CSeq: 31 INVITE"),
    "case of the method": replaced(b"CSeq", b"CSeq: 31 options"),
    "cseq alone": replaced(b"CSeq", b"CSeq: 31"),
    "cseq too large": replaced(b"CSeq", b"CSeq: 2147483648 OPTIONS"),
    "cseq negative": replaced(b"CSeq", b"CSeq: -1 OPTIONS"),
    "cseq with sign": replaced(b"CSeq", b"CSeq: +1 OPTIONS"),
    "cseq with underscore": replaced(b"CSeq", b"CSeq: 1_0 OPTIONS"),
    "cseq in other digits": replaced(b"CSeq", "CSeq: \u0663\u0661 OPTIONS".encode()),
    "cseq of 5000 digits": replaced(b"CSeq", b"CSeq: " + b"9" * 5000 + b" OPTIONS"),
    "empty cseq": replaced(b"CSeq", b"CSeq: "),
    "empty call-id": replaced(b"Call-ID", b"Call-ID: "),
    "call-id with a space": replaced(b"Call-ID", b"Call-ID: a b"),
    "call-id beyond ascii": replaced(b"Call-ID", b"Call-ID: a\xff"),
    "empty via": replaced(b"Via", b"Via: "),
    "via of http": replaced(b"Via", b"Via: HTTP/1.1/TCP h"),
    "via with two branches": replaced(b"Via", b"Via: SIP/2.0/UDP h;branch=z9hG4bK1;branch=z9hG4bK2"),
    "via with a bad port": replaced(b"Via", b"Via: SIP/2.0/UDP h:65536;branch=z9hG4bK1"),
    "via ends in a comma": replaced(b"Via", b"Via: SIP/2.0/UDP h;branch=z9hG4bK1,"),
    "quote not closed": replaced(b"To", b'To: "Bob <sip:bob@example.net>'),
    "angle not closed": replaced(b"To", b"To: <sip:bob@example.net"),
    "spaces in angles": replaced(b"To", b"To: < sip:bob@example.net >"),
    "two tags": replaced(b"From", b"From: <sip:a@b>;tag=1;tag=2"),
    "bare display name": replaced(b"To", b"To: Bell, Alexander <sip:bob@example.net>"),
    "max-forwards too large": replaced(b"Max-Forwards", b"Max-Forwards: 256"),
    "max-forwards empty": replaced(b"Max-Forwards", b"Max-Forwards:"),
    "max-forwards negative": replaced(b"Max-Forwards", b"Max-Forwards: -1"),
    "max-forwards with underscore": replaced(b"Max-Forwards", b"Max-Forwards: 7_0"),
    "length too large": request(b"Content-Length: 1", length=False),
    "length negative": request(b"Content-Length: -1", length=False),
    "length with sign": request(b"Content-Length: +0", length=False),
    "length empty": request(b"Content-Length: ", length=False),
    "length with underscore": request(b"Content-Length: 1_0", body=b"0123456789", length=False),
    "length in other digits": request("Content-Length: \u0660".encode(), length=False),
    "length of 5000 digits": request(b"Content-Length: " + b"1" * 5000, length=False),
    "length past the bound": request(
        b"Content-Length: %d" % (MAX_BODY_BYTES + 1), body=bytes(MAX_BODY_BYTES + 1), length=False
    ),
    "257 lines": request(*[b"X-%d: y" % number for number in range(MAX_HEADER_LINES - 6)]),
    "5000 lines": request(*[b"X: y"] * 5000),
    "5000 folds": request(b"X: y" + b"\r\n y" * 5000),
    "status of two digits": answer(start=b"SIP/2.0 18 Ringing"),
    "status of four digits": answer(start=b"SIP/2.0 1800 Ringing"),
    "status zero": answer(start=b"SIP/2.0 000 Zero"),
    "status 700": answer(start=b"SIP/2.0 700 Sevenhundred"),
    "escaped nul in a reason": answer(start=b'SIP/2.0 180 "\\\0"'),
    "status without a space": answer(start=b"SIP/2.0 180"),
    "status in other digits": answer(start="SIP/2.0 \u0661\u0668\u0660 Ringing".encode()),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        parse(data)
    assert refused.value.status == 400


@pytest.mark.parametrize("version", [b"SIP/7.0", b"SIP/2.1", b"SIP/1.0", b"SIP/02.0", b"sip/22222222222222222222.0"])
def test_another_version_is_505(version: bytes) -> None:
    for data in (
        request(start=b"OPTIONS sip:bob@example.net " + version),
        answer(start=version + b" 200 OK"),
    ):
        with pytest.raises(RemoteProtocolError) as refused:
            parse(data)
        assert refused.value.status == 505


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_a_mandatory_header_is_missed(name: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=f"the {name.decode()} header is missing"):
        parse(replaced(name))


@pytest.mark.parametrize(
    "line",
    [
        b"f: <sip:a@b>",
        b"To: <sip:c@d>",
        b"i: y",
        b"CSeq: 31 OPTIONS",
        b"l: 0",
        b"Max-forwards: 70",
        b"Content-Type: a/b\r\nc: a/b",
    ],
)
def test_what_may_stand_once_does_not_stand_twice(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="more than one "):
        parse(request(line))


def test_the_same_thing_is_complained_about_every_time() -> None:
    with pytest.raises(RemoteProtocolError, match="more than one from header"):
        parse(request(b"CSeq: 1 OPTIONS", b"Max-Forwards: 1", b"i: x", b"To: <sip:a@b>", b"f: <sip:a@b>"))


# Whatever comes


def read_in_every_way(data: bytes) -> None:
    """None of these may raise anything but what it documents."""
    try:
        message = parse(data)
    except RemoteProtocolError as error:
        statuses = {400, 505}
        statuses.remove(error.status)
    else:
        assert (message.body_at, message.body_end) <= (message.body_end, len(data))
    peek_method(data)
    peek_status(data)
    peek_call_id(data)
    peek_header(data, "contact")
    peek_lines(data, _NEEDED)
    salvage_request(Request(), data)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_in_every_way(data)


@settings(max_examples=700, deadline=None, derandomize=True)
@given(near_sip())
def test_nearly_sip_is_read_or_refused(data: bytes) -> None:
    read_in_every_way(data)


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_every_end_is_read_or_refused(data: bytes) -> None:
    for end in range(min(len(data), 900)):
        read_in_every_way(data[:end])


# What is salvaged of a malformed request


@pytest.mark.parametrize(
    "data",
    [
        OPTIONS,
        request(b"no colon"),
        request(start=b"OPTIONS sip:bob@example.net; lr SIP/2.0"),
        request(start=b"OPTIONS sip:bob@example.net SIP/2.0  "),
        request(start=b"OPTIONS sip:bob@example.net SIP/3.0"),
        request(b"Content-Length: 99", length=False),
        replaced(b"To", b'To: "Bob <sip:bob@example.net>'),
        replaced(b"CSeq", b"CSeq: 99999999999999 OPTIONS"),
        request(b"CSeq: 31 OPTIONS"),
        OPTIONS[:-2],
    ],
)
def test_enough_to_answer_is_found(data: bytes) -> None:
    message = Request()
    assert salvage_request(message, data)
    assert (message.method, message.call_id) == ("OPTIONS", "7c1a@192.0.2.4")
    assert message.sent_by == Address("192.0.2.4", 5062)
    assert message.from_value == b"<sip:alice@example.com>;tag=98asjd8"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        RINGING,
        replaced(b"Via"),
        replaced(b"Via", b"Via: nonsense"),
        replaced(b"Call-ID", b"Call-ID: a\0b"),
        OPTIONS.replace(b"\r\n", b"\n"),
    ],
)
def test_too_little_to_answer(data: bytes) -> None:
    assert not salvage_request(Request(), data)


def test_what_a_bare_line_end_hides_is_left_out() -> None:
    message = Request()
    assert salvage_request(message, replaced(b"From", b"From: <sip:a@b>\rX-Injected: y"))
    assert message.from_value == b"<sip:a@b>"


def test_of_another_version_the_via_is_understood() -> None:
    data = replaced(
        b"Via",
        b"Via: SIP / 7.0 / UDP 192.0.2.4;branch=z9hG4bK1",
        data=request(start=b"OPTIONS sip:bob@example.net SIP/7.0"),
    )
    message = Request()
    assert salvage_request(message, data)
    assert message.top_via == b"SIP/2.0 / UDP 192.0.2.4;branch=z9hG4bK1"


# Cost


def work(call: Callable[[bytes], object], data: bytes) -> int:
    """How many lines of Python `call` runs for `data`."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call(data)
    except RemoteProtocolError:
        pass
    finally:
        sys.settrace(before)
    return count


def use(data: bytes) -> None:
    """Read a message and all that it holds."""
    message = parse(data)
    for name, _ in message.headers:
        message.headers.get_all(name)
    assert message.vias


GROWING: dict[str, Callable[[int], bytes]] = {
    "lines": lambda n: request(*[b"X-A: y"] * n),
    "folds": lambda n: request(b"Subject: x" + b"\r\n y" * n),
    "commas": lambda n: replaced(b"Via", b"Via: " + b", ".join([b"SIP/2.0/UDP h;branch=z9hG4bK1"] * n)),
    "via lines": lambda n: replaced(b"Via", *[b"Via: SIP/2.0/UDP h;branch=z9hG4bK1"] * n),
    "via parameters": lambda n: replaced(b"Via", b"Via: SIP/2.0/UDP h;branch=z9hG4bK1" + b"; x=y" * n),
    "tags": lambda n: replaced(b"To", b"To: <sip:a@b>" + b' ; x = "y"' * n),
    "empty lines": lambda n: b"\r\n" * n + OPTIONS,
    "uri parameters": lambda n: request(start=b"OPTIONS sip:a@b" + b";x=y" * n + b" SIP/2.0"),
}


@pytest.mark.parametrize("grown", GROWING.values(), ids=GROWING)
def test_twice_the_size_is_twice_the_work(grown: Callable[[int], bytes]) -> None:
    read: Callable[[bytes], object] = parse
    work(read, grown(100))  # what is imported and remembered once
    once, twice = work(read, grown(101)), work(read, grown(202))
    assert twice < 2.2 * once + 50


# A regular expression is one step in Python, so what it does is not counted above: here is what each would
# stumble over. It takes milliseconds, and would take minutes if one were quadratic.
_SIZE = 60_000
LONG: dict[str, bytes] = {
    "blanks": request(b"Subject:" + b" " * _SIZE + b"x\r\n y"),
    "blanks in a cseq": replaced(b"CSeq", b"CSeq: 31" + b" " * _SIZE + b"\r\n x OPTIONS"),
    "blanks in a to": replaced(b"To", b"To: x" + b" \t" * (_SIZE // 2) + b"x"),
    "blanks before the colon": request(b"Subject" + b" " * _SIZE + b"x: y"),
    "quotes": replaced(b"To", b"To: " + b'"' * _SIZE + b"<sip:a@b>"),
    "escapes": replaced(b"To", b'To: "' + b"\\" * _SIZE + b" <sip:a@b>"),
    "angles": replaced(b"Via", b"Via: SIP/2.0/UDP h," + b"<" * _SIZE),
    "open quotes in a list": replaced(b"Via", b"Via: " + b'SIP/2.0/UDP h;x="a", ' * (_SIZE // 21) + b'"'),
    "semicolons": replaced(b"To", b"To: <sip:a@b>" + b";" * _SIZE),
    "parameters": replaced(b"To", b"To: <sip:a@b>" + b";a=b" * (_SIZE // 4) + b"!="),
    "at signs": request(start=b"OPTIONS sip:" + b"@" * _SIZE + b" SIP/2.0"),
    "user": request(start=b"OPTIONS sip:" + b"a:" * (_SIZE // 2) + b" SIP/2.0"),
    "escapes in a uri": request(start=b"OPTIONS sip:" + b"%41" * (_SIZE // 3) + b"% SIP/2.0"),
    "uri headers": request(start=b"OPTIONS sip:a@b?" + b"a=b&" * (_SIZE // 4) + b" SIP/2.0"),
    "labels": request(start=b"OPTIONS sip:" + b"a." * (_SIZE // 2) + b"- SIP/2.0"),
    "spaces in the start line": request(start=b"OPTIONS " + b"x " * (_SIZE // 2) + b"SIP/2.0"),
    "versions": request(start=b"OPTIONS " + b"x SIP/2.0 " * (_SIZE // 10)),
    "folds": request(b"X: y" + b"\r\n y" * 2000 + b" " * 40_000),
    "controls": request(b'X: "' + b"\\\0" * (_SIZE // 2)),
    "bare cr": OPTIONS[:-4] + b"\r" * _SIZE,
    "bare lf": OPTIONS[:-4] + b"\n" * _SIZE,
    "display name": replaced(b"To", b"To: " + b"a " * (_SIZE // 2)),
    "digits": replaced(b"CSeq", b"CSeq: " + b"0" * _SIZE + b"1 OPTIONS"),
    "call-id": replaced(b"Call-ID", b"Call-ID: " + b"x@" * (_SIZE // 2)),
}


@pytest.mark.parametrize("data", LONG.values(), ids=LONG)
def test_sixty_thousand_bytes_are_read_at_once(data: bytes) -> None:
    begun = process_time()
    for read in (
        use,
        lambda data: salvage_request(Request(), data),
        lambda data: peek_header(data, "Subject"),
    ):
        with suppress(RemoteProtocolError):
            read(data)
    assert process_time() - begun < 1
