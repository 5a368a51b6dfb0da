"""The last stage: Baseline and USRN on whole images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import keras

from usrn_keras.data import Dataset, Sample, read_sample
from usrn_keras.errors import DataError
from usrn_keras.evaluation import Inference, Predictor, evaluate_with, inference_of
from usrn_keras.files import atomic_path, read_json, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import Progress
from usrn_keras.report.pictures import comparison_png
from usrn_keras.runs import SUBCLASSES, Run

MODELS = {"baseline": "Baseline", "usrn": "USRN"}
PICTURED = 4  # images in report/comparison.png


def measure(run: Run, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Write `report/comparison.png`, write and return `evaluation.json`; measured so already, it is read."""
    file, settings = run.evaluation_file, run.recipe.evaluation
    options = inference_of(run.recipe)
    asked = _asked(options, settings.split, settings.checkpoint)
    if file.exists() and asked.items() <= (known := read_json(file)).items():
        return known
    samples = getattr(dataset, settings.split)
    if not samples:
        raise DataError(
            f"the data set {dataset.name} has no {settings.split} images", hint="Set evaluation.split."
        )
    predictors = {
        model: Predictor(
            load_segmenter(run.model_file(model, settings.checkpoint)), options, batch=settings.batch
        )
        for model in MODELS
    }
    scores = [
        evaluate_with(
            predictor, samples, dataset, name=MODELS[model], workers=run.recipe.data.workers,
            checkpoint=run.checkpoint_name(model, settings.checkpoint), progress=progress,
        ).scores.to_json()
        for model, predictor in predictors.items()
    ]  # fmt: skip
    _picture(run, samples[:: max(1, len(samples) // PICTURED)][:PICTURED], dataset, predictors)
    results = {
        "run": str(run.path),
        "dataset": dataset.name,
        **asked,
        "images": len(samples),
        "fingerprint": dataset.fingerprint(),
        "backend": keras.backend.backend(),
        "class_balance_rate": run.facts(SUBCLASSES)["class_balance_rate"],
        "subclasses": run.facts(SUBCLASSES)["subclasses"],
        "scores": scores,
    }
    write_json(file, results)
    return results


def _asked(options: Inference, split: str, checkpoint: str) -> dict[str, Any]:
    """What was measured and how, as it stands in `evaluation.json`."""
    inference = asdict(options) | {"scales": list(options.scales)}
    if options.mode == "whole":  # whole images have no windows
        del inference["window"], inference["overlap"]
    return {"split": split, "checkpoint": checkpoint, **inference}


def _picture(run: Run, samples: Sequence[Sample], dataset: Dataset, predictors: dict[str, Predictor]) -> None:
    """A few images, spread evenly over the list: label, Baseline and USRN beside each."""
    rows = []
    for sample in samples:
        image, mask = read_sample(sample, dataset)
        rows.append((image, [mask, *(predictor.ids(image) for predictor in predictors.values())]))
    with atomic_path(run.path / "report" / "comparison.png") as temporary:
        temporary.write_bytes(comparison_png(rows, run.palette, ["image", "label", *MODELS.values()]))
