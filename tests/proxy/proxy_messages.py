"""Requests and responses as a proxy at `OURS` gets them."""

from __future__ import annotations

from trio_sip.address import Address
from trio_sip.message.model import Request, Response
from trio_sip.message.parse import parse

__all__ = ["OURS", "SOURCE", "is_ours", "request", "response"]

OURS = Address("10.0.0.1", 5060)
SOURCE = Address("10.0.0.2", 40_000)


def is_ours(address: Address) -> bool:
    return address in (OURS, Address("proxy.example.com", 5060))


def request(
    *more: str,
    method: str = "INVITE",
    uri: str = "sip:bob@example.net",
    via: str = "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1",
    hops: str | None = "70",
    call_id: str = "x",
    cseq: str = "1",
    body: str = "",
) -> Request:
    """A request with one Via line and `more` lines before Content-Length."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via}",
        *([] if hops is None else [f"Max-Forwards: {hops}"]),
        "From: <sip:alice@example.com>;tag=1",
        "To: <sip:bob@example.net>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *more,
        f"Content-Length: {len(body)}",
    ]
    message = parse("\r\n".join([*lines, "", body]).encode("utf-8", "surrogateescape"))
    assert isinstance(message, Request)
    return message


def response(*lines: str, body: str = "", tail: str = "") -> Response:
    """A 200 with these lines, Vias among them, and the other mandatory headers behind."""
    rest = ["From: <sip:a@b>;tag=1", "To: <sip:c@d>;tag=2", "Call-ID: x", "CSeq: 1 INVITE"]
    message = parse("\r\n".join(["SIP/2.0 200 OK", *lines, *rest, "", body + tail]).encode())
    assert isinstance(message, Response)
    return message
