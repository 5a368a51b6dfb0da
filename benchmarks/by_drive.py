"""Scores of CamVid runs, drive by drive.

    python benchmarks/by_drive.py --of unlabelled,val runs/a runs/b

Writes a row for each run, model, set of images and drive to benchmarks/results/camvid_drives.csv; earlier
rows of the same run, model, set and drive are replaced. The `unlabelled` images are training images whose
masks are read here only, never in training: 344 images of three drives for the split 1/16. The 101 images
of `val` are from one of these drives; 171 of the 233 images of `test` are from a drive without any training
image.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # depthwise convolutions

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from usrn_keras.data import Dataset, Sample, load_dataset
from usrn_keras.evaluation import evaluate
from usrn_keras.metrics import Scores
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import Progress, terminal_progress
from usrn_keras.recipe import Recipe
from usrn_keras.runs import open_run
from usrn_keras.runs.environment import recorded_numerics

RESULTS = Path(__file__).with_name("results") / "camvid_drives.csv"
KEY = ("run", "model", "images_of", "drive")
SETTINGS = (
    "method", "baseline_steps", "usrn_steps", "usrn_learning_rate", "terms", "threshold", "gate",
    "lambda_sub",
)  # fmt: skip

Row = dict[str, str]


def drives(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by drive; the name of a sample begins with its drive, such as `0016E5_07959`."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.name.rpartition("/")[2].partition("_")[0], []).append(sample)
    return found


def settings(recipe: Recipe, method: str) -> dict[str, object]:
    """Columns of a model that `method` trained: what tells the runs apart."""
    options = getattr(recipe, method, None)  # a method without options has no section
    values = {**recipe.training.model_dump(), **(options.model_dump() if options else {}), "method": method}
    if method == "supervised":
        values = {key: value for key, value in values.items() if not key.startswith("usrn_")}
    chosen = {key: values[key] for key in SETTINGS if key in values}
    texts = {key: " ".join(value) if isinstance(value, list) else value for key, value in chosen.items()}
    split = {"split": recipe.data.split, "seed": recipe.data.split_seed, "long_side": recipe.views.long_side}
    return {**split, **texts}


def figures(scores: Scores) -> dict[str, object]:
    """Shares in 0..1; an absent class is empty."""
    ious = zip(scores.classes, scores.iou, strict=True)
    named = {"miou": scores.miou, "rare_miou": scores.rare_miou, **{f"iou {name}": iou for name, iou in ious}}
    return {name: round(float(value), 4) if value == value else "" for name, value in named.items()}


def scores_by_drive(
    segmenter: keras.Model, dataset: Dataset, images_of: str, progress: Progress
) -> dict[str, Scores]:
    """Scores of a model on a set of images, drive by drive, and on `all` of them."""
    scores = {
        drive: evaluate(segmenter, samples, dataset, name=drive, boundary=False, progress=progress).scores
        for drive, samples in drives(getattr(dataset, images_of)).items()
    }
    together = np.sum([part.confusion for part in scores.values()], axis=0)
    return {"all": Scores("all", dataset.classes, together), **scores}


def rows_of(
    path: Path, models: Iterable[str], sets: Iterable[str], facts: Mapping[str, object], progress: Progress
) -> Iterator[Row]:
    """Yield a row for each model of a run, set of images and drive."""
    run = open_run(path)
    dataset = load_dataset(run.recipe.data)
    for model in models or run.models:
        method = run.plan[run.stage_of(model)].method
        segmenter = load_segmenter(run.model_file(model, "last"))
        for images_of in sets:
            for drive, scores in scores_by_drive(segmenter, dataset, images_of, progress).items():
                key = dict(zip(KEY, (path.name, model, images_of, drive), strict=True))
                row = {
                    **key,
                    "pixels": scores.confusion.sum(),
                    **figures(scores),
                    **settings(run.recipe, method),
                    "numerics": recorded_numerics(run.path),
                    **facts,
                }
                yield {name: str(value) for name, value in row.items()}


def merged(known: Iterable[Row], measured: Iterable[Row]) -> list[Row]:
    """Known rows in their order, replaced where they were measured again, then the new ones."""
    rows = {tuple(row[name] for name in KEY): row for row in known}
    return list((rows | {tuple(row[name] for name in KEY): row for row in measured}).values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the runs that the command line names; rows are written after each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--of", default="unlabelled,val", help="sets of images, comma-separated")
    parser.add_argument("--models", default="", help="models of each run, comma-separated; default: all")
    options = parser.parse_args(arguments)
    facts, sets = machine.facts(), options.of.split(",")
    models = [model for model in options.models.split(",") if model]
    for path in options.runs:
        with terminal_progress() as progress:
            measured = list(rows_of(path, models, sets, facts, progress))
        table.write(RESULTS, merged(table.read(RESULTS), measured))
        for row in measured:
            print(*(row[name] for name in (*KEY, "miou", "rare_miou")), flush=True)


if __name__ == "__main__":
    main()
