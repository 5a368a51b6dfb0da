"""Time and memory of one USRN training step, on the current Keras backend.

    KERAS_BACKEND=torch python benchmarks/train_step.py --csv benchmarks/results/train_step.csv

The default is the step that the official code is measured with: ResNet-50, output stride 16,
low-level sharing, 21 classes, 177 subclasses, 2 labelled and 2 unlabelled images of 128 x 128.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import subprocess
import time
from pathlib import Path

import keras
import numpy as np

from usrn_keras.methods import USRN
from usrn_keras.networks import build_branches
from usrn_keras.training import SGD
from usrn_keras.training.backend import CompiledStep
from usrn_keras.views import StrongView


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="keras/resnet50")
    parser.add_argument("--batch", type=int, default=2, help="labelled images, and unlabelled images")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--subclasses", type=int, default=177)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--csv", type=Path, help="append a row to this file")
    return parser.parse_args()


def model_of(options: argparse.Namespace) -> USRN:
    branch, sub_branch = build_branches(
        options.backbone, classes=options.classes, subclasses=options.subclasses, weights="none"
    )
    model = USRN(branch, sub_branch, np.arange(options.subclasses) % options.classes)
    optimizer = SGD(0.01)
    optimizer.multiply_learning_rate(model.slow_variables(), 0.1)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    return model


def batch_of(options: argparse.Namespace) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    size = (options.batch, options.crop, options.crop)
    sublabels = rng.integers(0, options.subclasses, size).astype(np.int32)
    return {
        "labelled": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "weak": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "labels": (sublabels % options.classes).astype(np.int32),
        "sublabels": sublabels,
        "strong_parameters": StrongView().draw(rng, options.batch),
    }


def measure(options: argparse.Namespace) -> dict[str, object]:
    model, batch = model_of(options), batch_of(options)
    started = time.perf_counter()
    step = CompiledStep(model)
    float(step(batch)["loss"])
    first, seconds = time.perf_counter() - started, []
    for _ in range(options.steps):
        started = time.perf_counter()
        float(step(batch)["loss"])
        seconds.append(time.perf_counter() - started)
    return {
        "first_step_seconds": round(first, 2),
        "step_seconds_median": round(float(np.median(seconds)), 3),
        "step_seconds_min": round(min(seconds), 3),
        "step_seconds_max": round(max(seconds), 3),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def main() -> None:
    options = arguments()
    row = {
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "hardware": f"{os.cpu_count()} cpus {platform.machine()}",
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        **{key: value for key, value in vars(options).items() if key != "csv"},
        **measure(options),
    }
    print(row)
    if options.csv:
        new = not options.csv.exists()
        with open(options.csv, "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
