"""Time and memory of a training step of each method, beside the step of USRN and of the Baseline.

    python benchmarks/methods.py --backends torch --csv benchmarks/results/methods.csv
    python benchmarks/methods.py --backends jax --methods supervised,cps,cps+cutmix,fixmatch+usrn

A method is a process of its own and takes turns with a process of USRN, so that the ratios hold on a machine
that is not quiet. `+cutmix` sets `cps.cutmix`, `+recompute` sets `cps.recompute`, `+usrn` puts USRN on top.
The network is ResNet-50 at output stride 16, with batches of 2 + 2 crops of 128 of the quickstart's images.
Memory is what is resident of the process on a CPU, and what the library has allocated on a GPU.
`first_step_seconds` includes compilation, with an empty cache; `first_step_ratio` is beside that of USRN.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.contestants import BACKENDS
from benchmarks.options import add_device_option, add_row_options, names
from benchmarks.timed_step import take_turns
from benchmarks.worker import Worker

RECIPE = [
    "network.backbone=keras/resnet50", "network.width=1.0", "network.aspp_rates=[6,12,18]",
    "network.aspp_channels=256", "network.low_level_channels=48", "network.decoder_channels=256",
    "network.weights=none", "views.crop_size=128", "training.batch_labelled=2", "training.batch_unlabelled=2",
]  # fmt: skip
ADDED = {
    "cutmix": ["cps.cutmix=true", "cps.weight=1.0"],
    "recompute": ["cps.recompute=true"],
    "usrn": ["training.with_usrn=true"],
}
UNDECIDED = ("cps",)  # hosts without a threshold
REFERENCE = "usrn"


def overrides(asked: str) -> list[str]:
    """The keys of a method with its additions, such as `cps+cutmix+usrn`."""
    method, *added = asked.split("+")
    found = [f"training.method={method}", *(key for name in added for key in ADDED[name])]
    return [*found, *["usrn.on_disagreement=drop"] * ("usrn" in added and method in UNDECIDED)]


def start(asked: str, backend: str, options: argparse.Namespace, folder: str) -> Worker:
    """A worker that has not done a step yet; its programs are compiled again."""
    given = {"device": options.device, "recipe": "quickstart", "folder": f"{folder}/{asked}"}
    given["set"] = [*RECIPE, *overrides(asked), *options.set]
    environment = devices.variables(options.device) | {"KERAS_BACKEND": backend}
    return Worker("method_step.py", given, environment | {"XDG_CACHE_HOME": f"{folder}/cache-{asked}"})


def measure(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A row for each backend and method; USRN is measured beside itself first."""
    for backend in options.backends:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            usrn = stack.enter_context(start(REFERENCE, backend, options, folder))
            first = usrn.call("steps", 1)
            for asked in options.methods:
                print(f"{backend}: {asked}", file=sys.stderr, flush=True)
                with start(asked, backend, options, folder) as worker:
                    yield row(asked, backend, worker, usrn, first, options)


def row(
    asked: str, backend: str, worker: Worker, usrn: Worker, first_of_usrn: dict, options: argparse.Namespace
) -> dict[str, object]:
    """Columns of a method: seconds, operations and memory, and their ratios to those of USRN."""
    first = worker.call("steps", 1)
    rounds = take_turns([worker, usrn], options.rounds, options.steps)
    mine, its = zip(*rounds, strict=True)
    seconds = [median(answer["seconds"]) for answer in mine]
    ratios = [one / median(other["seconds"]) for one, other in zip(seconds, its, strict=True)]
    peaks = [max(answer["peak_memory"] for answer in answers) for answers in ((first, *mine), its)]
    flops = [one.call("flops") for one in (worker, usrn)]
    return {
        "method": asked,
        "backend": backend,
        "rounds": options.rounds,
        "steps": options.steps,
        "first_step_seconds": round(first["seconds"][0], 2),
        "first_step_ratio": round(first["seconds"][0] / first_of_usrn["seconds"][0], 2),
        **table.spread("step_seconds", seconds, 4),
        **table.spread("time_ratio", ratios, 3),
        "step_gflop": round(flops[0] / 1e9, 2),
        "flop_ratio": round(flops[0] / flops[1], 3),
        "peak_memory_gb": round(peaks[0] / 1e9, 3),
        "memory_ratio": round(peaks[0] / max(peaks[1], first_of_usrn["peak_memory"]), 3),
        **worker.facts,
    }


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backends", type=names(BACKENDS), default=["torch"], help="comma-separated")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=None, help="comma-separated")
    parser.add_argument("--set", action="append", default=[], help="section.key=value; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="of each in a round")
    add_device_option(parser)
    add_row_options(parser)
    options = parser.parse_args(given)
    options.methods = options.methods or every_method()
    table.publish(measure(options), machine.facts(options.commit), options.csv)


def every_method() -> list[str]:
    """All methods of the package, and the variants that cost something else."""
    from usrn_keras.recipe.method_options import METHOD_OPTIONS

    hosts = [f"{name}+usrn" for name, section in METHOD_OPTIONS.items() if section and section.takes_usrn]
    return [REFERENCE, *(name for name in METHOD_OPTIONS if name != REFERENCE), "cps+cutmix", *hosts]


if __name__ == "__main__":
    main()
