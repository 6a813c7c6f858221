"""URIs: what is read, what is refused, what `str` gives back, and when two URIs match (RFC 3261 19.1)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message import uri as module
from trio_sip.message.uri import Uri

PARTS: list[tuple[str, dict[str, Any]]] = [
    ("sip:example.com", {"scheme": "sip", "user": None, "host": "example.com", "port": None}),
    ("SIPS:Alice@Example.COM", {"scheme": "sips", "user": "Alice", "host": "Example.COM"}),
    ("sip:alice:secret@h:5070", {"user": "alice", "password": "secret", "port": 5070}),
    ("sip:alice:@h", {"user": "alice", "password": ""}),
    ("sip:h:05060", {"port": 5060}),
    ("sip:h:0", {"port": 0}),
    ("sip:my_phone.lan", {"host": "my_phone.lan"}),
    ("sip:3f2a1b9c0d1e:5060", {"host": "3f2a1b9c0d1e"}),
    ("sip:example.com.", {"host": "example.com."}),
    ("sip:192.0.2.1;lr", {"host": "192.0.2.1", "parameters": (("lr", None),), "lr": True}),
    ("sip:[2001:db8::10]:5070", {"host": "2001:db8::10", "port": 5070}),
    ("sip:[2001:db8:::192.0.2.1]", {"host": "2001:db8:::192.0.2.1"}),
    ("sip:[::ffff:192.0.2.2]", {"host": "::ffff:192.0.2.2"}),
    (
        "sip:sips%3Auser%40example.com@example.net",
        {"user": "sips%3Auser%40example.com", "host": "example.net"},
    ),
    ("sip:user;par=u%40example.net@example.com", {"user": "user;par=u%40example.net", "parameters": ()}),
    ("sip:odd.user~(be!sure)&isn't+it$/mad?,/;;*:&x+y=1,z!*p$w~d_.(q)@h", {"host": "h"}),
    ("sip:*31#5551234@h;user=phone", {"user": "*31#5551234"}),
    ("sip:h?a=b@g", {"user": "h?a=b", "host": "g"}),
    (
        "sip:a@h;pn-prid=x:Y=;p=[::1]/&+$;e=",
        {"parameters": (("pn-prid", "x:Y="), ("p", "[::1]/&+$"), ("e", ""))},
    ),
    ("sip:a@h?Subject=a%20b&x=", {"headers": (("Subject", "a%20b"), ("x", ""))}),
    ("tel:+1-201-555;phone-context=x", {"user": "+1-201-555", "parameters": (("phone-context", "x"),)}),
    ("http://www.example.com/?q=1,2", {"scheme": "http", "opaque": "//www.example.com/?q=1,2"}),
    ("isbn:2983792873", {"opaque": "2983792873", "is_sip": False}),
    ("soap.beep://192.0.2.103:3002", {"scheme": "soap.beep"}),
]

REFUSED = [
    "",
    "x",
    "sip",
    "sip:",
    "tel:",
    "isbn:",
    ":a",
    "1sip:a",
    "sip:@h",
    "sip::p@h",
    "sip:a@",
    "sip:a@b@c",
    "sip:a@;lr",
    "sip:2001:db8::10",
    "sip:a@[2001:db8::10",
    "sip:a@[::1%25eth0]",
    "sip:[12345::1]",
    "sip:[]",
    "sip:a..b",
    "sip:.a",
    "sip:127.1",
    "sip:0x7f.1",
    "sip:256.1.1.1",
    "sip:" + "a" * 256,
    "sip:h:",
    "sip:h:-1",
    "sip:h:+1",
    "sip:h:1_0",
    "sip:h:65536",
    "sip:h:" + "9" * 5000,
    "sip:h:\u0661",
    "sip:h:5060port",
    "sip:a%4@h",
    "sip:a%zz@h",
    "sip:a%@h",
    "sip:a b@h",
    "sip:a@h; lr",
    "sip:a@h ",
    " sip:a@h",
    "sip:a@h\n",
    "sip:a@h\r\nX: y",
    "sip:a\x00@h",
    "sip:\u00e9@h",
    "sip:a@h\ud800",
    'sip:"a"@h',
    "sip:<a>@h",
    "<sip:a@h>",
    "sip:a@h;",
    "sip:a@h;;lr",
    "sip:a@h;=x",
    "sip:a@h?",
    "sip:a@h?x",
    "sip:a@h?x=y&",
    "http:a b",
]


@pytest.mark.parametrize(("text", "parts"), PARTS)
def test_parts(text: str, parts: dict[str, Any]) -> None:
    uri = Uri.parse(text)
    assert {name: getattr(uri, name) for name in parts} == parts
    assert str(uri) == text


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Uri.parse(text)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 400


def test_the_reason_is_told() -> None:
    with pytest.raises(RemoteProtocolError, match="IPv6 address has to be in brackets"):
        Uri.parse("sip:2001:db8::10")
    with pytest.raises(RemoteProtocolError, match=r"holds ' '"):
        Uri.parse("sip:a@h; lr")
    with pytest.raises(RemoteProtocolError, match="'65536' is larger than 65535"):
        Uri.parse("sip:h:65536")


def test_an_error_looks_the_same_twice() -> None:
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="malformed"):
            Uri.parse("sip:a@b@c")


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("SIP:a@h:05060;LR", {"port": None}, "sip:a@h;LR"),
        ("sip:a@h;lr?x=y", {"host": "2001:db8::1", "port": 5062}, "sip:a@[2001:db8::1]:5062;lr?x=y"),
        ("sip:%61:pw@h", {"user": None, "password": None}, "sip:h"),
        ("sip:a:@h", {"host": "g"}, "sip:a:@g"),
        ("sip:h", {"parameters": (("lr", None), ("x", ""), ("y", "z"))}, "sip:h;lr;x=;y=z"),
        ("tel:+1;x=y", {"user": "+2"}, "tel:+2;x=y"),
        ("isbn:1", {"opaque": "2"}, "isbn:2"),
    ],
)
def test_a_changed_copy_is_written_anew(text: str, changes: dict[str, Any], expected: str) -> None:
    original = Uri.parse(text)
    assert str(attrs.evolve(original, **changes)) == expected
    assert str(original) == text


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "a@b"},
        {"user": ""},
        {"host": "h\r\nX: y"},
        {"host": "h;lr"},
        {"host": ""},
        {"port": 65536},
        {"parameters": (("a b", None),)},
        {"opaque": "x"},
    ],
)
def test_a_copy_that_is_no_uri_cannot_be_written(changes: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        str(attrs.evolve(Uri.parse("sip:a@h"), **changes))


def test_parameters_are_found_in_any_case_and_decoded_once() -> None:
    uri = Uri.parse("sip:h;Transport=TCP;%6C%72;n%61me=v%61lue%25%34%31;x;x=2;maddr=[::1]")
    assert uri.parameter("transport") == "TCP"
    assert uri.transport == "tcp"
    assert uri.lr
    assert uri.parameter("lr") == ""
    assert uri.parameter("NAME") == "value%41"
    assert uri.parameter("x") == ""
    assert uri.parameter("y") is None
    assert uri.maddr == "::1"
    assert Uri.parse("sip:h").transport is None
    assert Uri.parse("sip:h").maddr is None


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("sip:h", 5060),
        ("sips:h", 5061),
        ("sip:h;transport=TLS", 5061),
        ("sips:h:5070", 5070),
        ("sip:h:0", 0),
    ],
)
def test_default_port(text: str, port: int) -> None:
    assert Uri.parse(text).address_port == port


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("sip:h", None),
        ("sip:%75se%72@h", "user"),
        ("sip:I%20have@h", "I have"),
        ("sip:%C3%A9@h", "\u00e9"),
        ("sip:%ff@h", "\udcff"),
        ("sip:a%00b@h", "a\x00b"),
        ("sip:%2541@h", "%41"),
    ],
)
def test_unescaped_user(text: str, user: str | None) -> None:
    assert Uri.parse(text).unescaped_user == user


def test_without_headers() -> None:
    uri = Uri.parse("sip:a@h;method=INVITE;lr;Method=BYE?Route=%3Csip:x%3E")
    assert str(uri.without_headers()) == "sip:a@h;lr"
    plain = Uri.parse("sip:a@h;lr")
    assert plain.without_headers() is plain


EQUAL = [
    # the examples of RFC 3261 19.1.4
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    # and some more
    ("sip:a@h;LR", "sip:a@h"),
    ("sip:a%2fb@h", "sip:a%2Fb@h"),
    ("sip:a@h;%6cr=ON", "sip:a@h;lr=on"),
    ("sip:[2001:db8::1]", "sip:[2001:DB8:0:0::1]"),
    ("sip:[2001:db8:::192.0.2.1]", "sip:[2001:db8::192.0.2.1]"),
    ("tel:+1-201-555", "tel:+1201(555)"),
    ("http://x", "http://x"),
]

UNEQUAL = [
    # the examples of RFC 3261 19.1.4
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    # and some more
    ("sip:a@h", "sips:a@h"),
    ("sip:a@h", "sip:h"),
    ("sip:a:x@h", "sip:a:y@h"),
    ("sip:a:x@h", "sip:a@h"),
    ("sip:a@h", "sip:a@h;user=ip"),
    ("sip:a@h", "sip:a@h;ttl=1"),
    ("sip:a@h", "sip:a@h;method=INVITE"),
    ("sip:a@h", "sip:a@h;maddr=192.0.2.1"),
    ("sip:a%2Cb@h", "sip:a,b@h"),
    ("sip:a%00@h", "sip:a@h"),
    ("tel:+1201", "tel:1201"),
    ("tel:1;phone-context=a", "tel:1;phone-context=b"),
    ("http://x", "http://X"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_matches(one: str, other: str) -> None:
    assert Uri.parse(one).matches(Uri.parse(other))
    assert Uri.parse(other).matches(Uri.parse(one))


@pytest.mark.parametrize(("one", "other"), UNEQUAL)
def test_does_not_match(one: str, other: str) -> None:
    assert not Uri.parse(one).matches(Uri.parse(other))
    assert not Uri.parse(other).matches(Uri.parse(one))


def test_matching_is_not_transitive() -> None:
    plain, on, off = (Uri.parse(f"sip:a@h{tail}") for tail in ("", ";s=on", ";s=off"))
    assert on.matches(plain)
    assert plain.matches(off)
    assert not on.matches(off)


def test_long_texts_are_not_remembered() -> None:
    before = module._parse_remembered.cache_info().currsize
    Uri.parse("sip:" + "a" * 1000 + "@h")
    assert module._parse_remembered.cache_info().currsize == before
    assert module._parse_remembered.cache_info().maxsize == module.URI_CACHE_SIZE


LIKELY = st.text(alphabet='sip:@;=?&[]%41a.\u0661\ud800\x00 \r\n"<>')


@given(st.one_of(st.text(st.characters(exclude_categories=())), LIKELY, LIKELY.map("sip:".__add__)))
def test_any_text_is_a_uri_or_an_error(text: str) -> None:
    try:
        uri = Uri.parse(text)
    except RemoteProtocolError:
        return
    assert str(uri) == text
    assert Uri.parse(str(attrs.evolve(uri))) == uri
    assert uri.matches(uri)
    assert uri.without_headers().headers == ()
    text.encode("ascii")


@given(st.sampled_from([text for text, _ in PARTS]), st.data())
def test_any_damage_is_a_uri_or_an_error(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    damaged = text[:start] + data.draw(LIKELY) + text[start + data.draw(st.integers(0, 3)) :]
    test_any_text_is_a_uri_or_an_error.hypothesis.inner_test(damaged)  # type: ignore[attr-defined]


@pytest.mark.parametrize("piece", ["a", "%41", ";a", ";a=b", ":", "[", "a.", "?a=b", "&a=b", "@", "%", "a:"])
def test_long_uris_of_one_piece(piece: str) -> None:
    """A super-linear parser would take minutes here."""
    for head in ("sip:", "sip:h", "sip:a@h", "sip:a@h?x=y", "tel:1"):
        for tail in ("", "@h", '"'):
            with suppress(RemoteProtocolError):
                Uri.parse(head + piece * 30_000 + tail)
