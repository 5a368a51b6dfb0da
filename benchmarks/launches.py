"""Launches, copies and reads of one USRN training step on PyTorch, counted by its profiler.

    python benchmarks/launches.py --csv launches.csv

`kernels` are operators that are no views, about one kernel each on a GPU, and `constants` tensors made of
numbers and arrays of the host, the batch among them: both are counted on a CPU too, where gradients are
added in smaller groups. `operators` are calls of ATen operators, `launches` kernels that the host starts,
`copies` transfers from host to device, `reads` scalars that the host waits for; the last three but `reads`
are 0 on a CPU.
`busy_seconds` is the time of all kernels and `busy_share` its share of a step without the profiler: below
about 0.9 the step waits for its launches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.contestants import NETWORK, parse, parser_of

WARM_UP = 3


def measure(options: Any, precision: str) -> dict[str, object]:
    """A row: counts of one step, and its time without the profiler."""
    import keras
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.kernel_counts import counted_kernels
    from benchmarks.our_step import OurStep

    if keras.backend.backend() != "torch":
        sys.exit(f"only PyTorch is profiled, received KERAS_BACKEND={keras.backend.backend()}")
    network = {key: getattr(options, key) for key in NETWORK}
    step = OurStep({**network, "device": options.device, "precision": precision})
    step.steps(WARM_UP)
    seconds = median(step.steps(WARM_UP)["seconds"])
    with counted_kernels() as counted:
        step.steps(1)
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if options.device == "gpu" else []
    with profile(activities=activities) as profiled:
        step.steps(1)
    found = counts(profiled.key_averages())
    return {
        "backend": "torch",
        "precision": precision,
        **network,
        "kernels": counted.kernels,
        "constants": counted.constants,
        **found,
        "step_seconds": round(seconds, 4),
        "busy_share": round(found["busy_seconds"] / seconds, 3) if options.device == "gpu" else "",
        **step.facts,
    }


def counts(averages: Iterable[Any]) -> dict[str, float]:
    """Columns of the events of a profile.

    Args:
        averages: Events with `key`, `count` and `self_device_time_total` in microseconds.
    """
    events = list(averages)

    def total(is_counted: Any) -> int:
        return sum(event.count for event in events if is_counted(event.key))

    return {
        "operators": total(lambda key: key.startswith("aten::")),
        "launches": total(lambda key: "LaunchKernel" in key),
        "copies": total(lambda key: key.startswith("Memcpy HtoD")),
        "reads": total(lambda key: key == "aten::_local_scalar_dense"),
        "busy_seconds": round(sum(event.self_device_time_total for event in events) / 1e6, 5),
    }


def main(given: Sequence[str] | None = None) -> None:
    options = parse(parser_of(__doc__), given)
    os.environ.update(devices.variables(options.device))
    rows = (measure(options, precision) for precision in options.precisions)
    table.publish(rows, machine.facts(options.commit), options.csv)


if __name__ == "__main__":
    main()
