"""`report/index.html`: everything that a run folder knows, on a page that a person can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset, Sample, as_rgb, load_dataset, read_sample
from usrn_keras.data.batches.whole_images import mask_to_labels, read_whole
from usrn_keras.errors import RunError, USRNError
from usrn_keras.evaluation import Predictor, inference_of
from usrn_keras.evaluation.report_files import ImageMious, read_image_scores
from usrn_keras.evaluation.small_maps import read_small_maps
from usrn_keras.files import atomic_path
from usrn_keras.metrics import Scores
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe
from usrn_keras.report.pictures import SIDE, PredictedImage
from usrn_keras.report.run_page import run_page
from usrn_keras.report.run_summary import RunSummary
from usrn_keras.runs import Run, open_run
from usrn_keras.runs.identity import check_same_data
from usrn_keras.runs.run import EVALUATION, STAGES_FILE
from usrn_keras.stages.cluster import cluster_report
from usrn_keras.stages.diagnosis import diagnosis_log
from usrn_keras.stages.run_facts import run_facts

FIXED = WORST = 4  # images


def write_report(
    run: Run, *, dataset: Dataset | None = None, predictors: Mapping[str, Predictor] | None = None
) -> Path:
    """Write `report/index.html` of a run, complete or not, and return its path.

    Args:
        run: The run; it may be at work.
        dataset: Its data set, where it is loaded already.
        predictors: Its models by name, where they are loaded already.

    Raises:
        StorageError: The page cannot be written.

    Example:

    >>> from usrn_keras.runs import open_run
    >>> write_report(open_run("runs/quickstart"))  # doctest: +SKIP
    PosixPath('runs/quickstart/report/index.html')
    """
    html = run_page(collect_summary(run, dataset, predictors)).html()
    path = report_page(run)
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    run.product_changed(EVALUATION, path)
    return path


def report_page(run: Run) -> Path:
    """Path of the page of a run."""
    return run.path / "report" / "index.html"


def report_runs(runs: Sequence[Path], *, progress: Progress = SILENT) -> list[Path]:
    """Write the report of each run folder, and return their paths.

    Raises:
        RunError: A folder is no run; all that are not are named, and nothing is written.
        StorageError: A page cannot be written.
    """
    opened, refused = [], []
    for path in runs:
        try:
            opened.append(open_run(path))
        except USRNError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise RunError(
            f"{len(refused)} of {len(runs)} reports cannot be drawn",
            errors=[error.message for error in refused],
        )
    with progress.task("report", total=len(opened)) as task:
        paths = []
        for run in opened:
            paths.append(write_report(run))
            task.advance()
    return paths


def leave_report(
    run: Run, dataset: Dataset, predictors: Mapping[str, Predictor] | None, log: Callable[[str], None]
) -> None:
    """Write the report of a run that has just been measured; a failure is logged, and costs nothing else."""
    try:
        write_report(run, dataset=dataset, predictors=predictors)
    except Exception as error:  # whatever it is, hours of training stand behind the results
        log(f"report/index.html could not be drawn: {error}. Draw it again: usrn report {run.path}")


def collect_summary(
    run: Run, dataset: Dataset | None = None, predictors: Mapping[str, Predictor] | None = None
) -> RunSummary:
    """Everything that is known of a run, and the reason why the rest is missing."""
    method = run.recipe.training.method
    options = run.recipe.options
    *_, last = run.training_stages
    summary = RunSummary(
        str(run.path),
        run.classes,
        run.palette,
        facts=run_facts(run),
        recipe=(run.path / "recipe.toml").read_text(encoding="utf-8"),
        recipe_file=str(run.path / "recipe.toml") if (run.path / STAGES_FILE).exists() else "",
        stages=list(run.training_stages.values()),
        seed=run.recipe.training.seed,
        training={
            stage.title: list(run.log(folder).records()) for folder, stage in run.training_stages.items()
        },
        pseudo_labels=diagnosis_log(run, last).records(),
        has_subclasses=bool(run.cluster_stage),
        has_gate=_has_gate(run.recipe),
        pseudo_label_note="" if options is None else options.pseudo_label_note,
    )
    if run.evaluation_file.exists():
        summary.scores = [Scores.from_json(scores) for scores in run.results["scores"]]
    else:
        done = ", ".join(stage for stage in run.stages if run.is_complete(stage)) or "no stage"
        summary.missing["scores"] = (
            f"The run has not been evaluated yet; complete: {done}. `usrn fit` resumes it."
        )
    if not run.cluster_stage:
        summary.missing["clusters"] = f"A run with training.method = {method!r} has no subclasses."
    elif run.is_complete(run.cluster_stage):
        summary.clusters = cluster_report(run)
    if not summary.pseudo_labels:
        summary.missing["pseudo_labels"] = _why_no_diagnosis(run)
    _add_pictures(summary, run, dataset, predictors)
    return summary


def _has_gate(recipe: Recipe) -> bool:
    """Whether a gate selects the corrected pseudo labels: of the method, or of USRN on top of it."""
    if recipe.training.with_usrn:
        return recipe.usrn.gate != "off"
    return recipe.options is not None and recipe.options.has_gate


def _why_no_diagnosis(run: Run) -> str:
    *_, last = run.training_stages
    if len(run.training_stages) == 1:
        return "A supervised run has no pseudo labels."
    if run.recipe.evaluation.diagnosis == 0:
        return "The pseudo labels were not measured: the recipe says evaluation.diagnosis = 0."
    if not run.stage(last).exists():
        return f"{run.training_stages[last].title} has not been trained yet."
    return (
        "The pseudo labels were not measured: there were no unlabelled images, or the run was trained by an "
        "older version of usrn-keras."
    )


def _add_pictures(
    summary: RunSummary, run: Run, dataset: Dataset | None, predictors: Mapping[str, Predictor] | None
) -> None:
    """Add the measured images with the maps that evaluation kept; without maps, a few are predicted."""
    mious = _image_mious(run)
    try:
        if dataset is None:
            dataset = load_dataset(run.recipe.data)
            check_same_data(run.path, run.data, dataset)
        samples = getattr(dataset, run.recipe.evaluation.split)
        summary.measured = len(samples)
        maps = {
            run.titles[model]: read_small_maps(small_maps_file(run, model)) for model in run.compared_models
        }
        mapped = [sample for sample in samples if all(sample.name in known for known in maps.values())]
        if mapped:
            summary.images = _with_maps(mapped, dataset, maps, mious, run.recipe.data.workers)
            return
        worst = worst_samples(samples, mious.get(run.titles[run.models[-1]], {}))
        few = list(dict.fromkeys([*fixed_samples(samples), *worst]))
        images = predict_images(run, few, dataset, predictors or _predictors(run), mious)
    except USRNError as error:  # images or models that are not there cost the pictures alone
        summary.missing["pictures"] = f"There are no pictures: {error.message}."
        return
    summary.images = [image.smaller(SIDE) for image in images]
    summary.missing["images"] = (
        "There are no more pictures: the run was evaluated by an older version of usrn-keras."
    )
    if summary.recipe_file:
        summary.missing["images"] += (
            f" Remove {run.evaluation_file} and run `usrn fit` again to evaluate it once more."
        )


def small_maps_file(run: Run, model: str) -> Path:
    """Return the path of the small predicted maps of a model."""
    return run.stage(run.stage_of(model)) / "small_maps.npz"


def predict_images(
    run: Run,
    samples: Sequence[Sample],
    dataset: Dataset,
    predictors: Mapping[str, Predictor],
    mious: Mapping[str, ImageMious],
) -> list[PredictedImage]:
    """Read images with their labels, and predict each of them with each model."""
    rows = []
    for sample in samples:
        image, mask = read_sample(sample, dataset)
        predictions = {run.titles[model]: predictor.ids(image) for model, predictor in predictors.items()}
        known = _known_mious(mious, predictions, sample)
        shot = as_rgb(image, sample.bands)
        rows.append(PredictedImage(sample.name, shot, mask_to_labels(mask, dataset), predictions, known))
    return rows


def _with_maps(
    samples: Sequence[Sample],
    dataset: Dataset,
    maps: Mapping[str, Mapping[str, np.ndarray]],
    mious: Mapping[str, ImageMious],
    workers: int,
) -> list[PredictedImage]:
    images = []
    for item in read_whole(samples, dataset, workers=workers, ahead=2 * workers):
        name = item.sample.name
        known, shot = _known_mious(mious, maps, item.sample), as_rgb(item.image, item.sample.bands)
        photo = PredictedImage(name, shot, item.labels, {}, known).smaller(SIDE)
        images.append(replace(photo, predictions={model: ids[name] for model, ids in maps.items()}))
    return images


def _known_mious(
    mious: Mapping[str, ImageMious], models: Iterable[str], sample: Sample
) -> list[float | None]:
    return [mious.get(model, {}).get(sample.name) for model in models]


def _predictors(run: Run) -> dict[str, Predictor]:
    settings, options = run.recipe.evaluation, inference_of(run.recipe)
    files = {model: run.model_file(model, settings.checkpoint) for model in run.compared_models}
    return {
        model: Predictor(load_segmenter(file), options, batch=settings.batch) for model, file in files.items()
    }


def _image_mious(run: Run) -> dict[str, ImageMious]:
    """The mIoU of each image by each model, as far as they are known."""
    file = run.path / "report" / "image_scores.csv"
    return read_image_scores(file) if file.exists() else {}


def fixed_samples(samples: Sequence[Sample]) -> Sequence[Sample]:
    """A few images, spread evenly over the list."""
    return samples[:: max(1, len(samples) // FIXED)][:FIXED]


def worst_samples(samples: Sequence[Sample], mious: ImageMious) -> list[Sample]:
    """The images with the lowest mIoU, the worst first; those without any are left out."""
    measured = [sample for sample in samples if mious.get(sample.name) is not None]
    return sorted(measured, key=lambda sample: (mious[sample.name], sample.name))[:WORST]
