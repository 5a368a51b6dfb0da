"""CPU time and memory of a data set with many images: index, hashes, first batches, the survey of files.

    python benchmarks/many_files.py FOLDER --images 200000

creates FOLDER, a folder data set whose files are hard links to a few tiny ones (one in a hundred images has a
mask), unless it is there, and prints one line of CSV for each phase: CPU seconds, which do not depend on what
else the machine does, and the peak of the memory so far.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data import load_dataset
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.inspection import inspect_data
from usrn_keras.inspection.folder_account import account_for_files
from usrn_keras.machine import peak_memory
from usrn_keras.project import ProjectRequest, create_project
from usrn_keras.recipe import load_recipe
from usrn_keras.runs.identity import describe

FEW = 20  # different files; a file system allows 65,000 links to one
IN_A_FOLDER = 1000
RECIPE = """
[data]
dataset = "folder"
root = "{root}"
val = "val.txt"
[network]
backbone = "keras/mobilenet"
weights = "none"
[views]
crop_size = 32
long_side = 48
[training]
baseline_steps = 10
usrn_steps = 10
"""


def make(folder: Path, images: int) -> None:
    """Create the data set: a thousand images in a folder, masks of every hundredth, a quarter of them val."""
    rng = np.random.default_rng(0)
    (folder / "few").mkdir(parents=True)
    for number in range(FEW):
        cv2.imwrite(str(folder / f"few/{number}.png"), rng.integers(0, 256, (32, 48, 3), dtype=np.uint8))
        mask = rng.integers(0, 5, (4, 6), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        cv2.imwrite(str(folder / f"few/{number}_mask.png"), mask)
    root, val = folder / "data", []
    for number in range(images):
        name = f"{number // IN_A_FOLDER:04d}/{number:07d}.png"
        for kind, ending in (("images", ""), ("masks", "_mask")):
            if kind == "masks" and number % 100:
                continue
            target = root / kind / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(folder / f"few/{number % FEW}{ending}.png")
            if kind == "masks" and number % 400 == 0:
                val.append(name.removesuffix(".png"))
    (root / "classes.txt").write_text("".join(f"class {number}\n" for number in range(5)))
    (root / "val.txt").write_text("".join(f"{name}\n" for name in val))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200_000)
    options = parser.parse_args()
    if not options.folder.exists():
        make(options.folder, options.images)
    (options.folder / "recipe.toml").write_text(RECIPE.format(root=options.folder / "data"))
    recipe = load_recipe(str(options.folder / "recipe.toml"))
    rows = csv.writer(sys.stdout)
    rows.writerow(["images", "phase", "cpu_seconds", "peak_megabytes"])

    def measured(phase: str, function: Callable[[], object]) -> object:
        started = time.process_time()
        found = function()
        row = [options.images, phase, round(time.process_time() - started, 2), peak_memory() // 10**6]
        rows.writerow(row)
        sys.stdout.flush()
        return found

    rows.writerow([options.images, "start", 0, peak_memory() // 10**6])
    dataset = measured("index and lists", lambda: load_dataset(recipe.data))
    measured("hash of the lists", dataset.fingerprint)
    measured("identity of the data set", lambda: describe(dataset))
    measured("files that are left out", lambda: account_for_files(recipe.data, dataset))
    batches = measured("batches", lambda: build_batches(recipe, dataset))
    measured("first batch", lambda: batches.batch(0))
    measured("names of a batch in the tenth epoch", lambda: batches.names(10 * len(dataset.unlabelled) // 8))
    measured("20 batches", lambda: list(batches.iterate(1, 21)))
    measured("usrn data check", lambda: inspect_data(recipe))
    with tempfile.TemporaryDirectory() as folder:
        data = options.folder / "data"
        request = ProjectRequest(data / "images", data / "masks", val="0.1")
        measured("usrn init", lambda: create_project(Path(folder) / "project", request))


if __name__ == "__main__":
    main()
