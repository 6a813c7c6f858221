"""Messages for the tests of this folder, and ways to spoil them."""

from __future__ import annotations

from hypothesis import strategies as st

from trio_sip.message.model import Message
from trio_sip.message.shapes import Shapes

__all__ = ["OPTIONS", "RINGING", "VALID", "answer", "fields", "forgetful", "near_sip", "replaced", "request"]

LINES = (
    b"Via: SIP/2.0/UDP 192.0.2.4:5062;rport;branch=z9hG4bK77asjd",
    b"Max-Forwards: 70",
    b"From: <sip:alice@example.com>;tag=98asjd8",
    b"To: <sip:bob@example.net>",
    b"Call-ID: 7c1a@192.0.2.4",
    b"CSeq: 31 OPTIONS",
)
ANSWERED = (
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKaa.bb;rport=5060;received=192.0.2.1",
    b"Via: SIP/2.0/UDP 192.0.2.4:5062;branch=z9hG4bK77asjd",
    b'From: "Alice, at home" <sip:alice@example.com>;tag=98asjd8',
    b"To: <sip:bob@example.net>;tag=7f",
    b"Call-ID: 7c1a@192.0.2.4",
    b"CSeq: 31 OPTIONS",
)


def request(
    *more: bytes,
    start: bytes = b"OPTIONS sip:bob@example.net SIP/2.0",
    body: bytes = b"",
    length: bool = True,
) -> bytes:
    """A request with the mandatory headers and `more`."""
    return _join(start, (*LINES, *more), body, length)


def answer(*more: bytes, start: bytes = b"SIP/2.0 180 Ringing", body: bytes = b"", length: bool = True) -> bytes:
    """A response with the mandatory headers and `more`."""
    return _join(start, (*ANSWERED, *more), body, length)


def replaced(name: bytes, *lines: bytes, data: bytes | None = None) -> bytes:
    """A request, or `data`, with these lines in the place of the first one called `name`."""
    head, _, body = (request() if data is None else data).partition(b"\r\n\r\n")
    old = head.split(b"\r\n")
    at = next(at for at, line in enumerate(old) if line.startswith(name + b":"))
    return b"\r\n".join([*old[:at], *lines, *old[at + 1 :]]) + b"\r\n\r\n" + body


