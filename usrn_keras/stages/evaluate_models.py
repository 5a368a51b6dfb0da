"""The scores of the models of a run on whole images, side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.batches.whole_images import WholeImage
from usrn_keras.errors import RunError
from usrn_keras.evaluation import Predictor, evaluate_with, inference_of
from usrn_keras.evaluation.report_files import ImageMious, image_mious, write_image_scores
from usrn_keras.evaluation.small_maps import write_small_maps
from usrn_keras.files import atomic_path, read_json, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import Progress
from usrn_keras.recipe import Recipe
from usrn_keras.report.picture_sheets import comparison_png
from usrn_keras.report.pictures import SIDE, fit
from usrn_keras.runs import Run
from usrn_keras.runs.environment import trained_backends
from usrn_keras.runs.run import EVALUATION
from usrn_keras.runs.run_files import model_scores
from usrn_keras.stages.preflight import validate_evaluation
from usrn_keras.stages.report import fixed_samples, leave_report, predict_images, report_page, small_maps_file
from usrn_keras.stages.stage_files import evaluation_products


def evaluate_models(run: Run, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Write and return `evaluation.json`; if it holds the same evaluation already, it is read.

    If a file of that evaluation is missing or has changed, the models are evaluated again; if only the page
    has, it is drawn again.

    With it go the files of `report/`: `index.html`, `comparison.png` and `image_scores.csv`, the mIoU of
    each image.
    """
    file, settings = run.evaluation_file, run.recipe.evaluation
    contents = dataset.contents(settings.split)
    if (known := _kept_results(run, dataset, contents, progress)) is not None:
        return known
    options = inference_of(run.recipe)
    validate_evaluation(run.recipe, dataset)
    samples = getattr(dataset, settings.split)
    predictors = {
        model: Predictor(
            load_segmenter(run.model_file(model, settings.checkpoint)), options, batch=settings.batch
        )
        for model in run.compared_models
    }
    measured = {
        model: _evaluate(run, model, predictor, dataset, progress) for model, predictor in predictors.items()
    }
    mious = {run.titles[model]: kept["images"] for model, kept in measured.items()}
    write_image_scores(run.path / "report" / "image_scores.csv", mious)
    _compare(run, dataset, predictors, mious)
    results = {
        "run": str(run.path),
        "dataset": dataset.name,
        **_settings_of(run.recipe),
        "images": len(samples),
        "fingerprint": dataset.fingerprint(),
        "contents": contents,
        "backend": keras.backend.backend(),
        "backends": trained_backends(run.path),
        **_subclasses(run),
        "scores": [kept["scores"] for kept in measured.values()],
    }
    write_json(file, results)
    leave_report(run, dataset, predictors, progress.log)
    run.complete(EVALUATION, evaluation_products(run))
    return results


def _kept_results(run: Run, dataset: Dataset, contents: str, progress: Progress) -> dict[str, Any] | None:
    """What is in `evaluation.json`, if it is asked for and its files are as they were written."""
    if not run.evaluation_file.exists() and not run.is_complete(EVALUATION):
        return None
    try:
        known = known_results(run, run.recipe, contents)
        if known is not None and not run.is_complete(EVALUATION):  # stopped before the page, the last file
            return _with_page(run, dataset, known, progress)
        changed = run.changed_products(EVALUATION) if run.is_complete(EVALUATION) else []
    except RunError as error:
        progress.log(f"{error.message}; the models are evaluated again")
        run.evaluation_file.unlink(missing_ok=True)
        return None
    if not changed:
        return known
    page = str(report_page(run).relative_to(run.path))
    listed = ", ".join(f"{name} {problem}" for name, problem in changed)
    if known is not None and [name for name, _ in changed] == [page]:
        progress.log(f"{listed}; it is drawn again")
        return _with_page(run, dataset, known, progress)
    progress.log(f"{listed}; the models are evaluated again")
    for name, _ in changed:
        (run.path / name).unlink(missing_ok=True)
    return None


def _with_page(run: Run, dataset: Dataset, known: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Draw the page of an evaluation whose other files are there, and complete it."""
    leave_report(run, dataset, None, progress.log)
    run.complete(EVALUATION, evaluation_products(run))
    return known


def _evaluate(
    run: Run, model: str, predictor: Predictor, dataset: Dataset, progress: Progress
) -> dict[str, Any]:
    """`scores` of a model, and the mIoU of each of its `images`.

    Those of the first model are kept with its stage, which other runs may reuse.
    """
    is_first = model == run.models[0]
    maps: dict[str, np.ndarray] = {}
    file = run.stage(run.stages[0]) / "scores.json"
    settings = run.recipe.evaluation
    asked = {
        **_settings_of(run.recipe),
        "fingerprint": dataset.fingerprint(),
        "contents": dataset.contents(settings.split),
    }
    if is_first and file.exists() and small_maps_file(run, model).exists():  # the first stages had no maps
        try:
            known = read_json(file, model_scores)
        except RunError as error:
            progress.log(f"{error.message}; {model} is evaluated again")
            known = {}
        if known.get("asked") == asked and "images" in known:  # the first files had no scores of images
            return known

    def keep_small(item: WholeImage, ids: np.ndarray) -> None:
        maps[item.sample.name] = fit(ids, SIDE, SIDE, enlarge=False)

    measured = evaluate_with(
        predictor, getattr(dataset, settings.split), dataset, name=run.titles[model],
        workers=run.recipe.data.workers, checkpoint=run.checkpoint_name(model, settings.checkpoint),
        progress=progress, seen=keep_small,
    )  # fmt: skip
    write_small_maps(small_maps_file(run, model), maps)
    kept = {"asked": asked, "scores": measured.scores.to_json(), "images": image_mious(measured)}
    if is_first:
        write_json(file, kept)
    return kept


def _subclasses(run: Run) -> dict[str, Any]:
    """How balanced they are, and how many."""
    if not run.cluster_stage:
        return {}
    keys = "class_balance_rate", "subclasses"
    facts = run.facts(run.cluster_stage, *keys)
    return {key: facts[key] for key in keys}


def known_results(run: Run, recipe: Recipe, contents: str = "") -> dict[str, Any] | None:
    """What is in `evaluation.json`, if the run was measured as `[evaluation]` of a recipe says.

    Args:
        run: The run.
        recipe: Its `[evaluation]` says how.
        contents: `Dataset.contents` of the images that are to be measured on; empty: whatever they were.
    """
    if not run.evaluation_file.exists():
        return None
    known = run.results
    other = contents and known.get("contents", contents) != contents  # the first files had none
    return known if not other and _settings_of(recipe).items() <= known.items() else None


def _settings_of(recipe: Recipe) -> dict[str, Any]:
    """The settings of the evaluation, as `evaluation.json` has them."""
    options, settings = inference_of(recipe), recipe.evaluation
    inference = asdict(options) | {"scales": list(options.scales)}
    if options.mode == "whole":  # whole images have no windows
        del inference["window"], inference["overlap"]
    return {"split": settings.split, "checkpoint": settings.checkpoint, **inference}


def _compare(
    run: Run, dataset: Dataset, predictors: dict[str, Predictor], mious: dict[str, ImageMious]
) -> None:
    """Write a few images, spread evenly over the list, each with its label and predictions beside it."""
    samples = fixed_samples(getattr(dataset, run.recipe.evaluation.split))
    rows = predict_images(run, samples, dataset, predictors, mious)
    with atomic_path(run.path / "report" / "comparison.png") as temporary:
        temporary.write_bytes(comparison_png(rows, run.classes, run.palette))
