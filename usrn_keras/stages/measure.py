"""The last stage: the models of a run on whole images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import keras

from usrn_keras.data import Dataset, Sample, read_sample
from usrn_keras.errors import DataError
from usrn_keras.evaluation import Predictor, evaluate_with, inference_of
from usrn_keras.files import atomic_path, read_json, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import Progress
from usrn_keras.recipe import Recipe
from usrn_keras.report.pictures import comparison_png
from usrn_keras.runs import BASELINE, SUBCLASSES, Run

MODELS = {"baseline": "Baseline", "usrn": "USRN"}
PICTURED = 4  # images in report/comparison.png


def measure(run: Run, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Write `report/comparison.png`, write and return `evaluation.json`; measured so already, it is read."""
    if (known := known_results(run, run.recipe)) is not None:
        return known
    file, settings = run.evaluation_file, run.recipe.evaluation
    options = inference_of(run.recipe)
    refuse_unmeasurable(run.recipe, dataset)
    samples = getattr(dataset, settings.split)
    predictors = {
        model: Predictor(
            load_segmenter(run.model_file(model, settings.checkpoint)), options, batch=settings.batch
        )
        for model in run.models
    }
    scores = [_scores(run, model, predictor, dataset, progress) for model, predictor in predictors.items()]
    _picture(run, samples[:: max(1, len(samples) // PICTURED)][:PICTURED], dataset, predictors)
    results = {
        "run": str(run.path),
        "dataset": dataset.name,
        **_asked(run.recipe),
        "images": len(samples),
        "fingerprint": dataset.fingerprint(),
        "backend": keras.backend.backend(),
        **_subclasses(run),
        "scores": scores,
    }
    write_json(file, results)
    return results


def _scores(
    run: Run, model: str, predictor: Predictor, dataset: Dataset, progress: Progress
) -> dict[str, Any]:
    """Scores of a model; those of the Baseline are kept with its stage, which other runs may take over."""
    file = run.stage(BASELINE) / "scores.json"
    asked = {**_asked(run.recipe), "fingerprint": dataset.fingerprint()}
    if model == "baseline" and file.exists() and (known := read_json(file))["asked"] == asked:
        return known["scores"]
    settings = run.recipe.evaluation
    scores = evaluate_with(
        predictor, getattr(dataset, settings.split), dataset, name=MODELS[model],
        workers=run.recipe.data.workers, checkpoint=run.checkpoint_name(model, settings.checkpoint),
        progress=progress,
    ).scores.to_json()  # fmt: skip
    if model == "baseline":
        write_json(file, {"asked": asked, "scores": scores})
    return scores


def _subclasses(run: Run) -> dict[str, Any]:
    """How balanced they are, and how many."""
    if not run.is_complete(SUBCLASSES):  # of a supervised run
        return {}
    facts = run.facts(SUBCLASSES)
    return {key: facts[key] for key in ("class_balance_rate", "subclasses")}


def refuse_unmeasurable(recipe: Recipe, dataset: Dataset) -> None:
    """Raise a `DataError` where `evaluation.split` has no images."""
    split = recipe.evaluation.split
    if not getattr(dataset, split):
        other = "val" if split == "test" else "test"
        raise DataError(
            f"evaluation.split = {split!r}: the data set {dataset.name} has no {split} images",
            hint=f"Set evaluation.split = {other!r}, or name them with data.{split}.",
        )


def known_results(run: Run, recipe: Recipe) -> dict[str, Any] | None:
    """What is in `evaluation.json`, if the run was measured as `[evaluation]` of a recipe says."""
    if not run.evaluation_file.exists():
        return None
    known = read_json(run.evaluation_file)
    return known if _asked(recipe).items() <= known.items() else None


def _asked(recipe: Recipe) -> dict[str, Any]:
    """What is measured and how, as it stands in `evaluation.json`."""
    options, settings = inference_of(recipe), recipe.evaluation
    inference = asdict(options) | {"scales": list(options.scales)}
    if options.mode == "whole":  # whole images have no windows
        del inference["window"], inference["overlap"]
    return {"split": settings.split, "checkpoint": settings.checkpoint, **inference}


def _picture(run: Run, samples: Sequence[Sample], dataset: Dataset, predictors: dict[str, Predictor]) -> None:
    """A few images, spread evenly over the list: label, Baseline and USRN beside each."""
    rows, names = [], [MODELS[model] for model in predictors]
    for sample in samples:
        image, mask = read_sample(sample, dataset)
        rows.append((image, [mask, *(predictor.ids(image) for predictor in predictors.values())]))
    with atomic_path(run.path / "report" / "comparison.png") as temporary:
        temporary.write_bytes(comparison_png(rows, run.palette, ["image", "label", *names]))
