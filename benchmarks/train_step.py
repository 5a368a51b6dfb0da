"""Time and memory of one USRN training step on each backend, beside the step of the official code.

    git clone https://github.com/Dayan-Guan/USRN ../USRN
    python benchmarks/train_step.py --backends jax,torch,tensorflow --official ../USRN \\
        --csv benchmarks/results/train_step.csv

On a GPU, TensorFlow need not be there:

    python benchmarks/train_step.py --backends jax,torch --precisions float32,mixed_bfloat16 \\
        --official ../USRN --csv benchmarks/results/train_step.csv

With `--views separate,joint` both values of `usrn.joint_views` are measured.

Each backend, and the official code, is a process of its own; they take turns, so that the ratios (ours to
the official one in the same round) hold on a machine that is not quiet. A step starts with the batch in
host memory and ends when the device is done and the loss is read; `streamed_seconds` is the time of a step
if no loss is read before the last one. Ours makes the strong view in the step; the official code makes it
in its data loaders, which is not counted: see benchmarks/official_step.py.

The default is ResNet-50, output stride 16, low-level sharing, 21 classes, 177 subclasses; on a CPU 2
labelled and 2 unlabelled images of 128 x 128, on a GPU 8 and 8 of 320 x 320.

Memory is what is resident of the process on a CPU, and what the library has allocated on a GPU:
`peak_memory_gb` since the start, `steps_memory_gb` after the first step, without what its compiler has
freed (empty where the peak cannot be reset). float32 on a GPU means TensorFloat-32 in convolutions and
matrix products, for all. With `--precisions float32,mixed_bfloat16` both are measured; the columns
`..._to_float32` compare the second with the first.

`step_gflop` counts the multiplications and additions of the convolutions: ours from the network, those of
the official code by PyTorch. `matmul_share` is their rate relative to that of a matrix product, which takes
its turn, too: see benchmarks/roofline.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.contestants import OFFICIAL, Contestant, parse, parser_of
from benchmarks.timed_step import take_turns
from benchmarks.worker import Worker

RATIOS = ("time_ratio_median", "time_ratio_min", "time_ratio_max", "memory_ratio", "steps_memory_ratio")


@dataclass
class Measured:
    """A worker and what it has answered: the first step, then every round."""

    worker: Worker
    first: dict
    answers: Sequence[dict] = ()
    flops: int = 0
    streamed: Sequence[float] = ()

    @property
    def peak(self) -> int:
        return max(answer["peak_memory"] for answer in (self.first, *self.answers))

    @property
    def steps_peak(self) -> int:
        """After the first step; since the start where the peak cannot be reset."""
        return max(answer["peak_memory"] for answer in self.answers)

    @property
    def seconds(self) -> list[float]:
        """Median of each round."""
        return [median(answer["seconds"]) for answer in self.answers]


def measure(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A row for the official code, if asked for, and for each backend and precision."""
    with ExitStack() as stack:
        steps, products = {}, {}
        for one in options.contestants:  # one after the other: only one compiles at a time
            steps[one] = begun(stack, one.start(options))
            seconds = steps[one].first["seconds"][0]
            print(f"{one.what} {one.backend}: first step after {seconds:.1f} s", file=sys.stderr, flush=True)
        for precision in {one.precision: None for one in options.contestants}:
            products[precision] = begun(stack, matrix_products(precision, options))
        everything = [*steps.values(), *products.values()]
        rounds = take_turns([one.worker for one in everything], options.rounds, options.steps)
        for one, answers in zip(everything, zip(*rounds, strict=True), strict=True):
            one.answers, one.flops = answers, one.worker.call("flops")
        streams = [[one.worker.call("streamed", options.steps) for one in steps.values()] for _ in rounds]
        for one, seconds in zip(steps.values(), zip(*streams, strict=True), strict=True):
            one.streamed = seconds
    for one, step in steps.items():
        row = one.settings(options) | {"rounds": options.rounds, "steps": options.steps}
        row |= timing(step) | memory(step) | beside(step, steps.get(OFFICIAL), "")
        float32 = None if one.official else steps.get(Contestant(one.what, one.backend, "float32"))
        row |= beside(step, float32, "_to_float32")
        yield row | roofline(step, products[one.precision]) | step.worker.facts


def begun(stack: ExitStack, worker: Worker) -> Measured:
    """After the first step; the worker ends with the stack."""
    stack.enter_context(worker)
    return Measured(worker, worker.call("steps", 1))


def matrix_products(precision: str, options: argparse.Namespace) -> Worker:
    """A worker that multiplies matrices, ready."""
    environment = devices.variables(options.device)
    environment["KERAS_BACKEND"] = options.contestants[-1].backend
    given = {"device": options.device, "precision": precision}
    return Worker("roofline.py", given, environment)


def timing(step: Measured) -> dict[str, float]:
    """Columns of seconds: until the process is ready, of the first step, of a step read and unread."""
    return {
        "start_seconds": round(step.worker.start_seconds, 2),
        "first_step_seconds": round(step.first["seconds"][0], 2),
        **table.spread("step_seconds", list(chain.from_iterable(a["seconds"] for a in step.answers)), 4),
        **table.spread("streamed_seconds", list(step.streamed), 4),
    }


def memory(step: Measured) -> dict[str, object]:
    """Columns of peak memory."""
    return {
        "peak_memory_gb": round(step.peak / 1e9, 3),
        "steps_memory_gb": round(step.steps_peak / 1e9, 3) if step.first["peak_was_reset"] else "",
    }


def beside(step: Measured, reference: Measured | None, suffix: str) -> dict[str, object]:
    """Columns of ratios to the reference: of the seconds by round, of the peak memory; empty without one."""
    if reference is None or reference is step:
        return {name + suffix: "" for name in RATIOS}
    ratios = [mine / its for mine, its in zip(step.seconds, reference.seconds, strict=True)]
    found = table.spread("time_ratio", ratios, 3)
    found["memory_ratio"] = round(step.peak / reference.peak, 3)
    found["steps_memory_ratio"] = round(step.steps_peak / reference.steps_peak, 3)
    return {name + suffix: found[name] for name in RATIOS}


def roofline(step: Measured, product: Measured) -> dict[str, float]:
    """Columns of a step's operations, their rate, and its share of the matrix product's, by round."""
    rates = [step.flops / seconds for seconds in step.seconds]
    most = [product.flops / seconds for seconds in product.seconds]
    return {
        "step_gflop": round(step.flops / 1e9, 2),
        "gflop_per_second": round(median(rates) / 1e9, 1),
        "matmul_gflop_per_second": round(median(most) / 1e9, 1),
        **table.spread("matmul_share", [rate / its for rate, its in zip(rates, most, strict=True)], 3),
    }


def main(given: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of each in a round")
    options = parse(parser, given)
    facts = machine.facts(options.commit)  # the commit and the load before the measurement
    table.publish(measure(options), facts, options.csv)


if __name__ == "__main__":
    main()
