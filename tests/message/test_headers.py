from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_messages import OPTIONS

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message.headers import COMPACT_FORMS, Headers, header_key, value_of
from trio_sip.message.parse import parse
from trio_sip.message.values import NameAddr, Via
from trio_sip.message.write import write_message, write_reply


def headers() -> Headers:
    return Headers([("Via", "one"), ("v", "two"), ("To", "x"), ("VIA", "three"), ("Subject", "")])


def test_names_are_found_in_any_case_and_form() -> None:
    assert headers().get_all("via") == headers().get_all("V") == ["one", "two", "three"]
    assert headers()["t"] == headers().get("tO") == "x"
    assert "s" in headers()
    assert "From" not in headers()
    assert 1 not in headers()


@pytest.mark.parametrize(("compact", "long"), COMPACT_FORMS.items())
def test_every_compact_form_is_its_long_form(compact: str, long: str) -> None:
    assert header_key(compact.encode()) == header_key(long.upper().encode() + b" \t") == long


def test_what_is_not_there() -> None:
    assert headers().get("From") is None
    assert headers().get("From", "nobody") == "nobody"
    assert headers().get_all("From") == []
    assert headers().remove("From") == 0
    with pytest.raises(KeyError):
        headers()["From"]


def test_iteration_keeps_order_and_case() -> None:
    assert list(headers()) == [("Via", "one"), ("v", "two"), ("To", "x"), ("VIA", "three"), ("Subject", "")]
    assert len(headers()) == 5


@pytest.mark.parametrize(
    ("name", "first", "expected"),
    [
        ("Via", False, ["Via", "v", "To", "VIA", "Subject", "Via"]),
        ("Via", True, ["Via", "Via", "v", "To", "VIA", "Subject"]),
        ("t", True, ["Via", "v", "t", "To", "VIA", "Subject"]),
        ("New", False, ["Via", "v", "To", "VIA", "Subject", "New"]),
        ("New", True, ["New", "Via", "v", "To", "VIA", "Subject"]),
    ],
)
def test_add(name: str, first: bool, expected: list[str]) -> None:
    changed = headers()
    changed.add(name, "added", first=first)
    assert [shown for shown, _ in changed] == expected
    assert changed.edited


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v", [("v", "set"), ("To", "x"), ("Subject", "")]),
        ("TO", [("Via", "one"), ("v", "two"), ("TO", "set"), ("VIA", "three"), ("Subject", "")]),
        ("New", [*headers(), ("New", "set")]),
    ],
)
def test_set(name: str, expected: list[tuple[str, str]]) -> None:
    changed = headers()
    changed.set(name, "set")
    assert list(changed) == expected


def test_remove() -> None:
    changed = headers()
    assert changed.remove("Via") == 3
    assert list(changed) == [("To", "x"), ("Subject", "")]
    assert changed.keys == ["to", "subject"]


def test_a_copy_is_of_its_own() -> None:
    original = headers()
    copied = original.copy()
    assert copied == original
    copied.remove("To")
    assert copied != original
    assert "To" in original


def test_lines_that_are_not_touched_stay() -> None:
    raw = [b"tO :  x", b"Subject:a\r\n b", b"v:\xff"]
    kept = Headers.from_lines(["to", "subject", "via"], raw)
    kept.set("Subject", "new")
    assert kept.lines == [b"tO :  x", b"Subject: new", b"v:\xff"]
    assert kept["v"] == "\udcff"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A:", ""),
        (b"A: ", ""),
        (b"A:\tb\t", "b"),
        (b"A: b:c", "b:c"),
        (b"A: b\r\n c", "b c"),
        (b"A:\r\n b", "b"),
        (b"A: b \t\r\n\t c\r\n d", "b c d"),
        (b"A: b\r\n \r\n c", "b c"),
        (b"A: b\r\n ", "b"),
        (b"A: b  c", "b  c"),
    ],
)
def test_value_of_a_line(line: bytes, value: str) -> None:
    assert value_of(line) == value


# No line is ever injected

NASTY = ["a\r\nX-Injected: b", "a\nb", "a\rb", "a\0b", "\r\n", "\r\n\r\nbody", "a\r\n b"]


