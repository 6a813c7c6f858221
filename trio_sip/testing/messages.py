"""Messages for tests, written line by line so that a test can also make them wrong."""

from __future__ import annotations

from collections.abc import Iterable

from trio_sip.address import Address

__all__ = ["make_request", "make_response"]

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
) -> bytes:
    """A request with what RFC 3261 8.1.1 asks for, from a user agent at `source`, with rport.

    `headers` are added, except that those already there are replaced, in place, and left out where the
    value is None.
    """
    call_id = f"call-1@{source.host}" if call_id is None else call_id
    branch = f"z9hG4bK-{method}-{cseq}-{call_id}" if branch is None else branch
    lines: list[tuple[str, str]] = [
        ("Via", f"SIP/2.0/{transport} {source};branch={branch};rport"),
        ("Max-Forwards", "70"),
        ("From", f"<sip:caller@{source}>;tag={from_tag}"),
        ("To", f"<{uri}>" if to_tag is None else f"<{uri}>;tag={to_tag}"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        ("Contact", f"<sip:caller@{source}>"),
        ("Content-Length", str(len(body))),
    ]
    return _write(f"{method} {uri} SIP/2.0", _with(lines, headers), body)


def make_response(
    request: bytes,
    status: int,
    reason: str = "Because",
    *,
    to_tag: str | None = "callee",
    headers: Headers = (),
    body: bytes = b"",
) -> bytes:
    """An answer to `request` (RFC 3261 8.2.6): the usual headers copied, a To tag if missing."""
    lines: list[tuple[str, str]] = []
    for line in request.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key, value = name.strip().lower(), value.strip()
        if key in _COPIED:
            lines.append((name.strip(), value))
        elif key in ("to", "t"):
            tag = "" if to_tag is None or ";tag=" in value else f";tag={to_tag}"
            lines.append((name.strip(), value + tag))
    lines.append(("Content-Length", str(len(body))))
    return _write(f"SIP/2.0 {status} {reason}", _with(lines, headers), body)


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


def _write(start_line: str, lines: list[tuple[str, str]], body: bytes) -> bytes:
    text = "".join(f"{line}\r\n" for line in (start_line, *(f"{name}: {value}" for name, value in lines), ""))
    return text.encode("utf-8", "surrogateescape") + body
