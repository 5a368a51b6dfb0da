"""The table of docs/python_api.md: what `tests/methods/test_keras_walk.py` has shown on each backend.

    python benchmarks/keras_walk.py --backends torch,jax,tensorflow

Runs the tests once for each backend and prints the table in Markdown. A cell is empty if a package is
missing, or the walk failed before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BACKENDS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default=",".join(BACKENDS), help="Backends, comma-separated.")
    backends = parser.parse_args().backends.split(",")
    cells: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "walk.tsv"
        for backend in backends:
            environment = os.environ | {"KERAS_BACKEND": backend, "USRN_KERAS_WALK": str(noted)}
            tests = ["tests/methods/test_keras_walk.py", "-m", "slow or not slow"]
            command = [sys.executable, "-m", "pytest", *tests]
            subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False)
        for line in noted.read_text().splitlines():
            feature, backend, how = line.split("\t")
            cells.setdefault(feature, {})[backend] = how
    print("|", "|", " | ".join(BACKENDS[backend] for backend in backends), "|")
    print("| :-- |", " | ".join([":--"] * len(backends)), "|")
    for feature, found in cells.items():
        print("|", feature, "|", " | ".join(found.get(backend, "") for backend in backends), "|")


if __name__ == "__main__":
    main()