@pytest.mark.parametrize("value", NASTY)
def test_a_line_break_in_a_value_is_refused(value: str) -> None:
    changed = headers()
    for change in (changed.add, changed.set):
        with pytest.raises(LocalProtocolError):
            change("Subject", value)
    with pytest.raises(LocalProtocolError):
        changed.replace_line(0, "Subject", value)
    assert changed == headers()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "X Y",
        "X:",
        "X:Y",
        ":X",
        "X ",
        " X",
        "X\r\n",
        "X\r\nY",
        "X\0",
        "X\t",
        "\u00e9",
        "(X)",
        "X;",
        "\udcff",
        "\ud800Y",
    ],
)
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    changed = headers()
    for change in (changed.add, changed.set):
        with pytest.raises(LocalProtocolError):
            change(name, "x")
    assert changed == headers()


HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from('\r\n\0\t ";,<>:@=\\\x7f\x85\u2028\udcff\ud800\u0660%?&[]')),
    max_size=12,
)
attempts = settings(max_examples=300, deadline=None, derandomize=True)


@attempts
@given(HOSTILE, HOSTILE)
def test_a_header_a_script_sets_is_one_header(name: str, value: str) -> None:
    message = parse(OPTIONS)
    try:
        message.headers.add(f"X{name}", value)
    except LocalProtocolError:
        assert message.headers == parse(OPTIONS).headers
        return
    again = parse(write_message(message))
    assert again.headers.lines[:-1] == message.headers.lines[:-1]
    assert len(again.headers) == len(message.headers)
    assert again.headers[f"X{name}"] == value.strip(" \t")


@attempts
@given(HOSTILE, HOSTILE)
def test_a_uri_a_script_sets_is_one_uri(user: str, host: str) -> None:
    message = parse(OPTIONS)
    for text in (
        user,
        f"sip:{user}",
        f"sip:{user}@{host}",
        f"sip:a@h;{user}={host}",
        f"tel:{user}",
        f"x:{user}",
    ):
        try:
            message.uri = text  # type: ignore[union-attr]
        except RemoteProtocolError:
            continue
        again = parse(write_message(message))
        assert again.uri_text == text  # type: ignore[union-attr]
        assert again.headers == message.headers


@attempts
@given(HOSTILE, HOSTILE, st.integers(-1, 1000), st.binary(max_size=5))
def test_a_reply_is_what_was_asked_for(reason: str, value: str, status: int, body: bytes) -> None:
    via, address = b"SIP/2.0/UDP h;branch=z9hG4bK1", b"<sip:a@b>;tag=1"
    try:
        data = write_reply(status, reason, via, address, address, b"x", b"1 OPTIONS", [("X-Given", value)], body)
    except LocalProtocolError:
        return
    again = parse(data)
    assert (again.status, again.reason, again.body) == (status, reason, body)  # type: ignore[union-attr]
    assert again.keys == ("via", "from", "to", "call-id", "cseq", "x-given", "content-length")
    assert again.headers["X-Given"] == value.strip(" \t")


@attempts
@given(HOSTILE, st.one_of(st.none(), HOSTILE))
def test_a_parameter_a_script_sets_is_one_parameter(name: str, value: str | None) -> None:
    via = Via.parse("SIP/2.0/UDP h:5060;branch=z9hG4bK1")
    address = NameAddr.parse('"A" <sip:a@b>;x=y')
    for before in (via, address):
        message = parse(OPTIONS)
        try:
            after = before.with_parameter(f"p{name}", value)
            message.headers.set("X", str(after))
        except LocalProtocolError:
            continue
        again = type(before).parse(parse(write_message(message)).headers["X"])
        assert again.parameters[:-1] == before.parameters
        assert again.parameter(f"p{name}") == (value or "")
        assert len(again.parameters) == len(before.parameters) + 1


@attempts
@given(HOSTILE)
def test_a_display_name_a_script_sets_is_one_name(name: str) -> None:
    message = parse(OPTIONS)
    try:
        message.headers.set("Contact", str(NameAddr(name, parse(OPTIONS).to.uri)))
    except LocalProtocolError:
        return
    [contact] = parse(write_message(message)).contacts
    assert contact.display_name == name
