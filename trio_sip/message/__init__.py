"""SIP messages: their grammar, their values, how they are read and written. Pure: no clock, no sockets."""
