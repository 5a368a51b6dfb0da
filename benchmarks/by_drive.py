"""Scores of CamVid runs on each drive: what do they gain where masks are lacking, and where images are?

    python benchmarks/by_drive.py --of unlabelled,val runs/a runs/b

writes to benchmarks/results/camvid_drives.csv a row for each run, model, set of images and drive. The
`unlabelled` images are training images; their masks are read here alone, never in training. Of 1/16 they are
344, of three drives. The 101 images of `val` are of one of these; 171 of the 233 of `test` are of a drive
that no training image is of. Rows of the same run, model, images and drive are replaced.
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
    "correction", "lambda_sub",
)  # fmt: skip

Row = dict[str, str]


def drives(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by the drive that their names start with, `0016E5_07959` for one."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.name.rpartition("/")[2].partition("_")[0], []).append(sample)
    return found


def settings(recipe: Recipe) -> dict[str, object]:
    """What tells the runs apart."""
    options = getattr(recipe, recipe.training.method, None)  # the section of its method, where it has one
    values = {**recipe.training.model_dump(), **(options.model_dump() if options else {})}
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
    """A row for each model of a run, set of images and drive."""
    run = open_run(path)
    dataset = load_dataset(run.recipe.data)
    for model in models or run.models:
        segmenter = load_segmenter(run.model_file(model, "last"))
        for images_of in sets:
            for drive, scores in scores_by_drive(segmenter, dataset, images_of, progress).items():
                key = dict(zip(KEY, (path.name, model, images_of, drive), strict=True))
                row = {
                    **key,
                    "pixels": scores.confusion.sum(),
                    **figures(scores),
                    **settings(run.recipe),
                    "numerics": recorded_numerics(run.path),
                    **facts,
                }
                yield {name: str(value) for name, value in row.items()}


def merged(known: Iterable[Row], measured: Iterable[Row]) -> list[Row]:
    """Rows in their order, each replaced by one measured anew."""
    rows = {tuple(row[name] for name in KEY): row for row in known}
    return list((rows | {tuple(row[name] for name in KEY): row for row in measured}).values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the runs that the command line names; what is measured is written run by run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--of", default="unlabelled,val", help="sets of images, by commas")
    parser.add_argument("--models", default="", help="of each run, by commas; all without it")
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
