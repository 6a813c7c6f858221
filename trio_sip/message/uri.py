"""`Uri`: sip and sips URIs (RFC 3261 19.1), tel URIs (RFC 3966), and any other scheme as opaque text.

A URI is kept as it was received: order, case and escapes of its parts are not touched, and `str` gives back
the text that came. `attrs.evolve` makes a changed copy, whose text is then written anew. Escapes are decoded
only on the way out (`unescaped_user`, `parameter`), and only once.

The parser is strict: a URI is ASCII without whitespace, control characters, quotes or angle brackets, and its
one "@" ends the user part, whatever that looks like.
"""
# ruff: noqa: ERA001  (ABNF looks like code)

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import attrs

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message.grammar import (
    ESCAPED,
    HOST,
    PORT,
    PORT_MAXIMUM,
    is_host,
    parse_decimal,
    shown,
    write_host,
)

__all__ = ["CACHED_LENGTH", "URI_CACHE_SIZE", "Uri"]

URI_CACHE_SIZE = 8192
CACHED_LENGTH = 256
"""Longer texts are parsed each time, so that the cache is bounded in bytes too."""

Parameters = tuple[tuple[str, str | None], ...]

# unreserved  =  alphanum / mark
# mark        =  "-" / "_" / "." / "!" / "~" / "*" / "'" / "(" / ")"
_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"

# user             =  1*( unreserved / escaped / user-unreserved )
# user-unreserved  =  "&" / "=" / "+" / "$" / "," / ";" / "?" / "/"
# Dial strings bring "#" unescaped; brackets, braces, bars and carets come from gateways.
_USER = rf"(?:[{_UNRESERVED}&=+$,;?/#\[\]{{}}|^`]++|{ESCAPED})+"

# password  =  *( unreserved / escaped / "&" / "=" / "+" / "$" / "," )
_PASSWORD = rf"(?:[{_UNRESERVED}&=+$,]++|{ESCAPED})*"

# uri-parameters    =  *( ";" uri-parameter)
# other-param       =  pname [ "=" pvalue ]
# pname             =  1*paramchar
# pvalue            =  1*paramchar
# paramchar         =  param-unreserved / unreserved / escaped
# param-unreserved  =  "[" / "]" / "/" / ":" / "&" / "+" / "$"
# A value may be empty or hold "=" (tokens in base64).
_PNAME = rf"(?:[{_UNRESERVED}\[\]/:&+$]++|{ESCAPED})+"
_PVALUE = rf"(?:[{_UNRESERVED}\[\]/:&+$=]++|{ESCAPED})*"
_PARAMETERS = rf"(?:;{_PNAME}(?:={_PVALUE})?)*"

# headers         =  "?" header *( "&" header )
# header          =  hname "=" hvalue
# hname           =  1*( hnv-unreserved / unreserved / escaped )
# hvalue          =  *( hnv-unreserved / unreserved / escaped )
# hnv-unreserved  =  "[" / "]" / "/" / "?" / ":" / "+" / "$"
_HNAME = rf"(?:[{_UNRESERVED}\[\]/?:+$]++|{ESCAPED})+"
_HVALUE = rf"(?:[{_UNRESERVED}\[\]/?:+$]++|{ESCAPED})*"
_HEADERS = rf"{_HNAME}={_HVALUE}(?:&{_HNAME}={_HVALUE})*"

# SIP-URI   =  "sip:" [ userinfo ] hostport uri-parameters [ headers ]
# userinfo  =  ( user / telephone-subscriber ) [ ":" password ] "@"
# hostport  =  host [ ":" port ]
_SIP_REST = re.compile(rf"(?:({_USER})(?::({_PASSWORD}))?@)?({HOST})(?::({PORT}))?({_PARAMETERS})(?:\?({_HEADERS}))?")

# telephone-uri         =  "tel:" telephone-subscriber
# telephone-subscriber  =  global-number / local-number
# Both are a number and parameters; what is a number is left to who dials it.
_TEL_REST = re.compile(rf"((?:[{_UNRESERVED}+*#]++|{ESCAPED})+)({_PARAMETERS})")

# absoluteURI  =  scheme ":" ( hier-part / opaque-part )
# scheme       =  ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+")
_OPAQUE_REST = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x7e]++")

_FORBIDDEN = re.compile(r"[^\x21\x23-\x3b\x3d\x3f-\x7e]")
_ESCAPES = re.compile(rf"(?:{ESCAPED})+")
_ESCAPE = re.compile(ESCAPED)
_UNRESERVED_CHARACTER = re.compile(rf"[{_UNRESERVED}]")
_VISUAL_SEPARATORS = str.maketrans("", "", "-.()")

_NEVER_IGNORED = ("transport", "user", "ttl", "method", "maddr")


