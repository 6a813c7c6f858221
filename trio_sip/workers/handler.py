"""What workers and receive tasks need of whoever processes messages: a `Handler` that opens frames as `Job`s."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from trio_sip.message.frame import Frame

if TYPE_CHECKING:
    from trio_sip.workers.slot import Slot

__all__ = ["Handler", "Job"]


class Job(Protocol):
    """A message in work. Exactly one of the four ends is called, once."""

    frame: Frame

    @property
    def call_id(self) -> str: ...

    def start(self) -> Coroutine[Any, Any, None]:
        """The route, called but not begun."""

    def finished(self) -> None:
        """The route has returned."""

    def failed(self, error: Exception) -> None:
        """The route has raised."""

    def timed_out(self) -> None:
        """The route was cancelled because the time was up, or because the server ends."""

    def dropped(self) -> None:
        """The route was cancelled because it asked for that."""


class Handler(Protocol):
    """Turns frames into jobs."""

    def open(self, frame: Frame, slot: Slot) -> Job | None:
        """Parse and check a frame; None where it needs no route: it is malformed, or answered already."""

    def shed(self, frame: Frame) -> None:
        """Refuse a frame for overload, without a full parse: 503 for a request; a response goes on as it came."""

    def pre_routing_failed(self, frame: Frame, error: Exception) -> None:
        """Pre-routing raised on a frame nobody has taken: 500 for a request; a response goes on as it came."""
