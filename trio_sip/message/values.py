"""Header values with an inner shape: `Via`, `NameAddr` (From, To, Contact, Route, Record-Route), `CSeq`.

`parse` reads one value, already separated from its neighbours by `split_commas`, and raises
`RemoteProtocolError` (400) for text that is not one, never anything else. `str` writes a value in its
plainest form. Header parameters are kept as (name, value) pairs in order; a value stays as it was received,
quotes included, and is None for a flag.
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message.grammar import (
    DISPLAY_NAME,
    HOST,
    METHOD,
    OWS,
    PARAMETER_VALUE,
    PORT,
    PORT_MAXIMUM,
    QUOTED_STRING,
    RWS,
    TOKEN,
    WSP,
    is_host,
    is_parameter_value,
    is_token,
    parse_decimal,
    quote,
    shown,
    unfold,
    unquote,
    write_host,
)
from trio_sip.message.uri import CACHED_LENGTH, Parameters, Uri

__all__ = [
    "CSEQ_MAXIMUM",
    "TTL_MAXIMUM",
    "VALUE_CACHE_SIZE",
    "CSeq",
    "NameAddr",
    "Parameters",
    "Via",
    "find_parameter",
    "parse_decimal",
    "parse_parameters",
    "split_commas",
    "write_parameters",
]

VALUE_CACHE_SIZE = 4096
CSEQ_MAXIMUM = 2**31 - 1
TTL_MAXIMUM = 255

# via-parm           =  sent-protocol LWS sent-by *( SEMI via-params )
# sent-protocol      =  protocol-name SLASH protocol-version SLASH transport
# sent-by            =  host [ COLON port ]
_SENT = re.compile(rf"{OWS}({TOKEN}){OWS}/{OWS}({TOKEN}){OWS}/{OWS}({TOKEN}){RWS}({HOST})(?:{OWS}:{OWS}({PORT}))?{OWS}")

# name-addr  =  [ display-name ] LAQUOT addr-spec RAQUOT
_NAME_ADDR = re.compile(rf"{OWS}(?:({QUOTED_STRING})|({DISPLAY_NAME}))?{OWS}<([^<>]*+)>(.*+)", re.DOTALL)

# generic-param  =  token [ EQUAL gen-value ]
# gen-value      =  token / host / quoted-string
_PLAIN_PARAMETERS = re.compile(rf"(?:;{TOKEN}(?:={PARAMETER_VALUE})?)*")
_PARAMETER = re.compile(rf"{OWS};{OWS}({TOKEN})(?:{OWS}={OWS}({PARAMETER_VALUE}|{QUOTED_STRING}))?")

# CSeq  =  "CSeq" HCOLON 1*DIGIT LWS Method
_CSEQ = re.compile(rf"{OWS}([^ \t]++){RWS}({METHOD}){OWS}")

# One element of a list: everything up to a comma that is outside quotes and angle brackets, or to the end.
_ELEMENT = re.compile(rf'((?:[^,"<]++|{QUOTED_STRING}|<[^<>]*+>)*)(,|\Z)')

# More than one of these would leave it open where a response goes or which dialog is meant.
_SINGLE_IN_VIA = ("branch", "received", "rport", "maddr", "ttl")
_SINGLE_IN_NAME_ADDR = ("tag",)


@attrs.frozen
class Via:
    """One Via: the transport in upper case, sent-by without IPv6 brackets, and parameters (RFC 3261 20.42).

    >>> via = Via.parse("SIP / 2.0 / udp  192.0.2.2 : 5060 ;branch=z9hG4bK1;rport")
    >>> str(via.with_parameter("rport", "5062"))
    'SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1;rport=5062'
    """

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()

    @staticmethod
    def parse(text: str) -> Via:
        """Read one via-parm. Raises `RemoteProtocolError` (400)."""
        sent, semicolon, rest = unfold(text).partition(";")
        transport, host, port = _sent_remembered(sent) if len(sent) <= CACHED_LENGTH else _parse_sent(sent)
        if not semicolon:
            return Via(transport, host, port)
        parameters = parse_parameters(";" + rest)
        _refuse_duplicates(parameters, _SINGLE_IN_VIA, "Via")
        return Via(transport, host, port, parameters)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {write_host(self.host)}{port}{write_parameters(self.parameters)}"

    @property
    def branch(self) -> str | None:
        """The branch as received, or None: RFC 2543 had none."""
        return self.parameter("branch")

    @property
    def received(self) -> str | None:
        """Where the message came from, without IPv6 brackets. It is what the peer wrote, unchecked."""
        value = self.parameter("received")
        return value.strip("[]") if value else None

    @property
    def maddr(self) -> str | None:
        """Where responses are to go, without IPv6 brackets. It is what the peer wrote, unchecked."""
        value = self.parameter("maddr")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The port the message came from (RFC 3581). Raises `RemoteProtocolError` if it is not a port."""
        value = self.parameter("rport")
        return parse_decimal(value, PORT_MAXIMUM, "rport of a Via") if value else None

    @property
    def wants_rport(self) -> bool:
        """Whether rport is there without a value: the client asks for responses to the port it sent from."""
        return self.parameter("rport") == ""

    @property
    def ttl(self) -> int | None:
        """The time to live of multicast. Raises `RemoteProtocolError` if it is not a number up to 255."""
        value = self.parameter("ttl")
        return parse_decimal(value, TTL_MAXIMUM, "ttl of a Via") if value else None

    @property
    def address_port(self) -> int:
        """The port of sent-by, or the default: 5061 for TLS, 5060 otherwise."""
        if self.port is not None:
            return self.port
        return 5061 if self.transport == "TLS" else 5060

    def parameter(self, name: str) -> str | None:
        """The parameter of that name in any case, without quotes; "" for a flag; None if absent."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> Via:
        """A copy with the parameter set where it stands, or else at the end. None makes a flag.

        A value that is neither a token nor a host is quoted. Raises `LocalProtocolError` for a name that is
        not a token or a value with a line break.
        """
        parameters = _set_parameter(self.parameters, name, value)
        return Via(self.transport, self.host, self.port, parameters)


@attrs.frozen
class NameAddr:
    """A name-addr, or an addr-spec standing for one, with header parameters (RFC 3261 20.10).

    `display_name` is without quotes and escapes, and "" if there is none.

    >>> NameAddr.parse('"A. Bell" <sip:bell@example.com>;tag=1').tag
    '1'
    """

    display_name: str
    uri: Uri
    parameters: Parameters = ()

    @staticmethod
    def parse(text: str) -> NameAddr:
        """Read `"Name" <uri>;parameters`, or `uri;parameters` where every parameter belongs to the header.

        Raises `RemoteProtocolError` (400).
        """
        return _name_addr_remembered(text) if len(text) <= CACHED_LENGTH else _parse_name_addr(text)

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{write_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """The tag, or None."""
        return self.parameter("tag")

    def parameter(self, name: str) -> str | None:
        """The first parameter of that name in any case, without quotes; "" for a flag; None if absent."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> NameAddr:
        """A copy with the parameter set, as `Via.with_parameter` does it."""
        return NameAddr(self.display_name, self.uri, _set_parameter(self.parameters, name, value))


