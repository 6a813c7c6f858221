"""Via, name-addr, CSeq, lists and parameters, and the grammar below them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message import grammar
from trio_sip.message.uri import Uri
from trio_sip.message.values import (
    CSeq,
    NameAddr,
    Via,
    find_parameter,
    parse_decimal,
    parse_parameters,
    split_commas,
    write_parameters,
)

# grammar


@pytest.mark.parametrize(
    ("folded", "unfolded"),
    [
        ("plain", "plain"),
        ("a\r\n b", "a b"),
        ("a \t\r\n\t  b", "a b"),
        ("a\r\n \r\n b", "a b"),
        ("a  b", "a  b"),
        ("a\r\nb", "a\r\nb"),
        ("a\r\n b\r\nX: y", "a b\r\nX: y"),
        ("a\n b", "a\n b"),
        ("\r\n a", " a"),
    ],
)
def test_unfold(folded: str, unfolded: str) -> None:
    assert grammar.unfold(folded) == unfolded


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("0068", 68), ("255", 255), ("0" * 20_000 + "7", 7), ("0" * 5000, 0)]
)
def test_parse_decimal(text: str, number: int) -> None:
    assert parse_decimal(text, 255, "Max-Forwards") == number


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "+1", "-1", "1_0", "\u0661", "\u00b2", "0x1", "256", "9" * 20_000, "\n"]
)
def test_parse_decimal_refuses(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^Max-Forwards .* 255$") as caught:
        parse_decimal(text, 255, "Max-Forwards")
    assert caught.value.status == 400
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("A. Bell", '"A. Bell"'),
        ('say "hi" \\', '"say \\"hi\\" \\\\"'),
        ("\x00\x7f", '"\\\x00\\\x7f"'),
        ("\u00e9\t", '"\u00e9\t"'),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    assert grammar.quote(text) == quoted
    assert grammar.unquote(quoted) == text


def test_quote_refuses_a_line_break() -> None:
    for text in ("a\rb", "a\nb"):
        with pytest.raises(LocalProtocolError):
            grammar.quote(text)


def test_unquote_leaves_tokens_alone() -> None:
    assert [grammar.unquote(text) for text in ("a", "", '"', "a\\b")] == ["a", "", '"', "a\\b"]


@given(st.text())
def test_quote_and_back(text: str) -> None:
    text = text.replace("\r", "").replace("\n", "")
    assert grammar.unquote(grammar.quote(text)) == text


def test_is_token() -> None:
    assert grammar.is_token("!interesting-Method0123456789_*+`.%indeed'~")
    assert not any(map(grammar.is_token, ["", "a b", "a\n", "a:", "\u00e9", "a/b"]))


# Via

VIAS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
        "",
        {
            "transport": "UDP",
            "host": "192.0.2.1",
            "port": 5060,
            "branch": "z9hG4bK1",
            "wants_rport": True,
            "rport": None,
        },
    ),
    ("SIP/2.0/UDP h", "", {"branch": None, "parameters": (), "wants_rport": False, "address_port": 5060}),
    ("SIP/2.0/TLS h", "", {"address_port": 5061}),
    ("SIP/2.0/TLS h:5070", "", {"address_port": 5070}),
    ("sip/2.0/tcp h", "SIP/2.0/TCP h", {"transport": "TCP"}),
    ("SIP/2.0/UNKNOWN t6.example.com", "", {"transport": "UNKNOWN"}),
    (
        "SIP / 2.0 / UDP  192.0.2.2 : 5060 ;branch = z9 ; rport = 7",
        "SIP/2.0/UDP 192.0.2.2:5060;branch=z9;rport=7",
        {"branch": "z9", "rport": 7, "wants_rport": False},
    ),
    (
        "SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=\r\n 390",
        "SIP/2.0/UDP 192.0.2.2;branch=390",
        {"branch": "390"},
    ),
    (
        "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9",
        "",
        {"host": "2001:db8::9:1", "received": "2001:db8::9:255"},
    ),
    ("SIP/2.0/UDP h;received=[2001:db8::1]", "", {"received": "2001:db8::1"}),
    ("SIP/2.0/UDP h;maddr=224.0.1.75;ttl=16", "", {"maddr": "224.0.1.75", "ttl": 16}),
    ("SIP/2.0/UDP h;Branch=z9;RPORT", "", {"branch": "z9", "wants_rport": True}),
    ("SIP/2.0/UDP h;branch=z9hG4bKD+t/2+C+VV/L5=", "", {"branch": "z9hG4bKD+t/2+C+VV/L5="}),
    ("SIP/2.0/UDP h;branch=z9hG4bK-.!%66*_+`'~", "", {"branch": "z9hG4bK-.!%66*_+`'~"}),
    ('SIP/2.0/UDP h;x="a;b\\"c"', "", {"parameters": (("x", '"a;b\\"c"'),)}),
    ("SIP/2.0/UDP h;x=1;x=2", "", {"parameters": (("x", "1"), ("x", "2"))}),
    ("SIP/2.0/UDP h", "", {"received": None, "maddr": None, "ttl": None}),
]


@pytest.mark.parametrize(("text", "written", "parts"), VIAS)
def test_via(text: str, written: str, parts: dict[str, Any]) -> None:
    via = Via.parse(text)
    assert {name: getattr(via, name) for name in parts} == parts
    assert str(via) == (written or text)
    assert Via.parse(str(via)) == via


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/UDPh",
        "SIP/2.0 h",
        "SIP/3.0/UDP h",
        "HTTP/2.0/UDP h",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h:5060port",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP :::]",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;branch=a",
        "SIP/2.0/UDP h;;,;,,",
        "SIP/2.0/UDP h;branch=",
        "SIP/2.0/UDP h;branch=a b",
        "SIP/2.0/UDP h;branch=a,SIP/2.0/UDP g",
        'SIP/2.0/UDP h;x="a',
        'SIP/2.0/UDP h;x="a"b',
        "SIP/2.0/UDP h;branch=a;Branch=b",
        "SIP/2.0/UDP h;rport;rport=1",
        "SIP/2.0/UDP h\r\nX: y",
        "SIP/2.0/UDP h;a=b\r\nX: y",
        "SIP/2.0/UDP h\n",
    ],
)
def test_via_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Via.parse(text)
    assert caught.value.status == 400


def test_via_numbers_are_checked_when_asked_for() -> None:
    via = Via.parse("SIP/2.0/UDP h;rport=x;ttl=256")
    with pytest.raises(RemoteProtocolError, match="rport"):
        _ = via.rport
    with pytest.raises(RemoteProtocolError, match="ttl"):
        _ = via.ttl


def test_with_parameter() -> None:
    via = Via.parse("SIP/2.0/UDP h;RPORT;branch=z9")
    assert str(via.with_parameter("rport", "5062")) == "SIP/2.0/UDP h;rport=5062;branch=z9"
    assert str(via.with_parameter("received", "2001:db8::1")).endswith(";branch=z9;received=2001:db8::1")
    assert str(via.with_parameter("x", "a b")).endswith(';x="a b"')
    assert str(via.with_parameter("x", None)).endswith(";x")
    assert str(via.with_parameter("x", "")).endswith(';x=""')
    with pytest.raises(LocalProtocolError):
        via.with_parameter("a b", "c")
    with pytest.raises(LocalProtocolError):
        via.with_parameter("a", "c\r\nX: y")
    assert str(NameAddr.parse("<sip:a@h>").with_parameter("tag", "1")) == "<sip:a@h>;tag=1"


# name-addr

NAME_ADDRS: list[tuple[str, str, str, tuple[tuple[str, str | None], ...]]] = [
    ("<sip:a@h>", "", "sip:a@h", ()),
    ("<sip:a@h;lr>;tag=1", "", "sip:a@h;lr", (("tag", "1"),)),
    ("sip:a@h;tag=1", "", "sip:a@h", (("tag", "1"),)),
    ("sip:h", "", "sip:h", ()),
    (" sip:a@h ;\t tag   = 1 ", "", "sip:a@h", (("tag", "1"),)),
    ("\r\n sip:a@h ;\r\n  tag = 1", "", "sip:a@h", (("tag", "1"),)),
    ("sip:+1972@gw;unknownparam", "", "sip:+1972@gw", (("unknownparam", None),)),
    ('"A. Bell" <sip:a@h>', "A. Bell", "sip:a@h", ()),
    ('"A. Bell"<sip:a@h>', "A. Bell", "sip:a@h", ()),
    ('"" <sip:a@h>', "", "sip:a@h", ()),
    ('"J \\\\\\""       <sip:a@h>\r\n  ;\r\n  tag = 9', 'J \\"', "sip:a@h", (("tag", "9"),)),
    ('"a;b,<c>" <sip:a@h>', "a;b,<c>", "sip:a@h", ()),
    ('"BEL:\\\x07 NUL:\\\x00" <sip:a@h>', "BEL:\x07 NUL:\x00", "sip:a@h", ()),
    ('"\u0442\u0435\u043b\udcff" <sip:a@h>', "\u0442\u0435\u043b\udcff", "sip:a@h", ()),
    ("caller<sip:a@h>", "caller", "sip:a@h", ()),
    ("Hi I'm Joe <sip:a@h>", "Hi I'm Joe", "sip:a@h", ()),
    ("a@b (c/d) J\u00fcrgen <sip:a@h>", "a@b (c/d) J\u00fcrgen", "sip:a@h", ()),
    ("+3535xxx<sip:a@h:5061>", "+3535xxx", "sip:a@h:5061", ()),
    ("<http://www.example.com>;tag=3", "", "http://www.example.com", (("tag", "3"),)),
    ("isbn:2983792873", "", "isbn:2983792873", ()),
    ("<name:John_Smith>", "", "name:John_Smith", ()),
    ("<tel:+1;phone-context=x>;tag=1", "", "tel:+1;phone-context=x", (("tag", "1"),)),
    ("<sip:a@h?Route=%3Csip:x%3E>", "", "sip:a@h?Route=%3Csip:x%3E", ()),
    ('<sip:a@h>;+x="<urn:y;z>";q=0.3', "", "sip:a@h", (("+x", '"<urn:y;z>"'), ("q", "0.3"))),
    ("<sip:a@h>;tag=c0__sp3[a.b];u=[::1]", "", "sip:a@h", (("tag", "c0__sp3[a.b]"), ("u", "[::1]"))),
    ("<sip:a@h>;x=1;X=2", "", "sip:a@h", (("x", "1"), ("X", "2"))),
]


@pytest.mark.parametrize(("text", "name", "uri", "parameters"), NAME_ADDRS)
def test_name_addr(text: str, name: str, uri: str, parameters: tuple[tuple[str, str | None], ...]) -> None:
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), address.parameters) == (name, uri, parameters)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "<>",
        "sip:a@h?x=y",
        "sip:a,b@h",
        "sip:a@h;tag=1;Tag=2",
        "<sip:a@h>;tag=1;tag=1",
        "sip:a b@h",
        "Bell, A <sip:a@h>",
        "sip:x <sip:a@h>",
        "a;b <sip:a@h>",
        '"a <sip:a@h>',
        '"a\\" <sip:a@h>',
        '"a" b <sip:a@h>',
        'a "b" <sip:a@h>',
        '"a\x00" <sip:a@h>',
        '"a\nb" <sip:a@h>',
        "a\r\nb <sip:a@h>",
        "a\ud800 <sip:a@h>",
        "< sip:a@h >",
        "<sip:a@h >",
        "<sip:a@h",
        "<sip:a@h>x",
        "<sip:a@h> <sip:b@h>",
        "<sip:<a@h>>",
        "sip:a@h>",
        "<sip:a@h>;",
        "<sip:a@h>;;;;",
        "<sip:a@h>;tag=",
        "<sip:a@h>;tag=a\r\nX: y",
    ],
)
def test_name_addr_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        NameAddr.parse(text)
    assert caught.value.status == 400


def test_name_addr_is_written_with_quotes() -> None:
    uri = Uri.parse("sip:a@h;lr")
    assert str(NameAddr("", uri)) == "<sip:a@h;lr>"
    assert str(NameAddr('A "B"', uri, (("tag", "1"), ("x", None)))) == '"A \\"B\\"" <sip:a@h;lr>;tag=1;x'
    with pytest.raises(LocalProtocolError):
        str(NameAddr("a\r\nX: y", uri))


def test_name_addr_parameters() -> None:
    address = NameAddr.parse('<sip:a@h;tag=no>;Expires=60;flag;+sip.instance="<urn:x>";TAG=1')
    assert address.tag == "1"
    assert address.parameter("expires") == "60"
    assert address.parameter("FLAG") == ""
    assert address.parameter("+sip.instance") == "<urn:x>"
    assert address.parameter("lr") is None


# CSeq


@pytest.mark.parametrize(
    ("text", "number", "method"),
    [
        ("1 OPTIONS", 1, "OPTIONS"),
        ("0009\r\n  INVITE", 9, "INVITE"),
        (" 2147483647\tx ", 2**31 - 1, "x"),
        ("0 RE%47IST%45R", 0, "RE%47IST%45R"),
    ],
)
def test_cseq(text: str, number: int, method: str) -> None:
    cseq = CSeq.parse(text)
    assert cseq == CSeq(number, method)
    assert str(cseq) == f"{number} {method}"
    assert CSeq.parse(str(cseq)) == cseq


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "INVITE",
        "1INVITE",
        "-1 A",
        "+1 A",
        "1_0 A",
        "2147483648 A",
        "36893488147419103232 A",
        "1 A B",
        "1 A\n",
        "9" * 5000 + " A",
        "\u0661 A",
        "1 \u00e9",
    ],
)
def test_cseq_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        CSeq.parse(text)
    assert caught.value.status == 400


# lists and parameters


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        (" \t", []),
        ("\r\n ", []),
        ("a", ["a"]),
        ("a,b , c", ["a", "b", "c"]),
        ("<sip:a,b@h>,<sip:c@h;lr>", ["<sip:a,b@h>", "<sip:c@h;lr>"]),
        ('"a,\\",b" <sip:x>;m="c,d" , e', ['"a,\\",b" <sip:x>;m="c,d"', "e"]),
        ("<sip:a@h>\r\n ,\r\n <sip:b@h>", ["<sip:a@h>", "<sip:b@h>"]),
        ("<a>,>", ["<a>", ">"]),
    ],
)
def test_split_commas(text: str, elements: list[str]) -> None:
    assert split_commas(text) == elements


@pytest.mark.parametrize(
    "text",
    [",", "a,", ",a", "a,,b", "a, ,b", "<a>,", ",<a>", "<a>,,<b>", '"a', "<a", '"a\\"', "<a>,<b", '"a",b"c'],
)
def test_split_commas_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        split_commas(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", ()),
        (";a", (("a", None),)),
        (";a=b;C", (("a", "b"), ("C", None))),
        (" ; a = b ; c ", (("a", "b"), ("c", None))),
        (';a="b;c=\\"";d', (("a", '"b;c=\\""'), ("d", None))),
        (";a=1;a=2", (("a", "1"), ("a", "2"))),
        (";a=[::1]:5060;b=x==", (("a", "[::1]:5060"), ("b", "x=="))),
    ],
)
def test_parse_parameters(text: str, parameters: tuple[tuple[str, str | None], ...]) -> None:
    assert parse_parameters(text) == parameters
    assert parse_parameters(write_parameters(parameters)) == parameters


@pytest.mark.parametrize(
    "text", ["a", "a=b", ";", ";a;", ";=b", ";a=", ";a=;b", ";a b", ';a="b', ';a="b"c', ";a=b c", ";a=<b>"]
)
def test_parse_parameters_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_parameters(text)


def test_the_first_parameter_of_a_name_wins() -> None:
    assert find_parameter(parse_parameters(";A=1;a=2"), "a") == "1"


# any text

ANY = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.text(alphabet='sip:@;=,<>"\\ab1/2.0 \t\r\n\u00e9\ud800\udcff\x00*'),
)
SAMPLES = [text for text, *_ in VIAS] + [text for text, *_ in NAME_ADDRS] + ["1 INVITE", '<a>,"b",c']


def damaged(text: str) -> st.SearchStrategy[str]:
    place = st.integers(0, len(text))
    return st.builds(
        lambda start, middle, cut: text[:start] + middle + text[start + cut :], place, ANY, st.integers(0, 3)
    )


@pytest.mark.parametrize("parse", [Via.parse, NameAddr.parse, CSeq.parse])
@given(text=st.one_of(ANY, st.sampled_from(SAMPLES).flatmap(damaged)))
def test_any_text_is_a_value_or_an_error(parse: Callable[[str], object], text: str) -> None:
    try:
        value = parse(text)
    except RemoteProtocolError:
        return
    written = str(value)
    assert parse(written) == value
    assert "\n" not in written
    written.encode("utf-8", "surrogateescape")


@given(st.one_of(ANY, st.sampled_from(SAMPLES).flatmap(damaged)))
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    try:
        elements = split_commas(text)
    except RemoteProtocolError:
        return
    assert all(element == element.strip(" \t") and element for element in elements)
    assert split_commas(",".join(elements)) == elements


HOSTILE = {
    "unterminated quote": '"' + "a" * 30_000,
    "escaped quotes": '"' + '\\"' * 15_000,
    "quotes": '"' * 30_001,
    "commas": "," * 20_000,
    "elements": "<a>," * 20_000 + '"',
    "folds": "a\r\n " * 10_000,
    "bare folds": "\r\n " * 10_000,
    "blanks": " " * 30_000 + "a",
    "blanks and folds": (" " * 100 + "\r\n") * 300 + "a",
    "brackets": "<" * 30_000,
    "semicolons": ";" * 30_000,
    "parameters": ";a=b" * 10_000 + '"',
    "loose parameters": " ; a = b" * 10_000 + '"',
    "equals": ";a" + "=" * 30_000 + '"',
    "colons": ":" * 30_000,
    "digits": "9" * 30_000,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_are_dealt_with_at_once(hostile: str) -> None:
    """A super-linear parser would take minutes here."""
    for parse in (Via.parse, NameAddr.parse, CSeq.parse, split_commas, parse_parameters):
        for head in ("", "SIP/2.0/UDP ", "SIP/2.0/UDP h", "<sip:a@h>", "sip:a@h", "a <sip:", "1 "):
            with suppress(RemoteProtocolError):
                parse(head + hostile)


def test_values_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Via.parse("SIP/2.0/UDP h").port = 1  # type: ignore[misc]
