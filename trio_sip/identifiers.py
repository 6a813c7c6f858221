"""Branches, tags and Call-IDs: unguessable in production, reproducible in tests (RFC 3261 8.1.1.7, 19.3).

Two kinds are needed. `token()` is new at every call. `digest(key)` is the same for the same key, so that a
retransmitted request gets the same To tag and the same branch without anything being remembered, and cannot be
computed without the secret.
"""

from __future__ import annotations

import hashlib
import random
import secrets

__all__ = ["Identifiers"]

_TOKEN_BYTES = 12
_DIGEST_BYTES = 8


class Identifiers:
    """A source of identifiers. Without a seed it draws from the system; with one it repeats itself, for tests."""

    def __init__(self, seed: int | None = None) -> None:
        self._random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)
        secret = secrets.token_bytes(32) if seed is None else self._random.randbytes(32)
        self._keyed = hashlib.blake2b(key=secret, digest_size=_DIGEST_BYTES)

    def token(self) -> str:
        """24 hexadecimal digits nobody has seen before."""
        return self._random.randbytes(_TOKEN_BYTES).hex()

    def digest(self, key: bytes) -> bytes:
        """16 hexadecimal digits that depend on `key` and on this source's secret alone."""
        keyed = self._keyed.copy()
        keyed.update(key)
        return keyed.hexdigest().encode()
