"""Messages as they crossed the network: the trace in the words of a diagram.

A datagram is a message. The pieces of a stream are joined to messages, as their receiver joins them. Each gets labels,
from the longest to the shortest, and remarks on what became of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import attrs

from trio_sip.message.framing import FramingError, StreamFramer
from trio_sip.message.parse import is_response, skip_empty_lines
from trio_sip.message.peek import peek_call_id, peek_method, peek_status
from trio_sip.testing.trace import TraceRecord

__all__ = ["Exchange", "read_exchanges"]

_LOST = frozenset({"lost", "partitioned", "unreachable", "overflowed", "too_big"})
_PONG = b"\r\n"
_PING = b"\r\n\r\n"
_NOT_SIP = "not SIP"
_SHOWN_BYTES = 12
_STUN_COOKIE = b"\x21\x12\xa4\x42"


@attrs.frozen
class Exchange:
    """One message on its way: `record` is its first piece, `labels` are the longest first."""

    record: TraceRecord
    labels: tuple[str, ...]
    arrivals: tuple[float, ...]
    remarks: tuple[str, ...] = ()
    call_id: str | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it never got there."""
        return self.record.fate in _LOST or (self.record.fate == "reset" and not self.arrivals)


def read_exchanges(records: Iterable[TraceRecord]) -> list[Exchange]:
    """The messages of a trace, in the order of sending; of a stream, in the order they were complete."""
    streams: dict[tuple[object, object], _Stream] = {}
    seen: Counter[tuple[object, object, bytes]] = Counter()
    found: list[Exchange] = []
    for record in records:
        if record.transport == "udp":
            key = (record.source, record.destination, record.data)
            seen[key] += 1
            found.append(_datagram(record, seen[key]))
        else:
            way = (record.source, record.destination)
            found += streams.setdefault(way, _Stream()).take(record)
    for stream in streams.values():
        found += stream.rest()
    found.sort(key=lambda exchange: exchange.record.time)
    return list(_with_overtaken(found))


def _datagram(record: TraceRecord, times: int) -> Exchange:
    remarks = list(_fate_remarks(record))
    if times > 1 and skip_empty_lines(record.data)[:1] >= b"!":
        remarks.insert(0, "sent again" if times == 2 else f"sent again ({times})")
    return _exchange(record, record.data, record.arrivals, remarks)


def _fate_remarks(record: TraceRecord) -> Iterator[str]:
    if record.fate == "duplicated":
        yield f"again at {max(record.arrivals, default=record.time):.3f}"
    elif record.fate in _REMARKS:
        yield _REMARKS[record.fate]


_REMARKS = {
    "partitioned": "partition",
    "unreachable": "nobody there",
    "overflowed": "overflow",
    "too_big": "over the MTU",
    "stalled": "waits for heal()",
    "reset": "connection reset",
}


def _exchange(
    record: TraceRecord, data: bytes, arrivals: tuple[float, ...], remarks: Sequence[str], *, part: bool = False
) -> Exchange:
    labels = _labels(data)
    if part:
        labels = tuple(f"part of {label}" for label in labels)
    if labels[-1] == _NOT_SIP:
        remarks = [repr(data[:_SHOWN_BYTES]), *remarks]
    return Exchange(record, labels, arrivals, tuple(remarks), peek_call_id(data))


class _Stream:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._framer: StreamFramer | None = StreamFramer()
        self._pieces: list[TraceRecord] = []

    def take(self, record: TraceRecord) -> Iterator[Exchange]:
        """The messages this piece completes, and what is none."""
        if self._framer is None or (not self._pieces and record.data in (_PING, _PONG)):
            yield self._alone(record)
            return
        self._framer.feed(record.data)
        self._pieces.append(record)
        try:
            while (message := self._framer.next_message()) is not None:
                yield self._joined(message)
                del self._pieces[:-1]
        except FramingError:
            self._framer = None
            yield from self.rest()
            return
        if not self._framer.is_partial:
            self._pieces.clear()
        if record.fate == "reset":
            yield from self.rest()
            self._framer = StreamFramer()

    def rest(self) -> Iterator[Exchange]:
        """What was begun and is not complete."""
        if self._pieces:
            data = b"".join(piece.data for piece in self._pieces)
            yield _exchange(self._pieces[0], data, self._arrival(), self._remarks(), part=self._framer is not None)
            self._pieces.clear()

    def _alone(self, record: TraceRecord) -> Exchange:
        return _exchange(record, record.data, record.arrivals, list(_fate_remarks(record)))

    def _joined(self, message: bytes) -> Exchange:
        return _exchange(self._pieces[0], message, self._arrival(), self._remarks())

    def _arrival(self) -> tuple[float, ...]:
        """A message is there when its last piece is."""
        if any(not piece.arrivals for piece in self._pieces):
            return ()
        return (max(piece.arrivals[-1] for piece in self._pieces),)

    def _remarks(self) -> list[str]:
        fates = dict.fromkeys(remark for piece in self._pieces for remark in _fate_remarks(piece))
        count = len(self._pieces)
        return [*([f"in {count} pieces"] if count > 1 else []), *fates]


def _labels(data: bytes) -> tuple[str, ...]:
    """What stands on the arrow, longest first."""
    text = skip_empty_lines(data)
    if not data:
        return ("nothing",)
    if not text.strip(b"\0\r\n"):
        kind = {_PING: "ping", _PONG: "pong"}.get(data)
        return (f"keep-alive ({kind})" if kind else "keep-alive", "keep-alive", "alive")
    if data[4:8] == _STUN_COOKIE and data[0] < 4:
        return ("keep-alive (STUN)", "STUN")
    first = text.partition(b"\r\n")[0].decode("utf-8", "replace")
    method = peek_method(text)
    if is_response(text) and peek_status(text) is not None:
        return _response_labels(first, method)
    words = first.split(" ")
    if method is None or len(words) != 3 or not words[2].startswith("SIP/"):
        return f"{len(data)} bytes, not SIP", _NOT_SIP
    return f"{words[0]} {_target(words[1])}", words[0]


def _response_labels(first: str, method: str | None) -> tuple[str, ...]:
    _, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    short = f"{status} {reason}".strip()
    if method is None:
        return short, status
    return f"{short} ({method})", f"{status} {method}", status


def _target(uri: str) -> str:
    """Whom a Request-URI names: the user, or the host where it has none."""
    _, _, rest = uri.partition(":")
    user, at, host = (rest or uri).partition("@")
    return (user if at else (rest or uri)).partition(";")[0] or host


def _with_overtaken(exchanges: Sequence[Exchange]) -> Iterator[Exchange]:
    """Say of each datagram whether one sent later between the same two was there first."""
    earliest: dict[tuple[str, str, str], float] = {}
    turned: list[Exchange] = []
    for exchange in reversed(exchanges):
        record = exchange.record
        way = (record.transport, record.source.host, record.destination.host)
        if exchange.arrivals:
            first = exchange.arrivals[0]
            if first > earliest.get(way, first):
                exchange = attrs.evolve(exchange, remarks=(*exchange.remarks, "overtaken"))
            earliest[way] = min(first, earliest.get(way, first))
        turned.append(exchange)
    yield from reversed(turned)