@attrs.frozen
class Uri:
    """A URI.

    For sip and sips everything but `opaque` is used; for tel `user` is the number, and `parameters` follow;
    for any other scheme `opaque` is all that comes after the colon.

    `user`, `password`, `parameters` and `headers` are escaped as received. `host` is without the brackets of
    an IPv6 address. A parameter that is a flag has the value None.

    >>> uri = Uri.parse("sip:alice@Example.com:5070;lr")
    >>> str(attrs.evolve(uri, host="2001:db8::1", port=None))
    'sip:alice@[2001:db8::1];lr'
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()
    opaque: str = ""
    _text: str | None = attrs.field(default=None, init=False, eq=False, repr=False)

    @staticmethod
    def parse(text: str) -> Uri:
        """Read a URI that is all of `text`. Raises `RemoteProtocolError` (400), never anything else."""
        return _parse_remembered(text) if len(text) <= CACHED_LENGTH else _parse(text)

    def __str__(self) -> str:
        """The text as received, or written anew for a changed copy.

        Raises `LocalProtocolError` where the parts of a changed copy do not make such a URI, for example a
        user with an unescaped "@".
        """
        text = self._text
        if text is None:
            text = _write_checked(self)
            object.__setattr__(self, "_text", text)
        return text

    @property
    def is_sip(self) -> bool:
        """Whether this is a sip or sips URI."""
        return self.scheme == "sip" or self.scheme == "sips"

    @property
    def unescaped_user(self) -> str | None:
        """The user with its %-escapes decoded, as UTF-8 with surrogateescape: it may hold any character."""
        return None if self.user is None else _unescape(self.user)

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case, or None."""
        value = self.parameter("transport")
        return value.lower() if value else None

    @property
    def maddr(self) -> str | None:
        """The maddr parameter, without the brackets of an IPv6 address, or None."""
        value = self.parameter("maddr")
        return value.strip("[]") if value else None

    @property
    def lr(self) -> bool:
        """Whether this names a loose router (RFC 3261 16.12)."""
        return self.has_parameter("lr")

    @property
    def address_port(self) -> int:
        """The port, or the default: 5061 for sips and for TLS, 5060 otherwise (RFC 3261 19.1.2)."""
        if self.port is not None:
            return self.port
        return 5061 if self.scheme == "sips" or self.transport == "tls" else 5060

    def parameter(self, name: str) -> str | None:
        """The first parameter of that name in any case, escapes decoded; "" for a flag; None if absent."""
        wanted = name.lower()
        for pname, value in self.parameters:
            if pname.lower() == wanted or ("%" in pname and _unescape(pname).lower() == wanted):
                return _unescape(value) if value else ""
        return None

    def has_parameter(self, name: str) -> bool:
        """Whether there is a parameter of that name, in any case."""
        return self.parameter(name) is not None

    def without_headers(self) -> Uri:
        """This URI as a Request-URI may be: without headers and the method parameter (RFC 3261 19.1.1)."""
        if not self.headers and not self.has_parameter("method"):
            return self
        kept = tuple(pair for pair in self.parameters if _unescape(pair[0]).lower() != "method")
        return attrs.evolve(self, parameters=kept, headers=())

    def matches(self, other: Uri) -> bool:
        """Whether both are equivalent by RFC 3261 19.1.4, IPv6 addresses by value (RFC 5954). Not transitive.

        tel URIs are compared without visual separators (RFC 3966 4), other schemes as text.
        """
        if self.scheme != other.scheme:
            return False
        if self.is_sip:
            return _same_sip(self, other)
        if self.scheme == "tel":
            return _telephone(self) == _telephone(other)
        return self.opaque == other.opaque


