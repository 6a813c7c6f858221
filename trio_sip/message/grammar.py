"""The lexical grammar of RFC 3261 25.1: what a token, a quoted string, a host or a number looks like.

The upper-case names are fragments of regular expressions, to be put together by the modules that read values;
each stands under the ABNF it implements. All text is `str`, decoded as UTF-8 with `surrogateescape`, and the
fragments admit only characters that can be encoded that way again.

No text, however hostile, costs more than a time linear in its size: a repeated character class is possessive,
and what may follow a repeated group begins with other characters than its parts do, so that giving an
iteration back never leads anywhere. Repeated groups are not possessive, because CPython before 3.11.5 keeps
what a failed last iteration has consumed (gh-106052).

Folds are undone by `unfold` before anything is matched: the fragments know SP and HTAB, and no CR or LF
passes one.
"""
# ruff: noqa: ERA001  (ABNF looks like code)

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from trio_sip.address import is_ip_address
from trio_sip.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "DISPLAY_NAME",
    "ESCAPED",
    "HOST",
    "METHOD",
    "OWS",
    "PARAMETER_VALUE",
    "PORT",
    "PORT_MAXIMUM",
    "QUOTED_STRING",
    "RWS",
    "TOKEN",
    "WSP",
    "is_host",
    "is_parameter_value",
    "is_token",
    "parse_decimal",
    "quote",
    "shown",
    "unfold",
    "unquote",
    "write_host",
]

PORT_MAXIMUM = 65535
HOST_MAXIMUM = 255
"""Characters of a host: the bound of a domain name (RFC 1035 2.3.4)."""

_HOSTS_REMEMBERED = 4096
_SHOWN_MAXIMUM = 48

# WSP  =  SP / HTAB
# LWS  =  [*WSP CRLF] 1*WSP ; linear whitespace
# SWS  =  [LWS] ; sep whitespace
WSP = " \t"
OWS = r"[ \t]*+"
RWS = r"[ \t]++"

# UTF8-NONASCII, as surrogateescape hands it over: no surrogate but the 128 that stand for a byte
_NON_ASCII = "\\x80-\\ud7ff\\udc80-\\udcff\\ue000-\\U0010ffff"

# token  =  1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
_TOKEN_CHARACTERS = r"A-Za-z0-9\-.!%*_+`'~"
TOKEN = rf"[{_TOKEN_CHARACTERS}]++"

# Method            =  INVITEm / ACKm / OPTIONSm / BYEm / CANCELm / REGISTERm / extension-method
# extension-method  =  token
METHOD = TOKEN

# quoted-string  =  SWS DQUOTE *(qdtext / quoted-pair ) DQUOTE
# qdtext         =  LWS / %x21 / %x23-5B / %x5D-7E / UTF8-NONASCII
# quoted-pair    =  "\" (%x00-09 / %x0B-0C / %x0E-7F)
_QDTEXT = rf"[\t\x20\x21\x23-\x5b\x5d-\x7e{_NON_ASCII}]"
_QUOTED_PAIR = r"\\[\x00-\x09\x0b\x0c\x0e-\x7f]"
QUOTED_STRING = rf'"(?:{_QDTEXT}++|{_QUOTED_PAIR})*"'

# display-name  =  *(token LWS)/ quoted-string
# This is the first of the two. UTF-8, "@", "/" and parentheses are not tokens, but phones send them bare.
DISPLAY_NAME = rf"[{_TOKEN_CHARACTERS}@/() \t{_NON_ASCII}]++"

# gen-value  =  token / host / quoted-string
# This is the first two. The visible characters that give a header its shape stay out; of the others not all
# are of tokens, but branches and tags in base64, with "@" or with brackets are on the wire, and IPv6
# addresses without brackets are what RFC 5118 4.5 asks to accept.
PARAMETER_VALUE = r"[!#$%&'*+\-./0-9:=?@A-Z\[\]^_`a-z{|}~]++"

# escaped  =  "%" HEXDIG HEXDIG
ESCAPED = r"%[0-9A-Fa-f]{2}"

