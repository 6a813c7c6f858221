"""Where Kamailio and we do not say the same, and why: every difference there is, and none that is not.

A row is a case, what differs, what Kamailio does, what we do, whose way the RFCs are for, and the reason. Sections are
of RFC 3261 where no other is named. `test_side_by_side.py` fails for a difference without a row, and for a row
without its difference.
"""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["DIFFERENCES", "Difference"]


@attrs.frozen
class Difference:
    """One difference."""

    case: str
    what: str
    theirs: str
    ours: str
    right: Literal["ours", "theirs", "either"]
    reason: str


NOTHING = "nothing"
ON_TO_BOB = "hop: {} sip:bob@HOP SIP/2.0, client: SIP/2.0 200 From the hop"
MESSAGE_ON = ON_TO_BOB.format("MESSAGE")
OK = "client: SIP/2.0 200 OK"
BAD = "client: SIP/2.0 400"
TOO_MANY_HOPS = "client: SIP/2.0 483 Too Many Hops"


def _silent(reason: str, *cases: str, ours: str = BAD) -> list[Difference]:
    return [Difference(case, "messages", NOTHING, ours, "ours", reason) for case in cases]


VIA = [
    Difference(
        "via-received-forged",
        "client 200: via",
        "SIP/2.0/UDP CLIENT;branch=z9hG4bK-forged;received=127.0.0.1;received=192.0.2.9",
        "SIP/2.0/UDP CLIENT;branch=z9hG4bK-forged;received=127.0.0.1",
        "ours",
        "a parameter is there once (7.3.1); the received of the sender is replaced, not kept beside ours",
    ),
    Difference(
        "vias-on-one-line",
        "client 200: via",
        "SIP/2.0/UDP CLIENT;branch=z9hG4bK-a;rport=CLIENT-PORT"
        " | SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-b;received=127.0.0.1",
        "SIP/2.0/UDP CLIENT;branch=z9hG4bK-a;received=127.0.0.1;rport=CLIENT-PORT"
        " | SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-b",
        "ours",
        "received belongs to the topmost Via (18.2.1), not to the last one of its line",
    ),
    Difference(
        "via-with-blanks",
        "client 200: via",
        "SIP / 2.0 / UDP CLIENT;branch = z9hG4bK-blanks;received=127.0.0.1;rport=CLIENT-PORT",
        "SIP/2.0/UDP CLIENT;branch=z9hG4bK-blanks;received=127.0.0.1;rport=CLIENT-PORT",
        "either",
        "a Via we have to change is written anew, without its blanks; it means the same (25.1)",
    ),
]

SPELLINGS = [
    *_silent("a CSeq may be folded as any other header (7.3.1)", "folded", "folded-cseq", ours=OK),
    Difference(
        "another-order",
        "client 200: order of headers",
        "cseq, call-id, to, from, via, content-length",
        "via, from, to, call-id, cseq, content-length",
        "either",
        "the order of headers with different names says nothing (7.3.1)",
    ),
    Difference(
        "version-in-lower-case",
        "client 200: start line",
        "sip/2.0 200 OK",
        "SIP/2.0 200 OK",
        "ours",
        "the version is sent in upper case (7.1)",
    ),
    Difference(
        "forwarded-no-content-length",
        "hop MESSAGE: content-length",
        "none",
        "2",
        "either",
        "UDP does not need one (20.14), a connection behind the next hop would",
    ),
    Difference(
        "content-length-too-small",
        "messages",
        BAD,
        MESSAGE_ON,
        "ours",
        "octets of a datagram after the body are discarded (18.3)",
    ),
]

HOPS = [
    Difference(
        "max-forwards-0-options",
        "messages",
        TOO_MANY_HOPS,
        OK,
        "either",
        "an OPTIONS with Max-Forwards 0 may be answered as if it were for us (16.3 item 3); the route decides",
    ),
    Difference(
        "max-forwards-missing",
        "hop MESSAGE: order of headers",
        "max-forwards, via, from, to, call-id, cseq, contact, content-length",
        "via, from, to, call-id, cseq, contact, content-length, max-forwards",
        "theirs",
        "what a proxy needs had better stand near the top (7.3.1): we add Max-Forwards at the end",
    ),
    Difference(
        "max-forwards-255",
        "hop MESSAGE: max-forwards",
        "70",
        "254",
        "either",
        "16.6 item 3 says one less; Kamailio's maxfwd has a limit of its own",
    ),
    Difference(
        "max-forwards-300",
        "messages",
        MESSAGE_ON,
        BAD,
        "ours",
        "0 to 255 (20.22); 400 for a number out of range (RFC 4475 3.1.2.4)",
    ),
    Difference("max-forwards-word", "messages", TOO_MANY_HOPS, BAD, "ours", "not a number is malformed, not used up"),
    Difference(
        "loop",
        "messages",
        TOO_MANY_HOPS,
        "client: SIP/2.0 482 Loop Detected",
        "ours",
        "our own Via in it, routed by the same: a loop (16.3 item 4); Kamailio lets Max-Forwards end it",
    ),
]

