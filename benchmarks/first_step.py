"""Seconds until the first training step is done, in a fresh process, with and without a cache of programs.

    python benchmarks/first_step.py --backends jax,torch,tensorflow --csv benchmarks/results/first_step.csv

Every round starts each backend twice: with an empty folder for compiled programs, then with what the first
one has left there. `start_seconds` are imports and the building of the network; a user waits for both.
Options and network are those of benchmarks/train_step.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from benchmarks.contestants import Contestant, parse, parser_of

CACHES = ("empty", "filled")
CACHE_VARIABLE = "XDG_CACHE_HOME"  # the package keeps its own below it


def measure(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Two rows for each contestant."""
    taken = {(one, cache): [] for one in options.contestants for cache in CACHES}
    for _ in range(options.rounds):
        for one in options.contestants:
            with tempfile.TemporaryDirectory() as folder:
                for cache in CACHES:
                    taken[one, cache].append(start_once(one, options, folder))
    for (one, cache), starts in taken.items():
        yield {
            **one.settings(options),
            "cache": cache,
            "rounds": options.rounds,
            **table.spread("start_seconds", [start for start, _, _ in starts], 2),
            **table.spread("first_step_seconds", [first for _, first, _ in starts], 2),
            **table.spread("seconds_together", [start + first for start, first, _ in starts], 2),
            **starts[0][2],
        }


def start_once(one: Contestant, options: argparse.Namespace, folder: str) -> tuple[float, float, dict]:
    """Seconds until ready, of the first step, and what the process says of itself."""
    with one.start(options, {CACHE_VARIABLE: folder}) as worker:
        return worker.start_seconds, worker.call("steps", 1)["seconds"][0], worker.facts


def main(given: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parse(parser, given)
    facts = machine.facts(options.commit)
    for row in measure(options):
        row |= facts
        print(row, flush=True)
        if options.csv:
            table.append(options.csv, row)


if __name__ == "__main__":
    main()