@attrs.frozen
class CSeq:
    """A CSeq: a number under 2**31 and a method (RFC 3261 20.16)."""

    number: int
    method: str

    @staticmethod
    def parse(text: str) -> CSeq:
        """Read a CSeq. Raises `RemoteProtocolError` (400)."""
        return _cseq_remembered(text) if len(text) <= CACHED_LENGTH else _parse_cseq(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def split_commas(value: str) -> list[str]:
    """Split a list at the commas outside quotes and angle brackets, without the blanks around its elements.

    An empty value is an empty list. Raises `RemoteProtocolError` (400) for an empty element among others, and
    for a quote or angle bracket that is not closed.
    """
    value = unfold(value)
    if '"' not in value and "<" not in value:
        elements = [element.strip(WSP) for element in value.split(",")]
        if elements == [""]:
            return []
    else:
        elements = _split_quoted(value)
    if "" in elements:
        raise RemoteProtocolError(f"list {shown(value)} has an empty element")
    return elements


def parse_parameters(text: str) -> Parameters:
    """Read `;name=value;flag`, from the first semicolon on, with blanks around ";" and "=" where they may be.

    Raises `RemoteProtocolError` (400). A name may come twice: `find_parameter` gives the first.
    """
    if _PLAIN_PARAMETERS.fullmatch(text) is None:
        return _parse_parameters_with_care(unfold(text).strip(WSP))
    pairs: list[tuple[str, str | None]] = []
    for item in text.split(";")[1:]:
        name, _, value = item.partition("=")
        pairs.append((name, value or None))
    return tuple(pairs)


def find_parameter(parameters: Parameters, name: str) -> str | None:
    """The first parameter of that name in any case, without quotes; "" for a flag; None if absent."""
    wanted = name.lower()
    for pname, value in parameters:
        if pname.lower() == wanted:
            return unquote(value) if value else ""
    return None


def write_parameters(parameters: Parameters) -> str:
    """`;name=value;flag` again."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in parameters])


def _split_quoted(value: str) -> list[str]:
    elements = []
    position = 0
    while match := _ELEMENT.match(value, position):
        elements.append(match[1].strip(WSP))
        if not match[2]:
            return elements
        position = match.end()
    raise RemoteProtocolError(f"a quoted string or angle bracket is not closed in {shown(value[position:])}")


def _parse_parameters_with_care(text: str) -> Parameters:
    pairs: list[tuple[str, str | None]] = []
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            break
        pairs.append((match[1], match[2]))
        position = match.end()
    if position < len(text):
        raise RemoteProtocolError(f"parameters {shown(text)} are malformed at {shown(text[position:])}")
    return tuple(pairs)


def _refuse_duplicates(parameters: Parameters, single: tuple[str, ...], what: str) -> None:
    names = [name.lower() for name, _ in parameters]
    if len(set(names)) == len(names):
        return
    for name in single:
        if names.count(name) > 1:
            raise RemoteProtocolError(f"{what} has more than one {name}")


def _set_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    if not is_token(name):
        raise LocalProtocolError(f"a parameter name has to be a token, not {shown(name)}")
    pair = (name, value if value is None or is_parameter_value(value) else quote(value))
    lower = name.lower()
    for index, (pname, _) in enumerate(parameters):
        if pname.lower() == lower:
            return (*parameters[:index], pair, *parameters[index + 1 :])
    return (*parameters, pair)


def _parse_sent(text: str) -> tuple[str, str, int | None]:
    match = _SENT.fullmatch(text)
    if match is None:
        raise RemoteProtocolError(f"Via {shown(text)} is not 'SIP/2.0/transport host:port'")
    name, version, transport, host, port = match.groups()
    if name.upper() != "SIP" or version != "2.0":
        raise RemoteProtocolError(f"Via {shown(text)} is not of SIP/2.0")
    if not is_host(host):
        raise RemoteProtocolError(f"Via {shown(text)}: {shown(host)} is not a host")
    number = None if port is None else parse_decimal(port, PORT_MAXIMUM, "port of a Via")
    return transport.upper(), host.strip("[]"), number


_sent_remembered = lru_cache(maxsize=VALUE_CACHE_SIZE)(_parse_sent)


def _parse_name_addr(text: str) -> NameAddr:
    text = unfold(text)
    spec, semicolon, rest = text.partition(";")
    if "<" in spec or '"' in spec:
        match = _NAME_ADDR.fullmatch(text)
        if match is None:
            raise _malformed_name_addr(text)
        quoted, bare, address, tail = match.groups()
        name = unquote(quoted) if quoted else bare.strip(WSP) if bare else ""
    else:
        name, address, tail = "", spec.strip(WSP), semicolon + rest
        if "?" in address or "," in address:
            raise RemoteProtocolError(f"address {shown(text)} has to be in angle brackets because of its '?' or ','")
    parameters = parse_parameters(tail)
    _refuse_duplicates(parameters, _SINGLE_IN_NAME_ADDR, "address")
    return NameAddr(name, Uri.parse(address), parameters)


_name_addr_remembered = lru_cache(maxsize=VALUE_CACHE_SIZE)(_parse_name_addr)


def _malformed_name_addr(text: str) -> RemoteProtocolError:
    before = text.partition("<")[0].strip(WSP)
    if before.startswith('"'):
        return RemoteProtocolError(f"address {shown(text)}: its display name is not a quoted string before <...>")
    if before:
        return RemoteProtocolError(f"address {shown(text)}: its display name needs quotes, or its '<' is not closed")
    return RemoteProtocolError(f"address {shown(text)}: its '<' is not closed")


def _parse_cseq(text: str) -> CSeq:
    match = _CSEQ.fullmatch(unfold(text))
    if match is None:
        raise RemoteProtocolError(f"CSeq {shown(text)} is not a number and a method")
    return CSeq(parse_decimal(match[1], CSEQ_MAXIMUM, "CSeq"), match[2])


_cseq_remembered = lru_cache(maxsize=VALUE_CACHE_SIZE)(_parse_cseq)
