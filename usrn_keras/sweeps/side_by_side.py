"""Predictions of all rows of a table side by side (paper, Fig. 3), from the maps that runs keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset, Sample, as_rgb, load_dataset, read_sample
from usrn_keras.data.batches.whole_images import mask_to_labels
from usrn_keras.errors import USRNError
from usrn_keras.evaluation.report_files import read_image_scores
from usrn_keras.evaluation.small_maps import read_small_maps
from usrn_keras.report.picture_sheets import comparison_png
from usrn_keras.report.pictures import SIDE, PredictedImage
from usrn_keras.runs import Run
from usrn_keras.stages.report import fixed_samples, small_maps_file
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan


def side_by_side_png(plan: Plan, family: Family) -> bytes | None:
    """Draw a few measured images with the prediction of every row, of the first split and seed.

    Args:
        plan: Plan of the table.
        family: Folder of its runs.

    Returns:
        A PNG file; None if no run is complete, or the images are not there.
    """
    runs: dict[str, Run] = {}
    for cell in plan.cells:
        if (cell.split, cell.seed) == (plan.splits[0], plan.seeds[0]) and family.is_done(cell.run):
            runs[cell.row] = family.run(cell.run)
    if not runs:
        return None
    maps = {row: read_small_maps(small_maps_file(run, run.models[-1])) for row, run in runs.items()}
    mious = {row: _mious(run) for row, run in runs.items()}
    first = next(iter(runs.values()))
    try:
        dataset = load_dataset(first.recipe.data)
        samples = [
            sample
            for sample in fixed_samples(getattr(dataset, first.recipe.evaluation.split))
            if all(sample.name in known for known in maps.values())
        ]
        rows = [_row(sample, dataset, maps, mious) for sample in samples]
    except USRNError:  # the images of a finished table may be gone
        return None
    return comparison_png(rows, dataset.classes, dataset.palette) if rows else None


def _row(
    sample: Sample,
    dataset: Dataset,
    maps: dict[str, dict[str, np.ndarray]],
    mious: dict[str, dict[str, float | None]],
) -> PredictedImage:
    image, mask = read_sample(sample, dataset)
    known = [mious[row].get(sample.name) for row in maps]
    shot = as_rgb(image, sample.bands)
    photo = PredictedImage(sample.name, shot, mask_to_labels(mask, dataset), {}, known).smaller(SIDE)
    predictions = {row: found[sample.name] for row, found in maps.items()}
    return PredictedImage(photo.name, photo.image, photo.labels, predictions, known)


def _mious(run: Run) -> dict[str, float | None]:
    file: Path = run.path / "report" / "image_scores.csv"
    return read_image_scores(file).get(run.titles[run.models[-1]], {}) if file.exists() else {}
