"""Memory of training steps, predicted and measured.

    python benchmarks/memory.py --backends torch jax tensorflow   # measures, appends to the CSV
    python benchmarks/memory.py --fit          # the numbers of usrn_keras/budget/calibration.py

Each row is a process of its own that trains a few real steps on noise; measured is the most memory that it
ever held (`VmHWM`), predicted is what `usrn fit --dry-run` says of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.machine import facts
from benchmarks.table import append

RESULTS = Path(__file__).parent / "results/memory.csv"
STEPS = 3


@dataclass(frozen=True)
class Case:
    """A step to measure."""

    method: str
    backbone: str
    batch: int
    crop: int
    classes: int
    subclasses: int


CASES = [
    Case("USRN", "keras/mobilenet", 1, 64, 11, 44),
    Case("USRN", "keras/mobilenet", 4, 192, 11, 44),
    Case("USRN", "keras/mobilenet", 4, 192, 21, 177),
    Case("USRN", "keras/mobilenet", 8, 256, 11, 44),
    Case("Baseline", "keras/mobilenet", 8, 256, 11, 44),
    Case("USRN", "keras/resnet50", 1, 64, 11, 44),
    Case("USRN", "keras/resnet50", 2, 128, 21, 177),
    Case("USRN", "keras/resnet50", 4, 192, 11, 44),
    Case("USRN", "keras/resnet50", 4, 192, 21, 177),
    Case("USRN", "keras/resnet50", 2, 320, 21, 177),
    Case("Baseline", "keras/resnet50", 2, 128, 21, 177),
    Case("Baseline", "keras/resnet50", 4, 256, 21, 177),
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=["torch"], choices=["torch", "jax", "tensorflow"])
    parser.add_argument("--cases", nargs="+", type=int, help="numbers of the cases, from 0  [default: all]")
    parser.add_argument("--csv", type=Path, default=RESULTS, help="append the rows to this file")
    parser.add_argument("--fit", action="store_true", help="measure nothing, fit the numbers to the CSV")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(case: Case) -> dict[str, float]:
    """Counted bytes, the prediction, and the peak of this process, which must be a fresh one."""
    import keras
    import numpy as np

    from benchmarks.made_batch import made_batch, parents
    from usrn_keras.backends.settings import prepare_backend
    from usrn_keras.budget import Device, Estimate, Sizes
    from usrn_keras.budget.footprint import footprint
    from usrn_keras.budget.room import peak_memory
    from usrn_keras.methods import USRN, Supervised
    from usrn_keras.networks import build_branches
    from usrn_keras.training import SGD
    from usrn_keras.training.backend import CompiledStep
    from usrn_keras.views import StrongView

    prepare_backend()
    usrn = case.method == "USRN"
    branch, sub_branch = build_branches(
        case.backbone, classes=case.classes, subclasses=case.subclasses if usrn else None, weights="none"
    )
    of_classes = parents(case.classes, case.subclasses)
    model = USRN(branch, sub_branch, of_classes) if usrn else Supervised(branch)
    optimizer = SGD(0.01)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    batch = made_batch(case.batch, case.crop, case.classes, case.subclasses)
    batch["strong_parameters"] = StrongView().draw(np.random.default_rng(1), case.batch)
    if not usrn:
        batch = {name: batch[name] for name in ("labelled", "labels")}

    estimate = Estimate(model, Device(keras.backend.backend(), gpu=False, room=None))
    sizes = Sizes(case.batch, case.batch if usrn else 0, case.crop)
    predicted = estimate.memory(sizes).peak
    counted = footprint(model, case.crop, case.crop)
    built = peak_memory()
    step = CompiledStep(model)
    peaks = []
    for _ in range(STEPS):
        float(step(batch)["loss"])
        peaks.append(peak_memory())
    return {
        "process": estimate.process,
        "counted": asdict(counted),
        "predicted": predicted,
        "built": built,
        "first": peaks[0],
        "measured": peaks[-1],
    }


def measured_apart(backend: str, case: Case) -> dict:
    """`measure` in a process of its own, with nothing compiled yet."""
    command = [sys.executable, __file__, "--worker", json.dumps(asdict(case))]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "XDG_CACHE_HOME": cache,
        }
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(backend: str, case: Case, found: dict) -> dict[str, object]:
    """What was found, in megabytes, for the CSV."""
    counted = found["counted"]
    image = counted["labelled"]
    strong = counted["strong"] or dict.fromkeys(image, 0)
    millions = {
        "process": found["process"],
        "weights": counted["weights"],
        "trainable": counted["trainable"],
        **{f"labelled_{name}": value * case.batch for name, value in image.items()},
        **{f"strong_{name}": value * case.batch for name, value in strong.items()},
        "built": found["built"],
        "first": found["first"],
        "predicted": found["predicted"],
        "measured": found["measured"],
    }
    error = found["predicted"] / found["measured"] - 1
    return {
        "backend": backend,
        **asdict(case),
        "calls": counted["calls"],
        **{f"{name}_mb": round(value / 1e6, 1) for name, value in millions.items()},
        "error_percent": round(100 * error, 1),
        **facts(),
    }


def main() -> None:
    options = arguments()
    if options.worker:
        print(json.dumps(measure(Case(**json.loads(options.worker)))))
        return
    if options.fit:
        from benchmarks.memory_fit import fit

        fit(options.csv)
        return
    numbers = options.cases or range(len(CASES))
    for backend in options.backends:
        for case in [CASES[number] for number in numbers]:
            found = row(backend, case, measured_apart(backend, case))
            told = f"predicted {found['predicted_mb']:7.0f} MB, measured {found['measured_mb']:7.0f} MB"
            print(f"{backend:10} {case}: {told}, {found['error_percent']:+.1f} %", flush=True)
            append(options.csv, found)


if __name__ == "__main__":
    main()
