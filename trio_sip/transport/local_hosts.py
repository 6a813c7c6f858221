"""The addresses of this machine, asked from the system and remembered for a while.

No list of interfaces is read: the system itself is asked whether it would bind an address, and which one it
would send from. Neither question puts a packet on the wire.
"""

from __future__ import annotations

import socket

import trio

from trio_sip.address import Address, is_ip_address
from trio_sip.errors import TransportError
from trio_sip.transport.destinations import why_unreachable

__all__ = ["MAX_REMEMBERED_HOSTS", "REMEMBERED_FOR", "LocalHosts", "family_of"]

MAX_REMEMBERED_HOSTS = 4096
REMEMBERED_FOR = 30.0
"""Seconds; interfaces come and go while a server runs."""

_ANY_PORT = 9  # of a question, not of a packet


def family_of(host: str) -> socket.AddressFamily:
    """The address family of an IP address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class LocalHosts:
    """Answers `Network.is_local` and `Network.source_host`."""

    def __init__(self) -> None:
        self._local: dict[str, bool] = {}
        self._sources: dict[str, str] = {}
        self._forget_at = float("-inf")

    def is_local(self, host: str) -> bool:
        self._forget()
        known = self._local.get(host)
        if known is None:
            known = self._local[host] = _can_bind(host)
        return known

    def source_host(self, toward: str) -> str:
        self._forget()
        known = self._sources.get(toward)
        if known is None:
            known = self._sources[toward] = _source_toward(toward)
        return known

    def _forget(self) -> None:
        now = trio.current_time()
        full = len(self._local) >= MAX_REMEMBERED_HOSTS or len(self._sources) >= MAX_REMEMBERED_HOSTS
        if full or now >= self._forget_at:
            self._local.clear()
            self._sources.clear()
            self._forget_at = now + REMEMBERED_FOR


def _can_bind(host: str) -> bool:
    if why_unreachable(Address(host, _ANY_PORT)) is not None:  # the system binds 0.0.0.0 and multicast, too
        return False
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _source_toward(host: str) -> str:
    if not is_ip_address(host):
        raise TransportError(f"no source address toward {host!r}: not an IP address")
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            probe.connect((host, _ANY_PORT))
            source: str = probe.getsockname()[0]
    except OSError as error:
        raise TransportError(f"no source address toward {host}: {error.strerror}") from error
    return source.partition("%")[0]
