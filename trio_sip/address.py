"""Where messages come from and go to: `Address`, `Destination`, and the `Flow` that leads back (RFC 5626)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple, Protocol

from trio_sip.errors import ListenError

__all__ = ["DEFAULT_PORT", "TRANSPORTS", "Address", "Destination", "Flow", "ListenAddress", "is_ip_address"]

DEFAULT_PORT = 5060
TRANSPORTS = ("udp", "tcp")
_LONGEST_ADDRESS = 64  # characters, with a zone; nothing longer is looked at or remembered


class Address(NamedTuple):
    """A host and a port. `host` is an IP address without brackets, or a name; `port` is 0 to 65535.

    >>> str(Address("::1", 5060))
    '[::1]:5060'
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Destination(NamedTuple):
    """Where a URI or a Via leads to, before any name is resolved. `host` may be a name."""

    transport: str
    host: str
    port: int

    @property
    def address(self) -> Address:
        return Address(self.host, self.port)


class ListenAddress(NamedTuple):
    """One value of `--listen`: `udp:0.0.0.0:5060`, `tcp:[::1]:5060`. Port 0 lets the system choose."""

    transport: str
    address: Address

    def __str__(self) -> str:
        return f"{self.transport}:{self.address}"

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read `transport:host:port`; the port may be left out (5060).

        Raises `ListenError`, which says how to write it.
        """
        transport, separator, rest = text.partition(":")
        if not separator or transport.lower() not in TRANSPORTS:
            raise ListenError(
                f"listen address {text!r}: the transport is {' or '.join(TRANSPORTS)}, as in 'udp:0.0.0.0:5060'"
            )
        host, port = _split_port(text, rest)
        if not is_ip_address(host):
            raise ListenError(
                f"listen address {text!r}: {host!r} is not an IP address; write one, as in 'udp:127.0.0.1:5060'"
            )
        return cls(transport.lower(), Address(host, port))


class Flow(Protocol):
    """The way back to a peer: a UDP socket and an address, or one stream connection.

    `send` never waits. It raises `TransportError` where the flow is known to be dead; a datagram the kernel cannot take
    at once is lost, as UDP loses datagrams, and counted.
    """

    @property
    def transport(self) -> str:
        """`"udp"` or `"tcp"`."""

    @property
    def reliable(self) -> bool:
        """True for streams."""

    @property
    def local(self) -> Address: ...

    @property
    def remote(self) -> Address: ...

    def send(self, data: bytes) -> None: ...


def is_ip_address(host: str) -> bool:
    """Whether `host` is an IPv4 or IPv6 address, without brackets."""
    return len(host) <= _LONGEST_ADDRESS and _is_ip_address_remembered(host)


@lru_cache(maxsize=4096)
def _is_ip_address_remembered(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _split_port(text: str, rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ListenError(f"listen address {text!r}: write an IPv6 address in brackets, as in 'udp:[::1]:5060'")
        digits = tail[1:] if tail else str(DEFAULT_PORT)
    else:
        host, colon, digits = rest.partition(":")
        if ":" in digits:
            raise ListenError(f"listen address {text!r}: write an IPv6 address in brackets, as in 'udp:[::1]:5060'")
        digits = digits if colon else str(DEFAULT_PORT)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        raise ListenError(f"listen address {text!r}: the port must be a number from 0 to 65535, not {digits!r}")
    return host, int(digits)