REFUSED = [
    Difference(
        "scheme-unknown",
        "messages",
        BAD,
        "client: SIP/2.0 416 Unsupported URI Scheme",
        "ours",
        "416 for a scheme that is not understood (16.3 item 2)",
    ),
    *[
        Difference(
            case,
            "client 420: start line",
            "SIP/2.0 420 Bad Proxy Require Extension",
            "SIP/2.0 420 Bad Extension",
            "either",
            "the phrase is for people (7.2)",
        )
        for case in ("proxy-require", "proxy-require-two")
    ],
    Difference(
        "proxy-require-two",
        "client 420: unsupported",
        "precognition",
        "precognition, levitation, teleport",
        "ours",
        "Unsupported lists every option we do not have (16.3 item 5)",
    ),
    Difference(
        "proxy-require-ack",
        "messages",
        NOTHING,
        ON_TO_BOB.format("ACK"),
        "ours",
        "Proxy-Require in an ACK is passed over (8.2.2.3)",
    ),
    Difference(
        "proxy-require-cancel",
        "messages",
        "client: SIP/2.0 420 Bad Proxy Require Extension",
        ON_TO_BOB.format("CANCEL"),
        "ours",
        "Proxy-Require in a CANCEL is passed over (8.2.2.3)",
    ),
    *[
        Difference(case, "messages", OK, BAD, "ours", "CSeq is below 2**31 (8.1.1.5; RFC 4475 3.1.2.4)")
        for case in ("cseq-too-large", "cseq-of-two-to-the-31")
    ],
    Difference("call-id-empty", "messages", OK, BAD, "ours", "a Call-ID is a word at least (25.1)"),
    Difference(
        "expires-word",
        "messages",
        BAD,
        OK,
        "ours",
        "an Expires of a REGISTER that cannot be read counts as 3600 (10.2.1.1), and that is for a registrar to do",
    ),
    *_silent(
        "there is a Via, so the sender can be told (8.2, RFC 4475 3.3.1)",
        "cseq-missing",
        "from-missing",
        "to-missing",
        "call-id-missing",
    ),
    *_silent(
        "malformed, with all an answer needs (21.4.1)",
        "cseq-without-method",
        "two-call-ids",
        "two-content-lengths",
        "to-not-an-address",
        "content-length-word",
        "content-length-negative",
        "via-of-version-3",
        "uri-with-blank",
        "header-without-colon",
    ),
    *_silent(
        "505 for a version that is not ours (21.5.6)", "version-3", ours="client: SIP/2.0 505 Version Not Supported"
    ),
]

ROUTES = [
    *[
        Difference(
            case,
            "client 200: record-route",
            "<sip:192.0.2.7;lr>",
            "none",
            "theirs",
            "an answer that makes a dialog has the Record-Route of its request (12.1.1); in others it may be (20.30)",
        )
        for case in ("record-route-options", "record-route-subscribe")
    ],
    Difference(
        "route-twice-us-unmarked",
        "hop MESSAGE: via",
        "SIP/2.0/UDP SERVER;branch=BRANCH1 | SIP/2.0/UDP SERVER;branch=BRANCH2"
        " | SIP/2.0/UDP CLIENT;branch=z9hG4bK-route-twice-us-unmarked;received=127.0.0.1;rport=CLIENT-PORT",
        "SIP/2.0/UDP SERVER;branch=BRANCH1"
        " | SIP/2.0/UDP CLIENT;branch=z9hG4bK-route-twice-us-unmarked;received=127.0.0.1;rport=CLIENT-PORT",
        "either",
        "Kamailio takes off one Route, unless r2 marks a pair, and sends the request to itself; we take off both",
    ),
    Difference("route-twice-us-unmarked", "hop MESSAGE: max-forwards", "68", "69", "either", "the same: one hop more"),
    Difference(
        "route-strict-before",
        "hop MESSAGE: route",
        "<sip:SERVER;lr>",
        "none",
        "ours",
        "the last Route becomes the Request-URI, and none is left (16.4); Kamailio takes it for a strict router",
    ),
    Difference(
        "route-broken", "messages", MESSAGE_ON, BAD, "ours", "who cannot read a Route cannot follow it (21.4.1)"
    ),
]

RESPONSES = [
    Difference(
        "response-stranger",
        "messages",
        OK,
        NOTHING,
        "ours",
        "a response whose topmost Via is not ours is discarded (18.1.2); Kamailio does so with check_via=yes",
    ),
    Difference(
        "response-below-with-rport-only",
        "messages",
        "other: SIP/2.0 200 OK",
        OK,
        "ours",
        "rport counts beside received (RFC 3581 4); we write both, so who writes one is not us",
    ),
    *[
        Difference(
            f"response-{status}",
            "messages",
            f"client: SIP/2.0 {status} No",
            NOTHING,
            "ours",
            "a status begins with 1 to 6 (7.2)",
        )
        for status in ("099", "700")
    ],
]

DIFFERENCES = (*VIA, *SPELLINGS, *HOPS, *REFUSED, *ROUTES, *RESPONSES)
