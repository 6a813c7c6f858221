"""The sequence diagram of a run, in plain text: who sent what to whom, when, and what became of it.

    print(ladder(network))

       sent   there   alice              router               bob
                     10.0.0.2           10.0.0.1           10.0.0.3
      0.000   0.010      │── INVITE bob ───>│                  │
      0.010    lost      │                  │── INVITE bob ──x │

Each message has one line, at the time it was sent; `there` is when it arrives. There is one column for each host, in
the order of their first message. UDP is drawn with a single line, TCP with a double one. Nothing is wider than `width`;
where the parties are too many for that, the messages are listed instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from trio_sip.address import DEFAULT_PORT
from trio_sip.testing.exchange import Exchange, read_exchanges
from trio_sip.testing.trace import TraceRecord

__all__ = ["LINES", "WIDTH", "ladder", "render"]

WIDTH = 100
"""Characters a line of the diagram has at most."""
LINES = 200
"""Messages shown at most."""

_FIRST_SHOWN = 20  # of those left over by `lines`; the rest are the last, as a test fails at its end
_TIMES = 18  # characters of the two columns on the left
_NARROWEST = 11  # from lifeline to lifeline
_WIDEST = 28
_HEAD = 20  # characters of a name beyond the outermost lifelines
_PARTIES = 5
_REMARK = 16  # characters a remark can count on
_FIRST_EPHEMERAL_PORT = 32_768
_LISTED_CALLS = 8
_LISTED_TEXT = 19  # characters of a line of a list that are neither times nor names
_PAUSE = 1.0  # seconds without a message that get a line of their own


@attrs.frozen
class _Signs:
    """What lines are made of."""

    life: str
    udp: str
    tcp: str
    crossing: str
    pause: str
    dots: str
    itself: str


_UNICODE = _Signs("│", "─", "═", "┼", "┊", "…", "↺")
_ASCII = _Signs("|", "-", "=", "+", ":", "..", "@")


class _Traced(Protocol):
    """What is needed of a `SimulatedNetwork`."""

    @property
    def trace(self) -> list[TraceRecord]: ...
    @property
    def names(self) -> dict[str, str]: ...


def ladder(network: _Traced, *, width: int = WIDTH, lines: int = LINES, ascii_only: bool | None = None) -> str:
    """The sequence diagram of all a `SimulatedNetwork` has carried; see `render`."""
    return render(network.trace, network.names, width=width, lines=lines, ascii_only=ascii_only)


def render(
    records: Iterable[TraceRecord],
    names: Mapping[str, str] | None = None,
    *,
    width: int = WIDTH,
    lines: int = LINES,
    ascii_only: bool | None = None,
    notes: Iterable[tuple[float, str]] = (),
) -> str:
    """The sequence diagram of trace records.

    `names` are those of hosts. `lines` bounds the messages shown: the first few and the last ones, with a line that
    says how many are between. `notes` are (time, text), a line each. `ascii_only` None: where stdout needs it.
    Raises `ValueError` for a width below 60 or less than one line.
    """
    if width < 60 or lines < 1:
        raise ValueError(f"a ladder is at least 60 wide and has at least one line, not {width} and {lines}")
    signs = _ASCII if (_needs_ascii() if ascii_only is None else ascii_only) else _UNICODE
    exchanges = read_exchanges(records)
    if not exchanges:
        return "(nothing was sent)"
    head = exchanges if len(exchanges) <= lines else exchanges[: min(_FIRST_SHOWN, lines // 2)]
    tail = exchanges[len(exchanges) - (lines - len(head)) :] if len(head) < len(exchanges) else []
    page = _Page(head + tail, dict(names or {}), width, signs)
    text = page.draw(len(head), len(exchanges) - len(head) - len(tail), sorted(notes, key=lambda note: note[0]))
    return text.encode("ascii", "replace").decode("ascii") if signs is _ASCII else text


def _needs_ascii() -> bool:
    encoding = getattr(sys.__stdout__, "encoding", None) or "ascii"
    try:
        "│─═┼┊…↺".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False


class _Page:
    """The columns, once it is known what has to go into them."""

    def __init__(self, exchanges: list[Exchange], names: Mapping[str, str], width: int, signs: _Signs) -> None:
        self._exchanges = exchanges
        self._signs = signs
        self._width = width
        self._hosts = _hosts(exchanges)
        # Who got nothing has a column, too, where there is room: that may be what the reader is looking for.
        self._hosts += [host for host in names if host not in self._hosts][: max(_PARTIES - len(self._hosts), 0)]
        self._heads = [_head(host, names, exchanges) for host in self._hosts]
        self._calls = list(dict.fromkeys(e.call_id for e in exchanges if e.call_id is not None))
        if len(self._calls) < 2:
            self._calls = []
        self._margin = _TIMES + (len(f"#{len(self._calls)}") + 1 if self._calls else 0)
        self._lay_out()

    def _lay_out(self) -> None:
        """Where the lifelines stand; no gap at all where they do not fit."""
        gaps = max(len(self._hosts) - 1, 1)
        halves = [min(max(map(len, head)), _HEAD) // 2 + 1 for head in (self._heads[0], self._heads[-1])]
        remark = min(max(len(_remark(each)) for each in self._exchanges), _REMARK)
        right = max(halves[1], remark + 3 if remark else 0)
        longest = max(len(each.labels[0]) for each in self._exchanges)
        wanted = min(max(longest + 7, halves[0] * 2, _NARROWEST), _WIDEST)
        self._gap = min(wanted, (self._width - self._margin - halves[0] - right) // gaps)
        self._lifelines = [self._margin + halves[0] + number * self._gap for number in range(len(self._hosts))]
        self._is_list = self._gap < _NARROWEST

    def draw(self, before: int, left_out: int, notes: Sequence[tuple[float, str]]) -> str:
        lines = [] if self._is_list else self._header()
        waiting = list(notes)
        last: float | None = None
        for number, exchange in enumerate(self._exchanges):
            now = exchange.record.time
            while waiting and waiting[0][0] < now:
                lines.append(self._note(*waiting.pop(0)))
            if number == before and left_out:
                lines.append(f"{'':{_TIMES}}({left_out} more messages between, not shown)")
            elif last is not None and now - last >= _PAUSE:
                lines.append(self._pause(now - last))
            last = now
            lines.append(self._line(exchange))
        lines += [self._note(*note) for note in waiting]
        lines += self._legend()
        return "\n".join(line.rstrip()[: self._width] for line in lines)

    # Lines

    def _header(self) -> list[str]:
        names, places = ([head[row] for head in self._heads] for row in (0, 1))
        first, second = self._row(" "), self._row(" ")
        for row, words in ((first, names), (second, places)):
            for line, word in zip(self._lifelines, words, strict=True):
                word = _shorten(word, self._gap - 1, self._signs.dots)
                _write(row, max(line - len(word) // 2, 0), word)
        _write(first, 0, "   sent   there")
        return ["".join(first), "".join(second)]

    def _row(self, life: str) -> list[str]:
        row = [" "] * max(self._width, self._lifelines[-1] + 1)
        for line in self._lifelines:
            row[line] = life
        return row

    def _line(self, exchange: Exchange) -> str:
        times = self._times(exchange)
        if self._is_list:
            return self._listed(times, exchange)
        row = self._row(self._signs.life)
        _write(row, 0, times)
        here, there = (self._hosts.index(host) for host in _way(exchange))
        if here == there:
            self._draw_loop(row, self._lifelines[here], exchange)
        else:
            self._draw_arrow(row, self._lifelines[here], self._lifelines[there], exchange)
        remark = _remark(exchange)
        if remark:
            start = max(self._lifelines[-1] + 3, len("".join(row).rstrip()) + 1)
            _write(row, start, _shorten(remark, self._width - start, self._signs.dots))
        return "".join(row)

    def _times(self, exchange: Exchange) -> str:
        there = f"{exchange.arrivals[0]:.3f}" if exchange.arrivals else "-"
        if exchange.is_lost:
            there = "lost"
        call = f"#{self._calls.index(exchange.call_id) + 1}" if exchange.call_id in self._calls else ""
        return f"{exchange.record.time:7.3f} {there:>7}  {call}"

    def _listed(self, times: str, exchange: Exchange) -> str:
        dots = self._signs.dots
        longest = min(max(len(head[0]) for head in self._heads), (self._width - self._margin - _LISTED_TEXT) // 2)
        here, there = (_shorten(self._heads[self._hosts.index(host)][0], longest, dots) for host in _way(exchange))
        line = self._signs.tcp if exchange.record.transport == "tcp" else self._signs.udp
        arrow = f"{line * 2}x" if exchange.is_lost else f"{line * 2}>"
        start = f"{times:<{self._margin}} {here:>{longest}} {arrow} {there:<{longest}}  "
        label = _fitting(exchange.labels, self._width - len(start), dots)
        return f"{start}{label}  {_remark(exchange)}"

    def _draw_arrow(self, row: list[str], here: int, there: int, exchange: Exchange) -> None:
        signs = self._signs
        line = signs.tcp if exchange.record.transport == "tcp" else signs.udp
        step = 1 if there > here else -1
        for place in range(here + step, there, step):
            row[place] = signs.crossing if place in self._lifelines else line
        end = there - step
        row[end] = ">" if step > 0 else "<"
        if exchange.is_lost:
            row[end] = " "
            end -= step
            row[end] = "x"
        # In the first gap, where the eye begins to follow the arrow; else across the lifelines it passes.
        first, whole = (range(*sorted((here + step, stop))) for stop in (here + step * (self._gap - 1), end))
        label = _fitting(exchange.labels, len(first) - 1, signs.dots) if len(first) < len(whole) else ""
        if label != _printable(exchange.labels[0]):
            first = whole
            label = _fitting(exchange.labels, len(whole) - 1, signs.dots)
        text = f" {label} " if len(label) + 3 <= len(first) else label
        low = first.start + (step < 0)
        _write(row, low + (len(first) - len(text) + (step < 0)) // 2, text)

    def _draw_loop(self, row: list[str], here: int, exchange: Exchange) -> None:
        label = _fitting(exchange.labels, max(self._width - here - 4, 1), self._signs.dots)
        _write(row, here + 1, f"{self._signs.itself} {label}{' x' if exchange.is_lost else ' (to itself)'} ")

    def _pause(self, seconds: float) -> str:
        text = f"{seconds:.1f} s later"
        if self._is_list:
            return f"{self._signs.dots:>7} {text}"
        row = self._row(self._signs.pause)
        _write(row, 0, f"{self._signs.dots:>7} {text}"[: self._lifelines[0] - 1])
        return "".join(row)

    def _note(self, time: float, text: str) -> str:
        return f"{time:7.3f} {self._signs.udp * 2} {text}"

    def _legend(self) -> list[str]:
        """What `#1` stands for, where there is more than one call."""
        shown = [f"{f'#{number}':>7} Call-ID {_printable(call)}" for number, call in enumerate(self._calls, 1)]
        if len(shown) > _LISTED_CALLS:
            shown[_LISTED_CALLS:] = [f"{self._signs.dots:>7} and {len(shown) - _LISTED_CALLS} more calls"]
        return shown


def _hosts(exchanges: Sequence[Exchange]) -> list[str]:
    return list(dict.fromkeys(host for exchange in exchanges for host in _way(exchange)))


def _way(exchange: Exchange) -> tuple[str, str]:
    return exchange.record.source.host, exchange.record.destination.host


def _head(host: str, names: Mapping[str, str], exchanges: Sequence[Exchange]) -> tuple[str, str]:
    """Two lines: the name, and the address, with the port where there is but one."""
    ports = {
        address.port
        for exchange in exchanges
        for address in (exchange.record.source, exchange.record.destination)
        if address.host == host
    }
    name = names.get(host)
    listening = {port for port in ports if port < _FIRST_EPHEMERAL_PORT} - {DEFAULT_PORT}
    port = f":{listening.pop()}" if len(listening) == 1 and DEFAULT_PORT not in ports else ""
    shown = f"[{host}]{port}" if port and ":" in host else f"{host}{port}"
    return (shown, "") if name is None else (_printable(name), shown)


def _remark(exchange: Exchange) -> str:
    return ", ".join(exchange.remarks)


def _fitting(labels: Sequence[str], room: int, dots: str) -> str:
    """The longest label there is room for."""
    for label in labels:
        if len(_printable(label)) <= room:
            return _printable(label)
    return _shorten(_printable(labels[-1]), max(room, 1), dots)


def _shorten(text: str, room: int, dots: str) -> str:
    if len(text) <= room:
        return text
    return (text[: max(room - len(dots), 0)] + dots)[: max(room, 0)]


def _printable(text: str) -> str:
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def _write(row: list[str], start: int, text: str) -> None:
    row[start : start + len(text)] = text
