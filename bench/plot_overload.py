"""What a flood of slow requests does to quick ones, in one shared worker group and in two: a table, and a plot of it.

OPTIONS come at a steady rate and are answered at once. REGISTERs ask a database that takes four questions at a time,
20 ms each, 200 a second at most; a half to ten times as many are offered. `routes/lookups_shared.py` has one group for
both, `routes/lookups_apart.py` one for each, with as many workers and as long a queue in all. Everything goes over real
UDP on loopback, from two load processes. It compares the two: goodput (answers 200 a second) of OPTIONS, of REGISTERs
and of both, and the latency of OPTIONS.

Needs matplotlib for the plot (`pip install -e '.[docs]'`), and nothing for the table. It takes two and a half minutes.

usage: python bench/plot_overload.py [--rounds 3] [--seconds 2] [--rate 500] [--seed 1]
    [--svg docs/_static/overload.svg]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from contestants import serve_command
from load import HOST, Result
from measure import free_port, loading, running
from report import headline, percentile, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATABASE_RATE = 200  # REGISTERs a second it can answer: four at a time, 20 ms each
TIMES_CAPACITY = (0.5, 1, 2, 5, 10)
SETTLE = 1.0  # seconds until the queue is as full as it gets
LAYOUTS = {"one shared group": "lookups_shared.py", "two groups": "lookups_apart.py"}
COLOURS = {"one shared group": "#c2410c", "two groups": "#1d4ed8"}


Points = Mapping[tuple[str, float], "Point"]
"""By layout and load."""


@dataclass(frozen=True)
class Options:
    """The command line."""

    rounds: int
    seconds: float
    rate: int
    seed: int
    svg: Path | None


@dataclass(frozen=True)
class Point:
    """One layout under one load. Rates are a second; latencies are of the OPTIONS answered 200, in milliseconds."""

    offered: float
    quick: float
    slow: float
    median: float
    worst: float
    """What one OPTIONS in a hundred exceeds."""
    lost: float

    @property
    def both(self) -> float:
        """OPTIONS and REGISTERs answered 200."""
        return self.quick + self.slow


def goodput(result: Result) -> float:
    """Answers 200 a second, from when the first request was due to the last answer 200."""
    latest = result.latencies[-1] if result.latencies else 0.0
    return result.statuses.get("200", 0) / (result.seconds + latest)


def measure(layout: str, times: float, options: Options) -> Point:
    """Start a server, flood it with REGISTERs, and send OPTIONS when its queue is as full as it gets."""
    port = free_port()
    uri = f"sip:x@{HOST}:{port}"
    rate, span = DATABASE_RATE * times, SETTLE + options.seconds + 0.5
    slow: dict[str, str | float] = {"rate": rate, "count": int(rate * span), "method": "REGISTER"}
    quick: dict[str, str | float] = {"rate": options.rate, "count": int(options.rate * options.seconds)}
    with (
        running(serve_command(LAYOUTS[layout], port), port, uri=uri),
        loading(port, seconds=span, uri=uri, seed=options.seed, **slow) as flood,
        loading(port, seconds=options.seconds, uri=uri, seed=options.seed + 1, **quick) as steady,
    ):
        flood.go()
        time.sleep(SETTLE)
        steady.go()
        asked, registered = steady.result(), flood.result()
    return Point(
        offered=registered.sent / registered.seconds,
        quick=goodput(asked),
        slow=goodput(registered),
        median=percentile(asked.latencies, 50) * 1e3,
        worst=percentile(asked.latencies, 99) * 1e3,
        lost=asked.lost + registered.lost,
    )


def middle(points: list[Point]) -> Point:
    """The median of each figure."""
    return Point(*(median(values) for values in zip(*map(astuple, points), strict=True)))


def row(layout: str, times: float, point: Point, rate: int) -> list[str]:
    return [
        layout,
        f"{times:g} x",
        f"{point.offered:.0f}",
        f"{point.slow:.0f}",
        f"{point.quick:.0f}",
        f"{point.quick / rate:.0%}",
        f"{point.both:.0f}",
        f"{point.median:.1f}",
        f"{point.worst:.1f}",
        f"{point.lost:.0f}",
    ]


def draw(points: Points, rate: int, path: Path) -> None:
    """Three plots over the load: goodput of OPTIONS, goodput in all, latency of OPTIONS."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "overload", "font.size": 9, "axes.titlesize": 10})
    from matplotlib import pyplot

    figure, (quick, both, latency) = pyplot.subplots(1, 3, figsize=(10.5, 3.4), layout="constrained")
    for layout, colour in COLOURS.items():
        mine = [points[layout, times] for times in TIMES_CAPACITY]
        style = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.6}
        quick.plot(TIMES_CAPACITY, [point.quick for point in mine], label=layout, **style)
        both.plot(TIMES_CAPACITY, [point.both for point in mine], **style)
        latency.plot(TIMES_CAPACITY, [point.median for point in mine], **style)
        latency.plot(TIMES_CAPACITY, [point.worst for point in mine], linestyle="--", **style)
    quick.axhline(rate, color="#888", linewidth=0.8, linestyle=":")
    both.axhline(rate + DATABASE_RATE, color="#888", linewidth=0.8, linestyle=":")
    latency.set_yscale("log")
    latency.yaxis.set_major_formatter("{x:g}")
    _label(quick, "OPTIONS answered 200, a second", f"dotted: offered, {rate}")
    _label(both, "both answered 200, a second", f"dotted: the most there can be, {rate + DATABASE_RATE}")
    _label(latency, "latency of OPTIONS, ms", "solid: median; dashed: 99th percentile")
    quick.set_ylim(0, rate * 1.1)
    both.set_ylim(0, (rate + DATABASE_RATE) * 1.1)
    figure.legend(*quick.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _label(axes: Axes, title: str, note: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(f"REGISTERs offered, times {DATABASE_RATE} a second\n{note}")
    axes.grid(visible=True, color="#ddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="slow and quick requests in one worker group and in two, over real UDP"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of OPTIONS, per point and round")
    parser.add_argument("--rate", type=int, default=500, help="OPTIONS a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--svg", type=Path, help="draw the plot into this file")
    options = Options(**vars(parser.parse_args()))
    print(headline())
    print(f"{options.rate} OPTIONS a second beside REGISTERs; medians of {options.rounds} interleaved rounds")
    print(f"of {options.seconds:g} s a point; latency of OPTIONS in ms\n")
    measured: dict[tuple[str, float], list[Point]] = {
        (layout, times): [] for layout in LAYOUTS for times in TIMES_CAPACITY
    }
    for _ in range(options.rounds):
        for layout, times in measured:
            measured[layout, times].append(measure(layout, times, options))
    points = {place: middle(found) for place, found in measured.items()}
    columns = ["layout", "load", "REGISTER", "200", "OPTIONS 200", "of offered", "200 in all", "p50", "p99", "lost"]
    print(table(columns, [row(layout, times, point, options.rate) for (layout, times), point in points.items()]))
    if options.svg is not None:
        draw(points, options.rate, options.svg)


if __name__ == "__main__":
    main()
