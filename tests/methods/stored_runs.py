"""Training runs of 50 steps whose weights and losses are stored in `golden/steps_<backend>.npz`.

They prove that a change of the code changes no bit of what is computed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from tests.methods.build_method import build_method, compiled_step
from tests.methods.handmade import handmade_batch, handmade_branches, variables_of
from tests.tools import fill
from usrn_keras.optimizers import SGD, AdamW

STEPS = 50

TERMS = {
    "supervised": ("loss", "pixel_accuracy"),
    "self_training": ("loss", "supervised", "self_training", "confident"),
    "usrn": (
        "loss", "supervised", "supervised_sub", "self_training", "self_training_sub",
        "confident", "confident_sub", "gate_open", "gate_dropped",
    ),
    "prototype_ensemble": ("loss", "supervised", "self_training", "confident"),
}  # fmt: skip
"""What is stored of each step, by method."""

RUNS = [f"{method}-{optimizer}" for method in TERMS for optimizer in ("sgd", "adamw")]


@dataclass(frozen=True)
class Trained:
    """What a run ends with.

    Attributes:
        losses: `(STEPS, terms)` float32, the terms in the order of `TERMS`.
        weights: All variables of F, and of F_sub where there is one, flat, float32.
    """

    losses: np.ndarray
    weights: np.ndarray


def train(run: str) -> Trained:
    """Train one of `RUNS` on the backend at hand."""
    method, _, optimizer = run.partition("-")
    branch, sub_branch = handmade_branches()
    fill(variables_of(sub_branch), seed=1)
    fill(variables_of(branch), seed=0)  # the shared stem too: F starts the same without F_sub
    model = build_method(method, branch, sub_branch, threshold=0.6, lambda_u=0.8, lambda_sub=1.3)
    rate = keras.optimizers.schedules.PolynomialDecay(
        0.05 if optimizer == "sgd" else 0.005, STEPS + 10, end_learning_rate=0.0, power=0.9
    )
    chosen = SGD(rate) if optimizer == "sgd" else AdamW(rate, decoupled_weight_decay=0.01)
    step, losses = compiled_step(model, chosen, backbone_multiplier=0.1), []
    for number in range(STEPS):
        terms = step(handmade_batch(number))
        losses.append([float(terms[name]) for name in TERMS[method]])
    variables = variables_of(branch, None if method in ("supervised", "self_training") else sub_branch)
    weights = [np.ravel(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
    return Trained(np.array(losses, "float32"), np.concatenate(weights))


def stored_file() -> Path:
    """The stored values of the backend at hand."""
    return Path(__file__).parent / "golden" / f"steps_{keras.backend.backend()}.npz"


def load(run: str) -> Trained:
    """The stored values of a run on the backend at hand."""
    with np.load(stored_file()) as file:
        return Trained(file[f"{run}/losses"], file[f"{run}/weights"])


def save(runs: dict[str, Trained]) -> None:
    """Store the values of all runs together with the machine that computed them."""
    arrays = {f"{run}/{name}": array for run in runs for name, array in vars(runs[run]).items()}
    np.savez_compressed(stored_file(), machine=json.dumps(machine()), **arrays)


def stored_machine() -> dict[str, str]:
    """`machine()` where the stored values of the backend at hand were computed."""
    with np.load(stored_file()) as file:
        return json.loads(str(file["machine"]))


def machine() -> dict[str, str]:
    """What rounding depends on: processor, threads, and the versions of what computes."""
    backend = keras.backend.backend()
    names = ["numpy", "keras", backend] + (["jaxlib"] if backend == "jax" else [])
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        **{name: version(name) for name in names},
    }


def _processor() -> str:
    """Name of the processor, with a short hash of its instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = dict(line.partition(":")[::2] for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    instructions = " ".join(sorted(facts.get("flags", "").split()))
    return f"{facts.get('model name', '')} {hashlib.sha256(instructions.encode()).hexdigest()[:12]}"
