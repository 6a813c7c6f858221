"""The messages both servers get: what is sent by whom, and how the next hop answers.

`{server}`, `{client}`, `{other}` and `{hop}` stand for addresses of the run. The script answers OPTIONS, REGISTER and
SUBSCRIBE, and forwards everything else to where Route or Request-URI say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

__all__ = ["CASES", "Case", "Parties", "Send", "answer_to", "probe"]

HOST = "127.0.0.1"
ANSWERED_HERE = ("OPTIONS", "REGISTER", "SUBSCRIBE")
_COPIED = ("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "record-route")

Lines = Iterable[str]


@attrs.frozen
class Parties:
    """The ports of one run."""

    server: int
    client: int
    other: int
    """Where the client listens when its Via names a port it does not send from."""
    hop: int

    def fill_in(self, text: str) -> bytes:
        """The message with its addresses."""
        for name, port in attrs.asdict(self).items():
            text = text.replace(f"{{{name}}}", f"{HOST}:{port}").replace(f"{{{name}-port}}", str(port))
        return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


@attrs.frozen
class Send:
    """One message, and who sends it."""

    party: str
    text: str


@attrs.frozen
class Case:
    """What is sent; the next hop answers each request it gets with these (status, further header lines)."""

    name: str
    sends: tuple[Send, ...]
    answers: tuple[tuple[int, tuple[str, ...]], ...] = ((200, ()),)


def message(method: str, uri: str, lines: Lines, body: str = "", version: str = "SIP/2.0") -> str:
    return "\n".join((f"{method} {uri} {version}", *lines, "", body))


def lines_of(method: str, name: str, changes: dict[str, str | None], more: Lines) -> list[str]:
    """Header lines as a user agent writes them; `changes` by header name (None: left out), `more` at the end."""
    usual = {
        "Via": f"SIP/2.0/UDP {{client}};branch=z9hG4bK-{name};rport",
        "Max-Forwards": "70",
        "From": "<sip:alice@{client}>;tag=from-alice",
        "To": "<sip:bob@{server}>",
        "Call-ID": f"{name}@side-by-side",
        "CSeq": f"1 {method}",
        "Contact": "<sip:alice@{client}>",
        "Content-Length": "0",
    }
    usual.update({key: value for key, value in changes.items() if value is not None})
    return [f"{key}: {value}" for key, value in usual.items() if changes.get(key, "") is not None] + list(more)


def request(
    name: str,
    method: str = "OPTIONS",
    uri: str | None = None,
    *,
    more: Lines = (),
    body: str = "",
    version: str = "SIP/2.0",
    **changes: str | None,
) -> Send:
    """A request of the client. `changes` name headers with `_` for `-`."""
    named = {key.replace("_", "-"): value for key, value in changes.items()}
    if body:
        named.setdefault("Content-Length", str(len(body.replace("\n", "\r\n"))))
    where = uri or ("sip:{server}" if method in ANSWERED_HERE else "sip:bob@{hop}")
    return Send("client", message(method, where, lines_of(method, name, named, more), body, version))


def probe(number: int) -> str:
    """An OPTIONS whose answer shows that everything before it is done."""
    return request(f"probe-{number}").text


def answer_to(data: bytes, status: int, more: Lines) -> bytes:
    """What the next hop answers: the usual lines copied, spelled as they came, folds joined."""
    text = re.sub(r"\r\n[ \t]+", " ", data.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape"))
    lines = [f"SIP/2.0 {status} From the hop"]
    for line in text.split("\r\n")[1:]:
        name = line.partition(":")[0].strip().lower()
        if name in ("to", "t") and ";tag=" not in line:
            lines.append(line + ";tag=to-bob")
        elif name in _COPIED:
            lines.append(line)
    return "\r\n".join((*lines, *more, "Content-Length: 0", "", "")).encode("utf-8", "surrogateescape")


def response(name: str, vias: Lines, status: str = "200 OK", more: Lines = ()) -> Send:
    """A response from the next hop that nobody asked for."""
    lines = [f"Via: {via}" for via in vias]
    lines += ["From: <sip:alice@{client}>;tag=from-alice", "To: <sip:bob@{hop}>;tag=to-bob"]
    lines += [f"Call-ID: {name}@side-by-side", "CSeq: 1 INVITE", *more, "Content-Length: 0"]
    return Send("hop", "\n".join((f"SIP/2.0 {status}", *lines, "", "")))


def one(name: str, method: str = "OPTIONS", uri: str | None = None, **fields: object) -> Case:
    return Case(name, (request(name, method, uri, **fields),))  # type: ignore[arg-type]


def written(name: str, text: str) -> Case:
    """A request as it stands here, where the order or the spelling of the lines is the point."""
    return Case(name, (Send("client", text.replace("NAME", name)),))


SDP = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n"

ANSWERED = [
    one("options"),
    one("options-for-a-user", uri="sip:alice@{server}"),
    one("register", "REGISTER", To="<sip:alice@{server}>", Expires="60"),
    one("options-with-a-body", more=["Content-Type: text/plain"], body="hello\n"),
    one("to-with-a-tag", To="<sip:bob@{server}>;tag=in-dialog"),
    one("to-with-a-name", To='"Bob \\"the, builder\\"" <sip:bob@{server};user=phone>;x=1'),
    one("timestamp", more=["Timestamp: 54"]),
    one("require", more=["Require: 100rel"]),
    one("no-contact", Contact=None),
    one("tel-uri", uri="tel:+15551234"),
    one("uri-parameters-and-headers", uri="sip:alice@{server};transport=udp?subject=hi"),
    one("unknown-header", more=["X-Note: one", "X-Note: two"]),
    one("utf-8", more=["Subject: Grüße"]),
]

VIAS = [
    one("via-without-rport", Via="SIP/2.0/UDP {client};branch=z9hG4bK-no-rport"),
    one("via-without-branch", Via="SIP/2.0/UDP {client};rport"),
    one("via-names-another-port", Via="SIP/2.0/UDP {other};branch=z9hG4bK-other"),
    one("via-names-another-port-with-rport", Via="SIP/2.0/UDP {other};branch=z9hG4bK-other;rport"),
    one("via-names-another-host", Via="SIP/2.0/UDP phone.example.invalid:5099;branch=z9hG4bK-host;rport"),
    one("via-received-forged", Via="SIP/2.0/UDP {client};branch=z9hG4bK-forged;received=192.0.2.9"),
    one("via-rport-forged", Via="SIP/2.0/UDP {client};branch=z9hG4bK-forged;rport=9"),
    one("via-rport-in-the-middle", Via="SIP/2.0/UDP {client};rport;branch=z9hG4bK-middle"),
    one(
        "vias-three",
        more=["Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-b", "Via: SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK-c"],
    ),
    one("vias-on-one-line", Via="SIP/2.0/UDP {client};branch=z9hG4bK-a;rport, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-b"),
    one("via-with-blanks", Via="SIP / 2.0 / UDP {client} ; branch = z9hG4bK-blanks ; rport"),
    one("forwarded-vias-three", "MESSAGE", more=["Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-b"]),
    one(
        "forwarded-vias-on-one-line",
        "MESSAGE",
        Via="SIP/2.0/UDP {client};branch=z9hG4bK-a;rport, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-b",
    ),
    one("forwarded-without-rport", "MESSAGE", Via="SIP/2.0/UDP {client};branch=z9hG4bK-no-rport"),
    one("forwarded-via-names-another-port", "MESSAGE", Via="SIP/2.0/UDP {other};branch=z9hG4bK-other"),
    one(
        "forwarded-via-names-another-host", "MESSAGE", Via="SIP/2.0/UDP phone.example.invalid;branch=z9hG4bK-host;rport"
    ),
]

SPELLINGS = [
    written(
        "compact",
        "OPTIONS sip:{server} SIP/2.0\nv: SIP/2.0/UDP {client};branch=z9hG4bK-NAME;rport\nMax-Forwards: 70\n"
        "f: <sip:alice@{client}>;tag=from-alice\nt: <sip:bob@{server}>\ni: NAME@side-by-side\nCSeq: 1 OPTIONS\n"
        "m: <sip:alice@{client}>\nl: 0\n\n",
    ),
    written(
        "forwarded-compact",
        "MESSAGE sip:bob@{hop} SIP/2.0\nv: SIP/2.0/UDP {client};branch=z9hG4bK-NAME;rport\nMax-Forwards: 70\n"
        "f: <sip:alice@{client}>;tag=from-alice\nt: <sip:bob@{hop}>\ni: NAME@side-by-side\nCSeq: 1 MESSAGE\n"
        "c: text/plain\nl: 2\n\nhi",
    ),
    written(
        "folded",
        "OPTIONS sip:{server} SIP/2.0\nVia: SIP/2.0/UDP {client}\n ;branch=z9hG4bK-NAME\n ;rport\nMax-Forwards:\n 70\n"
        "From: <sip:alice@{client}>\n\t;tag=from-alice\nTo:\n <sip:bob@{server}>\nCall-ID: NAME@side-by-side\n"
        "CSeq: 1\n OPTIONS\nContent-Length: 0\n\n",
    ),
    *(
        one(f"folded-{what.lower()}", **{what: value})
        for what, value in {
            "Via": "SIP/2.0/UDP {client};branch=z9hG4bK-f\n ;rport",
            "Max_Forwards": "\n 70",
            "From": "<sip:alice@{client}>\n\t;tag=from-alice",
            "To": "\n <sip:bob@{server}>",
            "CSeq": "1\n OPTIONS",
            "Subject": "one\n  two",
        }.items()
    ),
    written(
        "forwarded-folded",
        "MESSAGE sip:bob@{hop} SIP/2.0\nVia: SIP/2.0/UDP {client}\n ;branch=z9hG4bK-NAME\n ;rport\nMax-Forwards:\n 70\n"
        "From: <sip:alice@{client}>\n\t;tag=from-alice\nTo: <sip:bob@{hop}>\nCall-ID: NAME@side-by-side\n"
        "CSeq: 1 MESSAGE\nSubject: one\n two\nContent-Length: 0\n\n",
    ),
    written(
        "case-and-blanks",
        "OPTIONS sip:{server} SIP/2.0\nvIA: SIP/2.0/UDP {client};branch=z9hG4bK-NAME;rport\nMAX-FORWARDS : 70\n"
        "from: <sip:alice@{client}>;TAG=from-alice\nTO  :   <sip:bob@{server}>\ncall-id:NAME@side-by-side\n"
        "cseq:   0001   OPTIONS\nContent-Length:0\n\n",
    ),
    written(
        "another-order",
        "OPTIONS sip:{server} SIP/2.0\nContent-Length: 0\nCSeq: 1 OPTIONS\nCall-ID: NAME@side-by-side\n"
        "To: <sip:bob@{server}>\nX-First: 1\nFrom: <sip:alice@{client}>;tag=from-alice\n"
        "Via: SIP/2.0/UDP {client};branch=z9hG4bK-NAME;rport\nMax-Forwards: 70\n\n",
    ),
    written(
        "empty-lines-before",
        "\n\nOPTIONS sip:{server} SIP/2.0\nVia: SIP/2.0/UDP {client};branch=z9hG4bK-NAME;rport\nMax-Forwards: 70\n"
        "From: <sip:alice@{client}>;tag=from-alice\nTo: <sip:bob@{server}>\nCall-ID: NAME@side-by-side\n"
        "CSeq: 1 OPTIONS\nContent-Length: 0\n\n",
    ),
    one("version-in-lower-case", version="sip/2.0"),
    one("no-content-length", Content_Length=None),
    one("forwarded-no-content-length", "MESSAGE", Content_Length=None, body="hi", more=["Content-Type: text/plain"]),
    one("content-length-too-small", "MESSAGE", Content_Length="2", body="hi there", more=["Content-Type: text/plain"]),
    one("content-length-too-large", Content_Length="100"),
    one("no-from-tag", From="<sip:alice@{client}>"),
]

HOPS = [
    one("max-forwards-0-options", Max_Forwards="0"),
    one("max-forwards-0", "INVITE", Max_Forwards="0"),
    one("max-forwards-0-ack", "ACK", Max_Forwards="0"),
    one("max-forwards-1", "MESSAGE", Max_Forwards="1"),
    one("max-forwards-missing", "MESSAGE", Max_Forwards=None),
    one("max-forwards-255", "MESSAGE", Max_Forwards="255"),
    one("max-forwards-300", "MESSAGE", Max_Forwards="300"),
    one("max-forwards-word", "MESSAGE", Max_Forwards="many"),
]

REFUSED = [
    one("scheme-unknown", "MESSAGE", "http://example.invalid/"),
    one("proxy-require", "MESSAGE", more=["Proxy-Require: precognition"]),
    one("proxy-require-two", "INVITE", more=["Proxy-Require: precognition", "Proxy-Require: levitation, teleport"]),
    one("proxy-require-ack", "ACK", more=["Proxy-Require: precognition"]),
    one("proxy-require-cancel", "CANCEL", more=["Proxy-Require: precognition"]),
    one("cseq-not-a-number", CSeq="one OPTIONS"),
    one("cseq-of-another-method", CSeq="1 INVITE"),
    one("cseq-without-method", CSeq="1"),
    one("cseq-too-large", CSeq="4294967296 OPTIONS"),
    one("cseq-of-two-to-the-31", CSeq="2147483648 OPTIONS"),
    one("cseq-missing", CSeq=None),
    one("via-missing", Via=None),
    one("from-missing", From=None),
    one("to-missing", To=None),
    one("call-id-missing", Call_ID=None),
    one("call-id-empty", Call_ID=""),
    one("two-call-ids", more=["Call-ID: another@side-by-side"]),
    one("two-content-lengths", more=["Content-Length: 4"]),
    one("from-not-an-address", From="<<sip:alice>;tag=x"),
    one("to-not-an-address", To="<sip:bob@"),
    one("content-length-word", Content_Length="none"),
    one("content-length-negative", Content_Length="-1"),
    one("expires-word", "REGISTER", Expires="soon"),
    one("version-3", version="SIP/3.0"),
    one("via-of-version-3", Via="SIP/3.0/UDP {client};branch=z9hG4bK-3;rport"),
    one("uri-without-host", uri="sip:"),
    one("uri-with-blank", uri="sip:a b@{server}"),
    one("port-too-large", "MESSAGE", "sip:bob@127.0.0.1:70000"),
    one("header-without-colon", more=["X-Note one"]),
    one("uri-in-angle-brackets", uri="<sip:{server}>"),
]

FORWARDED = [
    one("invite", "INVITE", more=["Content-Type: application/sdp"], body=SDP),
    Case(
        "invite-ringing-and-answered",
        (request("invite-ringing-and-answered", "INVITE"),),
        answers=((100, ()), (180, ("Contact: <sip:bob@{hop}>",)), (200, ("Contact: <sip:bob@{hop}>", "Server: desk"))),
    ),
    Case("invite-refused", (request("invite-refused", "INVITE"),), answers=((486, ()),)),
    one("ack", "ACK", To="<sip:bob@{hop}>;tag=to-bob"),
    one("cancel", "CANCEL"),
    one("bye", "BYE", To="<sip:bob@{hop}>;tag=to-bob"),
    one("unknown-method", "CHEERS"),
    one("method-with-marks", "X-DO_IT!"),
    one("contact-star", "MESSAGE", Contact="*"),
    one("forwarded-unknown-headers", "MESSAGE", more=["X-A:  spaced ", "x-b: Grüße", "Subject:"]),
    one("record-route-present", "INVITE", more=["Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>"]),
    one("record-route-options", "OPTIONS", more=["Record-Route: <sip:192.0.2.7;lr>"]),
    one("record-route-subscribe", "SUBSCRIBE", more=["Event: x", "Record-Route: <sip:192.0.2.7;lr>"]),
    one("uri-header-part", "MESSAGE", "sip:bob@{hop}?subject=hi"),
    one("uri-escaped", "MESSAGE", "sip:b%6fb;x=%41@{hop};p=%20"),
]

ROUTES = [
    one("route-to-us", "MESSAGE", Route="<sip:{server};lr>"),
    one("route-to-us-then-hop", "MESSAGE", "sip:bob@192.0.2.5", Route="<sip:{server};lr>, <sip:{hop};lr>"),
    one(
        "route-to-us-then-hop-lines",
        "MESSAGE",
        "sip:bob@192.0.2.5",
        more=["Route: <sip:{server};lr>", "Route: <sip:{hop};lr>"],
    ),
    one("route-in-dialog", "BYE", To="<sip:bob@{hop}>;tag=to-bob", Route="<sip:{server};lr>"),
    one("route-to-hop", "MESSAGE", "sip:bob@192.0.2.5", Route="<sip:{hop};lr>"),
    one("route-twice-us", "MESSAGE", Route="<sip:{server};lr;r2=on>, <sip:{server};lr;r2=on>"),
    one("route-twice-us-unmarked", "MESSAGE", Route="<sip:{server};lr>, <sip:{server};lr>"),
    one("route-strict-next", "MESSAGE", "sip:bob@192.0.2.5", Route="<sip:{server};lr>, <sip:strict@{hop}>"),
    one("route-strict-before", "MESSAGE", "sip:{server};lr", Route="<sip:bob@{hop}>"),
    one("route-broken", "MESSAGE", Route="<sip:{server};lr"),
    one("route-on-options", "OPTIONS", Route="<sip:{server};lr>"),
]

CALL = "SIP/2.0/UDP {client};branch=z9hG4bK-call;rport"
RETRANSMISSIONS = [
    Case("options-twice", (request("options-twice"),) * 2),
    Case("invite-twice", (request("invite-twice", "INVITE"),) * 2, answers=()),
    Case(
        "two-transactions",
        tuple(
            request("two", "MESSAGE", Via=f"SIP/2.0/UDP {{client}};branch=z9hG4bK-{n};rport", CSeq=f"{n} MESSAGE")
            for n in (1, 2)
        ),
        answers=(),
    ),
    Case(
        "invite-and-cancel",
        tuple(request("invite-and-cancel", method, Via=CALL) for method in ("INVITE", "CANCEL")),
        answers=(),
    ),
    Case(
        "two-dialogs-one-branch",
        tuple(
            request("two-dialogs", "MESSAGE", Via="SIP/2.0/UDP {client};branch=z9hG4bK-same;rport", Call_ID=f"{n}@x")
            for n in (1, 2)
        ),
        answers=(),
    ),
    Case(
        "ack-of-an-answer-of-ours",
        (
            request("acked", "INVITE", Max_Forwards="0", Via=CALL),
            request("acked", "ACK", To="<sip:bob@{server}>;tag={tag}", Via=CALL),
        ),
    ),
    Case("loop", (request("loop", "MESSAGE", "sip:bob@{server}", Max_Forwards="3"),)),
]

BELOW = "SIP/2.0/UDP {client};branch=z9hG4bK-below;rport={client-port};received=127.0.0.1"
RESPONSES = [
    Case("response", (response("response", ["SIP/2.0/UDP {server};branch=z9hG4bK-ours", BELOW]),)),
    Case("response-on-one-line", (response("r1", [f"SIP/2.0/UDP {{server}};branch=z9hG4bK-ours, {BELOW}"]),)),
    Case("response-stranger", (response("r2", ["SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK-theirs", BELOW]),)),
    Case("response-only-our-via", (response("r3", ["SIP/2.0/UDP {server};branch=z9hG4bK-ours"]),)),
    Case("response-without-via", (response("r4", []),)),
    Case(
        "response-below-without-received",
        (response("r5", ["SIP/2.0/UDP {server};branch=z9hG4bK-ours", "SIP/2.0/UDP {client};branch=z9hG4bK-below"]),),
    ),
    Case(
        "response-below-with-rport-only",
        (response("r6", ["SIP/2.0/UDP {server};branch=a", "SIP/2.0/UDP {client};branch=b;rport={other-port}"]),),
    ),
    Case("response-299", (response("r7", ["SIP/2.0/UDP {server};branch=a", BELOW], "299 Fine by me"),)),
    Case("response-no-reason", (response("r8", ["SIP/2.0/UDP {server};branch=a", BELOW], "200 "),)),
    Case("response-099", (response("r9", ["SIP/2.0/UDP {server};branch=a", BELOW], "099 No"),)),
    Case("response-700", (response("r10", ["SIP/2.0/UDP {server};branch=a", BELOW], "700 No"),)),
    Case("response-100", (response("r11", ["SIP/2.0/UDP {server};branch=a", BELOW], "100 Trying"),)),
    Case("response-headers", (response("r12", ["SIP/2.0/UDP {server};branch=a", BELOW], more=["X:  y ", "s: a"]),)),
]

CASES = (*ANSWERED, *VIAS, *SPELLINGS, *HOPS, *REFUSED, *FORWARDED, *ROUTES, *RETRANSMISSIONS, *RESPONSES)
