"""Too much load over real UDP: what a jam in one worker group does to another, what a full group gets done.

The first table sends OPTIONS at a steady rate through the group `default`: alone, and while REGISTERs keep
the two workers of the group `registrations` asleep and its queue full. It compares the two: with bulkheads
the latency of OPTIONS stays where it was.

The second measures the capacity of a group whose route takes 5 ms with a closed loop, then offers it 1, 2, 5
and 10 times as much. It compares with the capacity: goodput (answers 200) stays level, the rest gets 503.

usage: python bench/overload.py [--seconds 4] [--rate 500] [--seed 1]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from contestants import serve_command
from load import HOST, Result
from measure import free_port, loading, run_load, running
from report import headline, percentile, table

JAM_RATE = 200  # REGISTERs a second; the group gets 2 of them done
JAM_SETTLE = 1.5  # seconds until its queue is full
TIMES_CAPACITY = (1, 2, 5, 10)
CLOSED_WINDOW = 32
CLOSED_COUNT = 20_000  # more than fit in the time


@dataclass(frozen=True)
class Options:
    """The command line."""

    seconds: float
    rate: int
    seed: int


def send_at(port: int, rate: float, options: Options, seconds: float | None = None) -> Result:
    """OPTIONS at `rate` a second."""
    span = options.seconds if seconds is None else seconds
    uri = f"sip:x@{HOST}:{port}"
    with loading(port, uri=uri, seconds=span, rate=rate, count=int(rate * span), seed=options.seed) as load:
        load.go()
        return load.result()


def bulkhead(options: Options) -> list[list[str]]:
    """Latency of OPTIONS without the jam and with it."""
    port = free_port()
    uri = f"sip:x@{HOST}:{port}"
    with running(serve_command("jam.py", port), port, uri=uri):
        send_at(port, options.rate, options, seconds=1.0)  # warm-up
        alone = send_at(port, options.rate, options)
        span = JAM_SETTLE + options.seconds + 5.0
        count = int(JAM_RATE * span)
        with loading(
            port, uri=uri, seconds=span, rate=JAM_RATE, count=count, method="REGISTER", seed=options.seed
        ) as jam:
            jam.go()
            time.sleep(JAM_SETTLE)
            jammed = send_at(port, options.rate, options)
            registers = jam.result()
    shed = registers.statuses.get("503", 0)
    print(f"the jam: {registers.sent} REGISTERs at {JAM_RATE} a second, {shed} of them answered 503")
    return [latency_row("alone", alone), latency_row("beside the jam", jammed)]


def latency_row(name: str, result: Result) -> list[str]:
    points = [f"{percentile(result.latencies, percent) * 1e3:.2f}" for percent in (50, 90, 99, 100)]
    return [name, str(result.sent), str(result.statuses.get("200", 0)), *points, str(result.lost)]


def goodput(options: Options) -> list[list[str]]:
    """What a group gets done at 1 to 10 times its capacity."""
    port = free_port()
    uri = f"sip:x@{HOST}:{port}"
    with running(serve_command("slow.py", port), port, uri=uri) as server:
        closed = run_load(server, port, uri=uri, count=CLOSED_COUNT, window=CLOSED_WINDOW, seconds=options.seconds)
        capacity = closed.rate
        rows = [["closed loop", f"{capacity:.0f}", f"{capacity:.0f}", "1.00", "0", str(closed.result.lost), "-"]]
        rows += [goodput_row(times, capacity, send_at(port, times * capacity, options)) for times in TIMES_CAPACITY]
    return rows


def goodput_row(times: int, capacity: float, result: Result) -> list[str]:
    good, shed = (result.statuses.get(status, 0) / result.seconds for status in ("200", "503"))
    return [
        f"{times} x",
        f"{result.sent / result.seconds:.0f}",
        f"{good:.0f}",
        f"{good / capacity:.2f}",
        f"{shed:.0f}",
        str(result.lost),
        f"{percentile(result.latencies, 99) * 1e3:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="bulkheads and goodput over real UDP")
    parser.add_argument("--seconds", type=float, default=4.0, help="per run")
    parser.add_argument("--rate", type=int, default=500, help="OPTIONS a second beside the jam")
    parser.add_argument("--seed", type=int, default=1)
    options = Options(**vars(parser.parse_args()))
    print(headline())
    print("\nlatency of OPTIONS in ms, alone and beside a jammed group")
    columns = ["OPTIONS", "sent", "200", "p50", "p90", "p99", "max", "lost"]
    print(table(columns, bulkhead(options)))
    print("\nmessages a second against the group's capacity, latency in ms")
    columns = ["load", "offered", "200", "of capacity", "503", "lost", "p99 of 200"]
    print(table(columns, goodput(options)))


if __name__ == "__main__":
    main()
