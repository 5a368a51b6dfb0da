"""The scores of the models of a run on whole images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import keras

from usrn_keras.data import Dataset, Sample, read_sample
from usrn_keras.evaluation import Predictor, evaluate_with, inference_of
from usrn_keras.evaluation.report_files import image_mious, write_image_scores
from usrn_keras.files import atomic_path, read_json, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import Progress
from usrn_keras.recipe import Recipe
from usrn_keras.report.picture_sheets import comparison_png
from usrn_keras.report.pictures import PredictedImage
from usrn_keras.runs import Run
from usrn_keras.stages.preflight import validate_evaluation
from usrn_keras.stages.report import fixed_samples, leave_report


def evaluate_models(run: Run, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Write and return `evaluation.json`; if it holds the same evaluation already, it is read.

    With it go the files of `report/`: `index.html`, `comparison.png` and `image_scores.csv`, the mIoU of
    each image.
    """
    file, settings = run.evaluation_file, run.recipe.evaluation
    contents = dataset.contents(settings.split)
    if (known := known_results(run, run.recipe, contents)) is not None:
        return known
    options = inference_of(run.recipe)
    validate_evaluation(run.recipe, dataset)
    samples = getattr(dataset, settings.split)
    predictors = {
        model: Predictor(
            load_segmenter(run.model_file(model, settings.checkpoint)), options, batch=settings.batch
        )
        for model in run.models
    }
    measured = {
        model: _evaluate(run, model, predictor, dataset, progress) for model, predictor in predictors.items()
    }
    mious = {run.titles[model]: kept["images"] for model, kept in measured.items()}
    write_image_scores(run.path / "report" / "image_scores.csv", mious)
    _picture(run, fixed_samples(samples), dataset, predictors)
    results = {
        "run": str(run.path),
        "dataset": dataset.name,
        **_settings_of(run.recipe),
        "images": len(samples),
        "fingerprint": dataset.fingerprint(),
        "contents": contents,
        "backend": keras.backend.backend(),
        **_subclasses(run),
        "scores": [kept["scores"] for kept in measured.values()],
    }
    write_json(file, results)
    leave_report(run, dataset, predictors, progress.log)
    return results


def _evaluate(
    run: Run, model: str, predictor: Predictor, dataset: Dataset, progress: Progress
) -> dict[str, Any]:
    """`scores` of a model, and the mIoU of each of its `images`.

    Those of the first model are kept with its stage, which other runs may reuse.
    """
    is_first = model == run.models[0]
    file = run.stage(run.stages[0]) / "scores.json"
    settings = run.recipe.evaluation
    asked = {
        **_settings_of(run.recipe),
        "fingerprint": dataset.fingerprint(),
        "contents": dataset.contents(settings.split),
    }
    if is_first and file.exists():
        known = read_json(file)
        if known["asked"] == asked and "images" in known:  # the first files had no scores of images
            return known
    measured = evaluate_with(
        predictor, getattr(dataset, settings.split), dataset, name=run.titles[model],
        workers=run.recipe.data.workers, checkpoint=run.checkpoint_name(model, settings.checkpoint),
        progress=progress,
    )  # fmt: skip
    kept = {"asked": asked, "scores": measured.scores.to_json(), "images": image_mious(measured)}
    if is_first:
        write_json(file, kept)
    return kept


def _subclasses(run: Run) -> dict[str, Any]:
    """How balanced they are, and how many."""
    if not run.cluster_stage:
        return {}
    facts = run.facts(run.cluster_stage)
    return {key: facts[key] for key in ("class_balance_rate", "subclasses")}


def known_results(run: Run, recipe: Recipe, contents: str = "") -> dict[str, Any] | None:
    """What is in `evaluation.json`, if the run was measured as `[evaluation]` of a recipe says.

    Args:
        run: The run.
        recipe: Its `[evaluation]` says how.
        contents: `Dataset.contents` of the images that are to be measured on; empty: whatever they were.
    """
    if not run.evaluation_file.exists():
        return None
    known = read_json(run.evaluation_file)
    other = contents and known.get("contents", contents) != contents  # the first files had none
    return known if not other and _settings_of(recipe).items() <= known.items() else None


def _settings_of(recipe: Recipe) -> dict[str, Any]:
    """The settings of the evaluation, as `evaluation.json` has them."""
    options, settings = inference_of(recipe), recipe.evaluation
    inference = asdict(options) | {"scales": list(options.scales)}
    if options.mode == "whole":  # whole images have no windows
        del inference["window"], inference["overlap"]
    return {"split": settings.split, "checkpoint": settings.checkpoint, **inference}


def _picture(run: Run, samples: Sequence[Sample], dataset: Dataset, predictors: dict[str, Predictor]) -> None:
    """A few images, spread evenly over the list: label and predictions beside each."""
    rows = []
    for sample in samples:
        image, mask = read_sample(sample, dataset)
        predictions = {run.titles[model]: predictor.ids(image) for model, predictor in predictors.items()}
        rows.append(PredictedImage(sample.name, image, mask, predictions))
    with atomic_path(run.path / "report" / "comparison.png") as temporary:
        temporary.write_bytes(comparison_png(rows, run.palette))
