"""Time of the first `usrn_keras.load(file).predict(photo)` of a process, with and without compiled programs.

    KERAS_BACKEND=jax python benchmarks/first_predict.py

Each line is a process of its own: with an empty cache of programs, with what the process before has left, and
a call of the Keras model itself. CPU seconds, which other work on the machine hardly changes, and wall
seconds, of loading, the first prediction and the second. The model is a DeepLabv3+ of MobileNet with random
weights.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
LIMIT = 600  # seconds of a process


def measure(file: Path, call: bool) -> None:
    """Print the times of one process."""
    import keras

    import usrn_keras

    photo = np.random.default_rng(0).integers(0, 256, (360, 480, 3)).astype("uint8")
    marks = [(time.process_time(), time.monotonic())]
    segmenter = usrn_keras.load(file)
    marks.append((time.process_time(), time.monotonic()))
    for _ in range(2):
        if call:
            padded = np.float32(np.pad(photo, ((0, 24), (0, 0), (0, 0)))[None])
            keras.ops.convert_to_numpy(segmenter.model(padded))
        else:
            segmenter.predict(photo)
        marks.append((time.process_time(), time.monotonic()))
    spent = [
        f"{name} {cpu - before:.1f} CPU s, {wall - earlier:.1f} s"
        for name, (cpu, wall), (before, earlier) in zip(
            ("load", "first", "second"), marks[1:], marks, strict=False
        )
    ]
    print("; ".join(spent), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--call", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        measure(options.worker, options.call)
        return
    from usrn_keras.networks import build_branches

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        build_branches("keras/mobilenet", classes=21, weights="none", seed=0)[0].segmenter().save(file)
        for cache, how in (("a", []), ("a", []), ("b", ["--call"])):
            environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(folder) / cache)}
            command = [sys.executable, __file__, "--worker", str(file), *how]
            names = {"a": "predict", "b": "call of the model"}
            state = "warm" if (Path(folder) / cache).exists() else "cold"
            print(f"{names[cache]}, {state} cache: ", end="", flush=True)
            try:
                subprocess.run(command, env=environment, timeout=LIMIT, check=True)
            except subprocess.TimeoutExpired:
                print(f"not back after {LIMIT} s", flush=True)


if __name__ == "__main__":
    main()
