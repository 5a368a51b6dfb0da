"""Seconds an image of `usrn predict`: as it is, and with one image read, predicted and written at a time.

    python benchmarks/predict.py --csv benchmarks/results/predict.csv

Both ways take turns in every round, on the same drawn scenes and the same network (MobileNet with random
weights; what it predicts does not change the time). `pipeline_ratio` is the time of the threads that read and
write beside the network, divided by that of one image at a time: median and range over the rounds. The ratio
depends on what else the machine does: `load` is that of the last minute.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from benchmarks.options import add_row_options
from usrn_keras.data.quickstart import make_quickstart
from usrn_keras.evaluation import Predictor
from usrn_keras.evaluation.prediction_jobs import Job, Rendering, predict_jobs
from usrn_keras.networks import build_branches

WAYS = {"one at a time": 0, "pipeline": 2}  # threads that read, and that write
SIZES = ((360, 480), (1024, 2048))
CLASSES = 11


def jobs_of(folder: Path, size: tuple[int, int], images: int) -> list[Job]:
    """Drawn scenes, and where their masks, overlays and confidences are written."""
    root = make_quickstart(folder / f"{size[1]}", labelled=1, unlabelled=1, val=images, size=size)
    names = (root / "lists" / "val.txt").read_text().split()
    out = folder / "out"
    for name in ("overlays", "confidence"):
        (out / name).mkdir(parents=True, exist_ok=True)
    found = []
    for name in names:
        targets = (out / f"{name}.png", out / f"overlays/{name}.png", out / f"confidence/{name}.png")
        found.append(Job(root / "images" / f"{name}.jpg", *targets))
    return found


def measure(size: tuple[int, int], predictor: Predictor, jobs: list[Job], rounds: int) -> Iterator[dict]:
    """A row for each way; they take turns."""
    palette = np.random.default_rng(0).integers(0, 256, (CLASSES, 3), dtype=np.uint8)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    list(predict_jobs(predictor, jobs[:1], Rendering(palette)))  # compiles, where the backend does
    for _ in range(rounds):
        for way, threads in WAYS.items():
            started = time.perf_counter()
            list(predict_jobs(predictor, jobs, Rendering(palette, workers=threads)))
            seconds[way].append((time.perf_counter() - started) / len(jobs))
    ratios = [ours / other for ours, other in zip(seconds["pipeline"], seconds["one at a time"], strict=True)]
    for way, taken in seconds.items():
        row = {"backend": keras.backend.backend(), "size": f"{size[1]}x{size[0]}", "way": way}
        row |= {"images": len(jobs), "rounds": rounds} | table.spread("seconds_per_image", taken)
        yield row | (table.spread("ratio_to_one_at_a_time", ratios) if way == "pipeline" else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    add_row_options(parser)
    options = parser.parse_args()
    branch, _ = build_branches("keras/mobilenet", classes=CLASSES, weights="none", seed=0)
    predictor = Predictor(branch.segmenter())
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            jobs = jobs_of(Path(folder), size, options.images)
            rows = measure(size, predictor, jobs, options.rounds)
            table.publish(rows, machine.facts(options.commit), options.csv)


if __name__ == "__main__":
    main()
