"""Seconds until the first training step is done, in a fresh process, with and without a cache of programs.

    python benchmarks/first_step.py --backends jax,torch,tensorflow --csv benchmarks/results/first_step.csv

Every round starts each backend twice: with an empty folder for compiled programs, then with what the first
one has left there (`cached_mb`; 0: nothing was compiled). `start_seconds` are imports and the building of
the network; a user waits for both. Options and network are those of benchmarks/train_step.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from benchmarks.contestants import Contestant, parse, parser_of

CACHES = ("empty", "filled")
CACHE_VARIABLE = "XDG_CACHE_HOME"  # the package keeps its own below it


@dataclass(frozen=True)
class Start:
    """A fresh process: seconds until ready, of the first step, bytes that it left in the cache."""

    ready: float
    first: float
    cached: int
    facts: dict


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
            "cached_mb": round(median(start.cached for start in starts) / 1e6, 1),
            "rounds": options.rounds,
            **table.spread("start_seconds", [start.ready for start in starts], 2),
            **table.spread("first_step_seconds", [start.first for start in starts], 2),
            **table.spread("seconds_together", [start.ready + start.first for start in starts], 2),
            **starts[0].facts,
        }


def start_once(one: Contestant, options: argparse.Namespace, folder: str) -> Start:
    """A process that ends after its first step."""
    with one.start(options, {CACHE_VARIABLE: folder}) as worker:
        first = worker.call("steps", 1)["seconds"][0]
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return Start(worker.start_seconds, first, sum(path.stat().st_size for path in files), worker.facts)


def main(given: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parse(parser, given)
    facts = machine.facts(options.commit)
    table.publish(measure(options), facts, options.csv)


if __name__ == "__main__":
    main()