def _join(start: bytes, lines: tuple[bytes, ...], body: bytes, length: bool) -> bytes:
    counted = [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join([start, *lines, *counted, b"", body])


OPTIONS = request()
RINGING = answer()

VALID: dict[str, bytes] = {
    "options": OPTIONS,
    "ringing": RINGING,
    "no length": request(length=False),
    "body": request(b"Content-Type: application/sdp", body=b"v=0\r\n\r\no=- 1 1 IN IP4 0.0.0.0\0\xff\r\n"),
    "body without length": request(b"c: text/plain", body=b"hello\r\n\r\n", length=False),
    "compact": (
        b"MESSAGE sip:bob@example.net SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: sip:a@b;tag=1\r\n"
        b"t: sip:c@d\r\ni: x\r\nCSeq: 1 MESSAGE\r\nm: <sip:a@h>\r\ns: hi\r\nl: 2\r\n\r\nhi"
    ),
    "folded": request(b"Subject: one\r\n two\r\n\t three", b"X-Empty:", b"X-Blank: \r\n "),
    "folded to": replaced(b"To", b'To:\r\n "Bob\r\n Smith" \r\n\t<sip:bob@example.net>\r\n ;x=y'),
    "blanks before the colon": replaced(b"To", b"To \t : <sip:bob@example.net>"),
    "odd case": replaced(b"Call-ID", b"cALL-id:x"),
    "many vias": replaced(
        b"Via",
        b'Via: SIP/2.0/UDP h;branch=z9hG4bK1;x="a,b\\"", SIP/2.0/TCP g',
        b"v: SIP/2.0/UDP f , SIP/2.0/UDP e",
    ),
    "utf-8": request("Subject: Gr\u00fc\u00dfe".encode(), b"X-J: \xe6\x97\xa5"),
    "high bits": request(b"Subject: \x80\xff\xfe", b"X: a\x01b\x0bc\x7f"),
    "quoted nul": replaced(b"To", b'To: "a\\\0b\\"" <sip:bob@example.net>'),
    "ipv6": replaced(b"Via", b"Via: SIP/2.0/UDP [2001:db8::1]:5061;branch=z9hG4bK1"),
    "old branch": replaced(b"Via", b"Via: SIP/2.0/UDP h"),
    "zero padded": replaced(
        b"Max-Forwards", b"Max-Forwards: 0070", data=replaced(b"CSeq", b"CSeq: 0000000000031  OPTIONS")
    ),
    "no reason": answer(start=b"SIP/2.0 180 "),
    "odd reason": answer(start="SIP/2.0 486 Occup\u00e9 \x07".encode()),
    "small sip": request(start=b"OPTIONS sip:bob@example.net sip/2.0"),
    "other scheme": request(start=b"OPTIONS isbn:2983792873 SIP/2.0"),
    "escapes": request(start=b"OPTIONS sip:b%20b;x=%41@example.net;lr?a=b SIP/2.0"),
    "percent method": replaced(b"CSeq", b"CSeq: 1 O%50TIONS", data=request(start=b"O%50TIONS sip:b@c SIP/2.0")),
    "256 lines": request(*[b"X-%d: y" % number for number in range(249)]),
    "long value": request(b"X: " + b"y" * 30_000),
}
"""Messages that are accepted, by what is special about them."""


def fields(message: Message) -> dict[str, object]:
    """What a message consists of: every slot that has to be the same however it was read."""
    names = (
        "data",
        "keys",
        "body_at",
        "body_end",
        "method",
        "top_via",
        "sent_by",
        "branch",
        "wants_rport",
        "plain_via",
        "from_value",
        "from_tag",
        "to_value",
        "to_tag",
        "call_id_value",
        "call_id",
        "cseq_value",
        "cseq_number",
        "body",
        "received_lines",
        "status",
        "reason",
        "uri",
        "uri_text",
        "max_forwards",
    )
    return {name: getattr(message, name) for name in names if hasattr(message, name)}


def forgetful(shapes: Shapes) -> Shapes:
    """Shapes of the same kind, none of them learned yet."""
    return Shapes(shapes._first_line, shapes._values, shapes._wanted)


_DELIMITERS = st.sampled_from(
    [
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b"\r\n ",
        b":",
        b";",
        b",",
        b'"',
        b"<",
        b">",
        b"\\",
        b"=",
        b"@",
        b"0",
        b"\xff",
        b"\r\n\r\n",
        b"\xd9\xa0",
        b";tag=1",
        b";rport",
        b";rport=5",
        b"Via: x\r\n",
        b"99999",
        b"\x7f",
        b"[",
        b"]",
    ]
)


@st.composite
def near_sip(draw: st.DrawFn, start_from: bytes | None = None) -> bytes:
    """A valid message after a few accidents."""
    data = start_from or draw(st.sampled_from([text for text in VALID.values() if len(text) < 2000]))
    for _ in range(draw(st.integers(0, 4))):
        data = _accident(draw, data)
    return data


def _accident(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    to = min(len(data), at + draw(st.integers(0, 12)))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return data[:at] + draw(_DELIMITERS) + data[at:]
    if kind == 1:
        return data[:at] + data[to:]
    if kind == 2:
        return data[:at] + draw(st.binary(max_size=4)) + data[to:]
    if kind == 3:
        return data[:to] + data[at:]
    if kind == 4:
        return data[:at] + draw(st.sampled_from(sorted(VALID.values())))[at:]
    lines = data.split(b"\r\n")
    one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
    if kind == 5:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines.insert(one, lines[other])
    return b"\r\n".join(lines)
