"""Kamailio's `$var(name)`: values a script keeps under a name while it works on one message.

They live as long as the message is worked on in one place. So what pre-routing sets is there in a route that runs in
the receive task, and is gone in a worker, as everything else it set is; only `xdata` is passed on, and a worker finds
it as `$var(xdata)`. In Kamailio they belong to the process, and the next message finds them as the last one left them.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import trio

from trio_sip.message.frame import Frame
from trio_sip.workers.slot import SLOT

__all__ = ["XDATA", "Variables", "script_variables"]

XDATA = "xdata"
"""The variable a worker finds the `xdata` of `delegate` in."""

Variables = dict[str, object]

# By the cancel scope the message lives in. A scope serves one message after the other, so the frame stands beside.
_BY_SCOPE: WeakKeyDictionary[trio.CancelScope, tuple[Frame, Variables]] = WeakKeyDictionary()


def script_variables(frame: Frame) -> Variables:
    """The variables of the message that came as `frame`, to read and to set."""
    slot = SLOT.get(None)
    if slot is None:
        return _fresh(frame)
    owner, variables = _BY_SCOPE.get(slot.scope, (None, {}))
    if owner is not frame:
        variables = _fresh(frame)
        _BY_SCOPE[slot.scope] = (frame, variables)
    return variables


def _fresh(frame: Frame) -> Variables:
    return {} if frame.xdata is None else {XDATA: frame.xdata}
