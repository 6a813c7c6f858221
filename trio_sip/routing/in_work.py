"""What a request and a response in work have in common: where it came from, and who works on it."""

from __future__ import annotations

from typing import Any

from trio_sip.address import Address
from trio_sip.message.frame import Frame
from trio_sip.workers.slot import Slot

__all__ = ["InWork"]


class InWork:
    """Mixed into the messages a route gets."""

    __slots__ = ()

    frame: Frame
    """What was received."""
    _slot: Slot | None
    """Where it is worked on; None where no route is asked about it."""

    @property
    def source(self) -> Address:
        """Who sent it."""
        return self.frame.source

    @property
    def local(self) -> Address:
        """Where it was received."""
        return self.frame.local

    @property
    def transport(self) -> str:
        """`"udp"` or `"tcp"`."""
        return self.frame.transport

    @property
    def worker_active(self) -> bool:
        """True in a worker, False in the receive task; Kamailio's `sworker_active()`."""
        return self.group is not None

    @property
    def group(self) -> str | None:
        """The name of the worker group, None in the receive task."""
        return None if self._slot is None else self._slot.group

    @property
    def xdata(self) -> Any:
        """What was passed as `frame.delegate(group, xdata=...)`, else None."""
        return self.frame.xdata
