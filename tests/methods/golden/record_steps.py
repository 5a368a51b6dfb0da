"""Store, or compare, the weights and losses of tiny training runs on the backend at hand.

From the root of the repository, once for each backend:

    KERAS_BACKEND=torch python -m tests.methods.golden.record_steps --compare
    KERAS_BACKEND=torch python -m tests.methods.golden.record_steps --store

Store again only after a change that is meant to change numbers, and say so in the commit: what is stored is
the proof that all other changes do not.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from tests.methods.stored_runs import RUNS, Trained, load, machine, save, stored_file, stored_machine, train


def main(arguments: list[str]) -> int:
    if arguments not in (["--store"], ["--compare"]):
        print(__doc__)
        return 2
    runs = {}
    for run in RUNS:
        begin = time.perf_counter()
        runs[run] = train(run)
        print(f"{run}: {time.perf_counter() - begin:.1f} s, loss {runs[run].losses[[0, -1], 0]}", flush=True)
    if arguments == ["--compare"]:
        return _compare(runs)
    save(runs)
    print(f"{stored_file()}: {stored_file().stat().st_size} bytes")
    return 0


def _compare(runs: dict[str, Trained]) -> int:
    """Print how far each run is from what is stored; 1 unless all are equal."""
    if machine() != stored_machine():
        print(f"another machine\n  stored: {stored_machine()}\n  here:   {machine()}")
    equal = True
    for run, found in runs.items():
        stored = load(run)
        same = np.array_equal(found.losses, stored.losses) and np.array_equal(found.weights, stored.weights)
        equal &= same
        losses = np.abs(found.losses - stored.losses).max()
        weights = np.abs(found.weights - stored.weights).max()
        print(f"{run}: {'equal' if same else f'losses differ by {losses:.1e}, weights by {weights:.1e}'}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
