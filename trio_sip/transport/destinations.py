"""Where the router does not send, whatever a message says."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from trio_sip.address import Address

__all__ = ["MAX_REMEMBERED", "why_unreachable"]

MAX_REMEMBERED = 4096

_LIMITED_BROADCAST = ipaddress.ip_address("255.255.255.255")


@lru_cache(maxsize=MAX_REMEMBERED)
def why_unreachable(remote: Address) -> str | None:
    """Why nothing is sent to `remote`, or None if it may be tried.

    Port 0 and the unspecified address (to the system: this machine) name nobody. One datagram to a
    broadcast or multicast address could be answered by many, and Via and Contact are written by strangers
    (RFC 4475 3.3.10).
    """
    if not 0 < remote.port <= 65535:
        return "there is no such port"
    try:
        host = ipaddress.ip_address(remote.host)
    except ValueError:
        return "not an IP address"
    host = getattr(host, "ipv4_mapped", None) or host
    if host.is_unspecified:
        return "the unspecified address"
    if host.is_multicast or host == _LIMITED_BROADCAST:
        return "a broadcast or multicast address"
    return None
