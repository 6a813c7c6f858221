"""Floor 2, with Trio: bytes from and to the network. Knows messages only as bytes between two boundaries."""
