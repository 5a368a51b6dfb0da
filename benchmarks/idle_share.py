"""Share of a training step's time in which the device waits for its batch, on the real images of a recipe.

    python benchmarks/idle_share.py --backends jax,torch --set data.root=PATH/camvid \\
        --csv benchmarks/results/idle_share.csv

The benchmark waits for the end of each step, so that the wait for a batch is time in which the device is
idle; the loop of `usrn fit` takes the next batch before a step is done, and waits less. Each round repeats
as many steps on one batch in memory: `slowdown` is the ratio of a step with its wait, while threads read
images, to a step on that batch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.contestants import BACKENDS
from benchmarks.options import add_device_option, add_row_options, names
from benchmarks.worker import Worker


def measure(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A row for each backend; they take turns."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workers = [stack.enter_context(start(backend, options, folder)) for backend in options.backends]
        for worker in workers:
            worker.call("round", 1)  # compiles
        rounds = [[worker.call("round", options.steps) for worker in workers] for _ in range(options.rounds)]
    for backend, worker, taken in zip(options.backends, workers, zip(*rounds, strict=True), strict=True):
        settings = {"recipe": options.recipe, "backend": backend, **worker.facts}
        yield settings | {"rounds": options.rounds, "steps": options.steps} | waiting(taken)


def start(backend: str, options: argparse.Namespace, folder: str) -> Worker:
    """A worker that has not done a step yet; it writes sublabels into the folder."""
    overrides = ["network.weights=none", *options.set]
    given = {"device": options.device, "recipe": options.recipe, "set": overrides, "folder": folder}
    return Worker("fed_step.py", given, devices.variables(options.device) | {"KERAS_BACKEND": backend})


def waiting(rounds: Sequence[dict]) -> dict[str, float]:
    """Columns: seconds of a step and of its wait, shares and slowdown by round."""
    fed = [[sum(both) for both in zip(taken["wait"], taken["work"], strict=True)] for taken in rounds]
    idle = [sum(taken["wait"]) / sum(steps) for taken, steps in zip(rounds, fed, strict=True)]
    slowdown = [median(steps) / median(taken["held"]) for taken, steps in zip(rounds, fed, strict=True)]
    return {
        **table.spread("step_seconds", list(chain.from_iterable(fed)), 4),
        **table.spread("wait_seconds", list(chain.from_iterable(taken["wait"] for taken in rounds)), 5),
        **table.spread("idle_share", idle, 4),
        **table.spread("slowdown", slowdown, 3),
    }


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", default="camvid_1_16", help="name or file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in usrn fit")
    parser.add_argument("--backends", type=names(BACKENDS), default=["torch"], help="comma-separated")
    add_device_option(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round, with and without reading")
    add_row_options(parser)
    options = parser.parse_args(given)
    facts = machine.facts(options.commit)
    table.publish(measure(options), facts, options.csv)


if __name__ == "__main__":
    main()
