"""A training step of USRN on two devices: how far losses and weights differ.

    python benchmarks/device_difference.py --backends jax,torch --csv device_difference.csv

Three steps from the same weights, on the same batch, without dropout, on the CPU and on the GPU: with
TensorFloat-32 off, off again (is the device deterministic?), and on. `weights` is the L2 norm of the
difference relative to the norm of the weights after the steps on the CPU; `loss` is the largest relative
difference of a loss. With --device cpu both devices are the CPU, which tries the benchmark out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.contestants import NETWORK, parse, parser_of
from usrn_keras.worker import Worker

STEPS = 3
LIMIT = 1e-4
RUNS = (("off", False), ("off again", False), ("on", True))


def after_steps(order: Mapping[str, Any], send: Callable[[dict], None]) -> dict[str, Any]:
    """Train a few steps in a process of its own; see `usrn_keras.worker`.

    Args:
        order: The network as `our_step.build_model` takes it; `tf32`; `start`, a file of weights, which the
            first process writes; `end`, a file for the weights after the steps.
        send: Not used.

    Returns:
        `losses`: of each step.
    """
    import keras

    from benchmarks.our_step import OurStep

    step = OurStep({**order, "network": {"dropout": 0.0, "classifier_dropout": 0.0}})
    if keras.backend.backend() == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = order["tf32"]
    variables, start = step.model.weights, Path(order["start"])
    if start.exists():
        for variable, value in zip(variables, np.load(start).values(), strict=True):
            variable.assign(value)
    else:
        np.savez(start, *map(keras.ops.convert_to_numpy, variables))
    losses = [step.once() for _ in range(STEPS)]
    np.savez(order["end"], *map(keras.ops.convert_to_numpy, variables))
    return {"losses": losses}


def measure(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield a row for each backend and run on the second device."""
    for backend in options.backends:
        with tempfile.TemporaryDirectory() as folder:
            cpu = run(backend, "cpu", False, Path(folder), options)
            for tf32, allowed in RUNS:
                found = run(backend, options.device, allowed, Path(folder), options)
                loss, weights = difference(cpu, found)
                yield {
                    "backend": backend,
                    "device": options.device,
                    "tf32": tf32,
                    **{key: getattr(options, key) for key in NETWORK},
                    "steps": STEPS,
                    "loss": f"{loss:.2e}",
                    "weights": f"{weights:.2e}",
                    "within_1e-4": max(loss, weights) < LIMIT,
                }


def run(
    backend: str, device: str, tf32: bool, folder: Path, options: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray]:
    """Losses, and all weights after the steps, as vectors."""
    order = {key: getattr(options, key) for key in NETWORK}
    order |= {"device": device, "precision": "float32", "tf32": tf32}
    order |= {"start": str(folder / "start.npz"), "end": str(folder / "end.npz")}
    environment = devices.variables(device) | {"KERAS_BACKEND": backend}
    environment["JAX_DEFAULT_MATMUL_PRECISION"] = "tensorfloat32" if tf32 else "highest"
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    with Worker("benchmarks.device_difference:after_steps", order, environment) as worker:
        losses = worker.result()["losses"]
    return np.array(losses), np.concatenate([value.ravel() for value in np.load(order["end"]).values()])


def difference(
    expected: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Largest relative difference of a loss, and relative L2 difference of the weights."""
    loss = np.max(np.abs(found[0] - expected[0]) / np.abs(expected[0]))
    return float(loss), float(np.linalg.norm(found[1] - expected[1]) / np.linalg.norm(expected[1]))


def main(given: Sequence[str] | None = None) -> None:
    options = parse(parser_of(__doc__), given)
    table.publish(measure(options), machine.facts(options.commit), options.csv)


if __name__ == "__main__":
    main()
