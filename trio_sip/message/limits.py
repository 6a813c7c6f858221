"""How much of a message is taken before it is refused. What is past a limit is answered 400 or 413, never read on."""

from __future__ import annotations

__all__ = ["MAX_BODY_BYTES", "MAX_HEADER_BYTES", "MAX_HEADER_LINES", "MAX_MESSAGE_BYTES"]

MAX_MESSAGE_BYTES = 65_535
"""A datagram cannot be longer; on a stream it is what header section and body may be together."""

MAX_HEADER_BYTES = 65_535
"""The start line and the header section, with the empty line that ends it."""

MAX_HEADER_LINES = 256
"""Header lines, a folded one counted once."""

MAX_BODY_BYTES = 65_535
"""The body of one message."""
