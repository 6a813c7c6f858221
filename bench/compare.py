"""CPU per message of trio-sip beside a C echo, Python and Trio echoes, and Kamailio: one load, one table.

Rounds are interleaved: each round starts every contestant afresh, one after the other, warms it up and loads
it. The table gives medians over the rounds with the least and the most, and each median's ratio to the C
echo's.

usage: python bench/compare.py [--only NAME,NAME] [--rounds 5] [--messages 20000] [--window 64] [--seed 1]
    [--profile one|mixed] [--loop c|python]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from statistics import median

from contestants import CONTESTANTS, REFERENCE, Contestant
from load import PROFILES
from measure import WARM_UP, Cost, ServerError, run_load
from report import headline, spread, table

Costs = dict[str, list[Cost]]


def measure(contestant: Contestant, options: argparse.Namespace, seed: int) -> Cost:
    """One round of one contestant. Raises `ServerError` when answers are not what they should be."""
    with contestant.start() as started:
        server, port, uri = started.server, started.port, started.uri
        load = partial(
            run_load, server, port, uri=uri, window=options.window, profile=options.profile, loop=options.loop
        )
        load(count=WARM_UP, seed=seed + 1)
        cost = load(count=options.messages, seed=seed)
    if set(cost.result.statuses) != {contestant.answer}:
        raise ServerError(f"answers were {cost.result.statuses}, expected only {contestant.answer}")
    return cost


def run_rounds(contestants: list[Contestant], rounds: int, options: argparse.Namespace) -> Costs:
    """Every contestant in every round; one that fails is reported and left out from then on."""
    costs: Costs = {contestant.name: [] for contestant in contestants}
    failed: set[str] = set()
    for number in range(rounds):
        for contestant in contestants:
            if contestant.name in failed:
                continue
            print(f"round {number + 1} of {rounds}: {contestant.name}", file=sys.stderr)
            try:
                cost = measure(contestant, options, seed=options.seed + 2 * number)
            except ServerError as error:
                failed.add(contestant.name)
                print(f"failed: {contestant.name}: {error}")
            else:
                costs[contestant.name].append(cost)
                if cost.logged:
                    lines = cost.logged.splitlines()
                    print(f"note: {contestant.name} logged {len(lines)} lines under load, first: {lines[0]}")
    return {name: measured for name, measured in costs.items() if measured}


def choose(only: str | None) -> list[Contestant]:
    """The contestants asked for that can run here; says of the others why not."""
    names = only.split(",") if only else [contestant.name for contestant in CONTESTANTS]
    unknown = set(names) - {contestant.name for contestant in CONTESTANTS}
    if unknown:
        known = ", ".join(contestant.name for contestant in CONTESTANTS)
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; the contestants are {known}")
    chosen = []
    for contestant in CONTESTANTS:
        if contestant.name in names:
            reason = contestant.missing()
            if reason:
                print(f"skipped: {contestant.name}: {reason}")
            else:
                chosen.append(contestant)
    return chosen


def rows(contestants: list[Contestant], costs: Costs) -> list[list[str]]:
    """The lines of the table, in the order of the contestants."""
    base = median(cost.cpu_us for cost in costs[REFERENCE]) if REFERENCE in costs else None
    lines = []
    for contestant in contestants:
        measured = costs.get(contestant.name)
        if not measured:
            continue
        cpu = [cost.cpu_us for cost in measured]
        lines.append([
            contestant.name,
            spread(cpu),
            f"{median(cost.rate for cost in measured):,.0f}",
            f"{median(cost.busy for cost in measured):.2f}",
            f"{median(cpu) / base:.2f}" if base else "-",
            str(sum(cost.result.lost for cost in measured)),
            contestant.what,
        ])  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU per message, trio-sip beside others; interleaved medians")
    parser.add_argument("--only", help="names with commas between: " + ", ".join(each.name for each in CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=20_000, help="per contestant and round")
    parser.add_argument("--window", type=int, default=64, help="requests in flight")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", choices=PROFILES, default="one", help="see load.py")
    parser.add_argument("--loop", choices=("c", "python"), default="c", help="what the load is written in; see load.py")
    options = parser.parse_args()
    chosen = choose(options.only)
    costs = run_rounds(chosen, options.rounds, options)
    print(headline())
    load = f"{options.messages} OPTIONS, {options.window} in flight, profile {options.profile}, load in {options.loop}"
    print(f"{options.rounds} rounds of {load}; compared with {REFERENCE}")
    print("a forward counts request and response as one message, and the router's CPU alone")
    print()
    columns = ["name", "CPU us/message", "messages/s", "cores busy", "ratio", "lost", "what"]
    print(table(columns, rows(chosen, costs)))
    if len(costs) < len(chosen):
        sys.exit(1)


if __name__ == "__main__":
    main()