def _parse(text: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    if not colon or _SCHEME.fullmatch(scheme) is None:
        raise RemoteProtocolError(f"URI {shown(text)} does not begin with a scheme")
    scheme = scheme.lower()
    if scheme == "sip" or scheme == "sips":
        uri = _parse_sip(scheme, rest, text)
    elif scheme == "tel":
        uri = _parse_tel(rest, text)
    elif _OPAQUE_REST.fullmatch(rest) is not None:
        uri = Uri(scheme, opaque=rest)
    else:
        raise _malformed(text, rest)
    object.__setattr__(uri, "_text", text)
    return uri


_parse_remembered = lru_cache(maxsize=URI_CACHE_SIZE)(_parse)


def _parse_sip(scheme: str, rest: str, text: str) -> Uri:
    match = _SIP_REST.fullmatch(rest)
    if match is None:
        raise _malformed(text, rest)
    user, password, host, port, parameters, headers = match.groups()
    if not is_host(host):
        raise RemoteProtocolError(f"URI {shown(text)}: {shown(host)} is not a host")
    return Uri(
        scheme,
        user,
        password,
        host.strip("[]"),
        None if port is None else parse_decimal(port, PORT_MAXIMUM, "port of a URI"),
        _split_parameters(parameters),
        _split_headers(headers) if headers else (),
    )


def _parse_tel(rest: str, text: str) -> Uri:
    match = _TEL_REST.fullmatch(rest)
    if match is None:
        raise _malformed(text, rest)
    return Uri("tel", match[1], parameters=_split_parameters(match[2]))


def _split_parameters(text: str) -> Parameters:
    pairs = [item.partition("=") for item in text.split(";")[1:]]
    return tuple((name, value if equals else None) for name, equals, value in pairs)


def _split_headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [item.partition("=") for item in text.split("&")]
    return tuple((name, value) for name, _, value in pairs)


def _malformed(text: str, rest: str) -> RemoteProtocolError:
    forbidden = _FORBIDDEN.search(rest)
    if forbidden is not None:
        return RemoteProtocolError(f"URI {shown(text)} holds {forbidden[0]!r}, which has to be escaped")
    if not rest:
        return RemoteProtocolError(f"URI {shown(text)} ends after its scheme")
    if "[" not in rest and rest.rpartition("@")[2].partition(";")[0].count(":") > 1:
        return RemoteProtocolError(f"URI {shown(text)}: an IPv6 address has to be in brackets")
    return RemoteProtocolError(f"URI {shown(text)} is malformed")


def _write(uri: Uri) -> str:
    parts = [uri.scheme, ":", uri.opaque]
    if uri.user is not None:
        parts.append(uri.user)
    if uri.password is not None:
        parts.append(f":{uri.password}")
    if uri.user is not None and uri.is_sip:
        parts.append("@")
    parts.append(write_host(uri.host))
    if uri.port is not None:
        parts.append(f":{uri.port}")
    parts += [f";{name}" if value is None else f";{name}={value}" for name, value in uri.parameters]
    if uri.headers:
        parts.append("?" + "&".join(f"{name}={value}" for name, value in uri.headers))
    return "".join(parts)


def _write_checked(uri: Uri) -> str:
    text = _write(uri)
    try:
        same = Uri.parse(text) == uri
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"{uri!r} cannot be written: {error}") from error
    if not same:
        raise LocalProtocolError(f"{uri!r} cannot be written: {shown(text)} would be read as another URI")
    return text


def _unescape(text: str) -> str:
    return _ESCAPES.sub(_decode, text) if "%" in text else text


def _decode(escapes: re.Match[str]) -> str:
    return bytes.fromhex(escapes[0].replace("%", "")).decode("utf-8", "surrogateescape")


def _normal(text: str) -> str:
    """`text` with the escapes of unreserved characters decoded and those of others in upper case."""
    return _ESCAPE.sub(_normal_escape, text) if "%" in text else text


def _normal_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED_CHARACTER.fullmatch(character) else escape[0].upper()


def _same_sip(one: Uri, other: Uri) -> bool:
    return (
        one.port == other.port
        and _same_host(one.host, other.host)
        and _normal(one.user or "") == _normal(other.user or "")
        and _normal(one.password or "") == _normal(other.password or "")
        and (one.user is None) == (other.user is None)
        and _same_parameters(one, other)
        and _comparable_headers(one) == _comparable_headers(other)
    )


def _same_host(one: str, other: str) -> bool:
    if ":" in one and ":" in other:
        return _ipv6_value(one) == _ipv6_value(other)
    return one.lower() == other.lower()


def _ipv6_value(host: str) -> object:
    try:
        return ipaddress.IPv6Address(host.replace(":::", "::"))
    except ValueError:
        return host.lower()


def _same_parameters(one: Uri, other: Uri) -> bool:
    if not one.parameters and not other.parameters:
        return True
    mine, theirs = _comparable_parameters(one), _comparable_parameters(other)
    if any(mine.get(name) != theirs.get(name) for name in _NEVER_IGNORED):
        return False
    return all(theirs.get(name, value) == value for name, value in mine.items())


def _comparable_parameters(uri: Uri) -> dict[str, str]:
    # backwards, so that the first of a name wins as it does in `parameter`
    return {_normal(name).lower(): _normal(value or "").lower() for name, value in reversed(uri.parameters)}


def _comparable_headers(uri: Uri) -> frozenset[tuple[str, str]]:
    return frozenset((_normal(name).lower(), _normal(value).lower()) for name, value in uri.headers)


def _telephone(uri: Uri) -> tuple[str, dict[str, str]]:
    return _normal(uri.user or "").translate(_VISUAL_SEPARATORS).lower(), _comparable_parameters(uri)
