"""Kamailio's `$var(name)`: values a script keeps under a name while it works on one message.

They live as long as the message is worked on in one place. So what pre-routing sets is there in a route that runs in
the receive task, and is gone in a worker, as everything else it set is; only `xdata` is passed on, and a worker finds
it as `$var(xdata)`. In Kamailio they belong to the process, and the next message finds them as the last one left them.
"""

from __future__ import annotations

from trio_sip.message.frame import Frame
from trio_sip.workers.slot import SLOT

__all__ = ["XDATA", "Variables", "script_variables"]

XDATA = "xdata"
"""The variable a worker finds the `xdata` of `delegate` in."""

Variables = dict[str, object]


def script_variables(frame: Frame) -> Variables:
    """The variables of the message that came as `frame`, to read and to set."""
    slot = SLOT.get(None)
    if slot is None:
        return _fresh(frame)
    if slot.variables is None or slot.variables[0] is not frame:
        slot.variables = (frame, _fresh(frame))
    return slot.variables[1]


def _fresh(frame: Frame) -> Variables:
    return {} if frame.xdata is None else {XDATA: frame.xdata}
