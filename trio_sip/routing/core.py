"""What all messages of one server share: the ways out, the identifiers, the counters."""

from __future__ import annotations

import attrs

from trio_sip.identifiers import Identifiers
from trio_sip.transport.egress import Egress
from trio_sip.workers.rate_limit import RateLimit

__all__ = ["RETRY_AFTER", "Core", "RoutingStatistics"]

RETRY_AFTER = 5
"""Seconds: what a 503 of ours says in Retry-After."""


@attrs.define
class RoutingStatistics:
    """What became of the messages since the server was started."""

    requests: int = 0
    responses: int = 0
    malformed: int = 0
    """Messages that could not be parsed, and requests that were not allowed on (RFC 3261 16.3)."""
    not_sip: int = 0
    """Bytes nothing could be made of, not even an answer."""
    stray: int = 0
    """Responses whose topmost Via is not ours."""
    absorbed: int = 0
    """ACKs for final answers of our own."""
    replied: int = 0
    forwarded: int = 0


@attrs.define
class Core:
    """Passed to every message."""

    egress: Egress
    identifiers: Identifiers
    counted: RoutingStatistics = attrs.field(factory=RoutingStatistics)
    notes: RateLimit = attrs.field(factory=RateLimit)
    """Decides what is worth a line in the log, however often it happens."""
