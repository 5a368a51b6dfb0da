"""How far three steps on two devices, or in two processes, are from those of one: losses and weights.

    python benchmarks/several_devices.py --csv benchmarks/results/several_devices.csv

The steps are those of USRN on the tiny network of `tests/backends/uneven.py`, with batches whose images have
very different numbers of labelled pixels. `loss_difference` is the largest relative difference of the losses,
`weight_difference` the L2 norm of the difference of all variables beside theirs, and `ranks_equal` whether
the variables of both processes have the same bits.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from benchmarks.options import add_row_options
from usrn_keras.ranks import run_processes
from usrn_keras.worker import Worker

ROOT = Path(__file__).parents[1]
OPTIMIZERS = ("sgd", "adamw")


def differences(losses: np.ndarray, weights: np.ndarray, own: np.ndarray, own_weights: np.ndarray) -> dict:
    """Columns of a row: what is beside what one device gives."""
    apart = np.linalg.norm(np.subtract(weights, own_weights)) / np.linalg.norm(own_weights)
    return {
        "loss_difference": f"{np.max(np.abs(np.subtract(losses, own) / own)):.1e}",
        "weight_difference": f"{apart:.1e}",
    }


def two_devices() -> Iterator[dict]:
    """Rows of two devices of one process, on JAX."""
    variables = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    variables["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    with Worker("tests.backends.several_devices:compare", {}, variables) as worker:
        found = worker.result(3600)
    for name in OPTIMIZERS:
        (own, own_weights), (losses, weights) = (found[f"{name} {number}"] for number in (1, 2))
        row = {"backend": "jax", "layout": "2 devices", "optimizer": name, "steps": len(losses)}
        yield row | differences(*map(np.array, (losses, weights, own, own_weights)))


def two_processes(backend: str) -> Iterator[dict]:
    """Rows of two processes with a device each."""
    os.environ |= {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        if run_processes([sys.executable, "-m", "tests.backends.two_processes", folder], 2):
            raise SystemExit("the processes failed")
        first, second = (dict(np.load(f"{folder}/{rank}.npz")) for rank in (0, 1))
    for name in OPTIMIZERS:
        losses, weights, own, own_weights = (
            first[f"{name}{of} {what}"] for of in ("", " alone") for what in ("losses", "weights")
        )
        row = {"backend": backend, "layout": "2 processes", "optimizer": name, "steps": len(losses)}
        equal = "yes" if np.array_equal(weights, second[f"{name} weights"]) else "no"
        yield row | differences(losses, weights, own, own_weights) | {"ranks_equal": equal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_row_options(parser)
    options = parser.parse_args()
    for rows in (two_processes("torch"), two_processes("jax"), two_devices()):
        table.publish(rows, machine.facts(options.commit), options.csv)


if __name__ == "__main__":
    main()
