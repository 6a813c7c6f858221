"""Messages for tests, written line by line so that a test can also make them wrong.

`make_request` and `make_response` are what a peer of the router would send. `make_cancel` and `make_ack` end the
transaction of a request that was sent (RFC 3261 9.1, 17.1.1.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message import model
from trio_sip.message.reasons import REASONS
from trio_sip.message.values import Via, split_commas

__all__ = ["Headers", "make_ack", "make_cancel", "make_request", "make_response", "unless_given", "with_session"]

Headers = Iterable[tuple[str, str | None]]

_COPIED = ("via", "v", "from", "f", "call-id", "i", "cseq")


def make_request(
    method: str,
    uri: str,
    *,
    source: Address,
    call_id: str | None = None,
    branch: str | None = None,
    cseq: int = 1,
    from_tag: str = "caller",
    to_tag: str | None = None,
    headers: Headers = (),
    body: bytes = b"",
    transport: str = "UDP",
    user: str = "caller",
) -> bytes:
    """A request with what RFC 3261 8.1.1 asks for, from `user` at `source`, with rport.

    `headers` are added, except that those already there are replaced, in place, and left out where the
    value is None.
    """
    call_id = f"call-1@{source.host}" if call_id is None else call_id
    branch = f"z9hG4bK-{method}-{cseq}-{call_id}".replace("@", "-") if branch is None else branch
    lines: list[tuple[str, str]] = [
        ("Via", f"SIP/2.0/{transport} {source};branch={branch};rport"),
        ("Max-Forwards", "70"),
        ("From", f"<sip:{user}@{source}>;tag={from_tag}"),
        ("To", f"<{uri}>" if to_tag is None else f"<{uri}>;tag={to_tag}"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        ("Contact", f"<sip:{user}@{source}>"),
        ("Content-Length", str(len(body))),
    ]
    return _write(f"{method} {uri} SIP/2.0", _with(lines, headers), body)


def make_response(
    request: bytes,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = "callee",
    headers: Headers = (),
    body: bytes = b"",
    source: Address | None = None,
) -> bytes:
    """An answer to `request` (RFC 3261 8.2.6): the usual headers copied, a To tag if missing.

    An answer that makes a dialog (101 to 299) has the Record-Routes, too (12.1.1). `source`, where the request came
    from, is written into the topmost Via (18.2.1, RFC 3581). `headers` are as in `make_request`.
    """
    reason = REASONS.get(status, "Unknown") if reason is None else reason
    copied = (*_COPIED, "record-route") if 100 < status < 300 else _COPIED
    lines: list[tuple[str, str]] = []
    for line in request.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key, value = name.strip().lower(), value.strip()
        if key in copied:
            lines.append((name.strip(), value))
        elif key in ("to", "t"):
            tag = "" if to_tag is None or ";tag=" in value else f";tag={to_tag}"
            lines.append((name.strip(), value + tag))
    if source is not None:
        _stamp(lines, source)
    lines.append(("Content-Length", str(len(body))))
    return _write(f"SIP/2.0 {status} {reason}", _with(lines, headers), body)


def make_cancel(request: model.Request) -> bytes:
    """The CANCEL of a request as it was sent (RFC 3261 9.1): it goes where that one went."""
    return _same_hop("CANCEL", request, request.to_value)


def make_ack(request: model.Request, response: model.Response) -> bytes:
    """The ACK for a final response to an INVITE that is not a 2xx (RFC 3261 17.1.1.3): it goes where that one went."""
    return _same_hop("ACK", request, response.to_value)


def unless_given(ours: Headers, given: Headers) -> list[tuple[str, str | None]]:
    """Both, without those of `ours` whose name is also among `given`."""
    theirs = list(given)
    names = {name.lower() for name, _ in theirs}
    return [*((name, value) for name, value in ours if name.lower() not in names), *theirs]


def with_session(address: Address, headers: Headers, body: bytes | None) -> tuple[Headers, bytes]:
    """`headers` and `body`; where there is no body, a session description (RFC 4566) and its type."""
    if body is not None:
        return headers, body
    family = "IP6" if ":" in address.host else "IP4"
    lines = (
        "v=0",
        f"o=- 1 1 IN {family} {address.host}",
        "s=-",
        f"c=IN {family} {address.host}",
        "t=0 0",
        "m=audio 40000 RTP/AVP 0",
        "",
    )
    return unless_given([("Content-Type", "application/sdp")], headers), "\r\n".join(lines).encode()


def _same_hop(method: str, request: model.Request, to_value: bytes) -> bytes:
    lines = [
        ("Via", _text(request.top_via)),
        ("Max-Forwards", "70"),
        *(("Route", value) for value in request.headers.get_all("Route")),
        ("From", _text(request.from_value)),
        ("To", _text(to_value)),
        ("Call-ID", request.call_id),
        ("CSeq", f"{request.cseq_number} {method}"),
        ("Content-Length", "0"),
    ]
    return _write(f"{method} {request.uri_text} SIP/2.0", lines, b"")


def _stamp(lines: list[tuple[str, str]], source: Address) -> None:
    """Write `received` and `rport` into the topmost Via; one that cannot be read stays as it is."""
    for at, (name, value) in enumerate(lines):
        if name.lower() in ("via", "v"):
            with suppress(RemoteProtocolError, ValueError):  # malformed, or empty
                first, *more = split_commas(value)
                lines[at] = (name, ", ".join((str(_stamped(Via.parse(first), source)), *more)))
            return


def _stamped(via: Via, source: Address) -> Via:
    if via.parameter("rport") is not None:
        return via.with_parameter("rport", str(source.port)).with_parameter("received", source.host)
    return via if via.host == source.host else via.with_parameter("received", source.host)


def _with(lines: list[tuple[str, str]], headers: Headers) -> list[tuple[str, str]]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    kept: list[tuple[str, str]] = []
    for name, value in lines:
        if name.lower() not in names:
            kept.append((name, value))
        else:
            kept += _pop(given, name)
    return kept + [(name, value) for name, value in given if value is not None]


def _pop(given: list[tuple[str, str | None]], name: str) -> list[tuple[str, str]]:
    found = [(other, value) for other, value in given if other.lower() == name.lower() and value is not None]
    given[:] = [item for item in given if item[0].lower() != name.lower()]
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _write(start_line: str, lines: list[tuple[str, str]], body: bytes) -> bytes:
    text = "".join(f"{line}\r\n" for line in (start_line, *(f"{name}: {value}" for name, value in lines), ""))
    return text.encode("utf-8", "surrogateescape") + body
