"""RFC 3261 section 16 without a network: what to check, where to send, what to write. Pure: no I/O, no clock."""