# host           =  hostname / IPv4address / IPv6reference
# hostname       =  *( domainlabel "." ) toplabel [ "." ]
# IPv6reference  =  "[" IPv6address "]"
# Only the characters: `is_host` judges what they make.
HOST = r"(?:[A-Za-z0-9_.\-]++|\[[0-9A-Fa-f:.]++\])"

# port  =  1*DIGIT
PORT = r"[0-9]++"

_HOSTNAME = re.compile(r"[A-Za-z0-9_\-]++(?:\.[A-Za-z0-9_\-]++)*\.?")
_NUMERIC_LABEL = re.compile(r"[0-9]++|0[xX][0-9A-Fa-f]*+")
_TOKEN = re.compile(TOKEN)
_PARAMETER_VALUE = re.compile(rf"{PARAMETER_VALUE}|{QUOTED_STRING}")
# The look-behind lets a run of blanks be tried from its start only, which keeps the search linear.
_FOLD = re.compile(r"(?<![ \t])(?:[ \t]*+\r\n[ \t]++)+")
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')


def unfold(value: str) -> str:
    """Turn each fold (CRLF and the blanks around it) into one SP (RFC 3261 7.3.1). Other CR and LF stay."""
    return _FOLD.sub(" ", value) if "\n" in value else value


def shown(text: str) -> str:
    """`text` for an error message: repr'd, and shortened if it is long."""
    return repr(text) if len(text) <= _SHOWN_MAXIMUM else repr(text[:_SHOWN_MAXIMUM]) + "..."


def parse_decimal(text: str, maximum: int, what: str) -> int:
    """Read 1*DIGIT: ASCII digits only, leading zeros allowed, 0 to `maximum`. `what` names it in the error.

    Raises `RemoteProtocolError` (400). `int` alone would take "1_0", "+1" and the digits of other scripts.
    """
    if not (text.isascii() and text.isdigit()):
        raise RemoteProtocolError(f"{what} {shown(text)} is not a decimal number from 0 to {maximum}")
    digits = text if len(text) < 20 else text.lstrip("0") or "0"
    if len(digits) > 20 or int(digits) > maximum:
        raise RemoteProtocolError(f"{what} {shown(text)} is larger than {maximum}")
    return int(digits)


def is_token(text: str) -> bool:
    """Whether `text` is a token, as methods and the names of headers and parameters have to be."""
    return _TOKEN.fullmatch(text) is not None


def is_parameter_value(text: str) -> bool:
    """Whether `text` can stand after `name=` as it is: a token, a host or a quoted-string."""
    return _PARAMETER_VALUE.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether `text` is a host as URIs and Via have it: a name, an IPv4 address, or an IPv6 one in brackets.

    Names may hold underscores and begin with digits, as those of phones and containers do. A name that ends
    in a number is refused unless it is an IPv4 address, because resolvers take "127.1" and "0x7f.1" for one.
    In an IPv6 address the ":::" that RFC 3261's own ABNF produced is read as "::" (RFC 5118 4.10, RFC 5954).
    """
    return len(text) <= HOST_MAXIMUM and _is_host_remembered(text)


@lru_cache(maxsize=_HOSTS_REMEMBERED)
def _is_host_remembered(text: str) -> bool:
    if text.startswith("["):
        return text.endswith("]") and "%" not in text and _is_ipv6_address(text[1:-1].replace(":::", "::"))
    if _HOSTNAME.fullmatch(text) is None:
        return False
    last_label = text.rstrip(".").rpartition(".")[2]
    return _NUMERIC_LABEL.fullmatch(last_label) is None or is_ip_address(text)


def write_host(host: str) -> str:
    """`host` as it stands in a URI or a Via: an IPv6 address gets its brackets."""
    return f"[{host}]" if ":" in host else host


def quote(text: str) -> str:
    """Make a quoted-string of `text`. Raises `LocalProtocolError` for a CR or LF, which none can hold."""
    if "\r" in text or "\n" in text:
        raise LocalProtocolError(f"a quoted-string cannot hold a line break: {shown(text)}")
    return f'"{_TO_ESCAPE.sub(_as_pair, text)}"'


def unquote(text: str) -> str:
    """What a quoted-string says; text that is not one is given back as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return _PAIR.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]


def _as_pair(match: re.Match[str]) -> str:
    return "\\" + match[0]


def _is_ipv6_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
