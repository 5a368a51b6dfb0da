"""A training stage: the method, its batches, the loop inside a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset, Sample
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.errors import DataError, RecipeError
from usrn_keras.methods import Method
from usrn_keras.networks import Branch
from usrn_keras.progress import Progress
from usrn_keras.pseudo_masks.pseudo_mask_files import SUBLABELS, pseudo_samples
from usrn_keras.ranks import Ranks
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.runs import Run
from usrn_keras.stages.backbone_features import feature_options
from usrn_keras.stages.build import Start, build_method
from usrn_keras.stages.devices import ONE_DEVICE, Devices
from usrn_keras.stages.diagnosis import DiagnosisCallback
from usrn_keras.stages.memory_advice import memory_watched
from usrn_keras.stages.stage_files import checkpoint_file, save_segmenter, training_products
from usrn_keras.stages.step_operations import operations_per_step
from usrn_keras.stages.validation import ValidationCallback
from usrn_keras.subclasses import SubclassMap, sublabel_file
from usrn_keras.subclasses.class_clusters import calibrated_temperature, centroid_classifier
from usrn_keras.training import Loop, load_checkpoint
from usrn_keras.training.loop import BatchSource

LEVELS = ("low", "high")


def train(run: Run, folder: str, dataset: Dataset, progress: Progress, devices: Devices = ONE_DEVICE) -> None:
    """Train the method of a stage from its checkpoint, if any, to the end, and write `model.keras`.

    Args:
        run: The run.
        folder: Folder of the stage.
        dataset: The data set.
        progress: Shows the progress.
        devices: Devices and processes to train on; only the first process writes to the run folder.
    """
    ranks, recipe, stage = devices.ranks, run.recipe, run.training_stages[folder]
    resumes = checkpoint_file(run, folder).exists()
    subclasses = _subclasses(run, folder)
    _validate_processes(recipe, ranks)
    pretrained = not resumes and not stage.start
    method = build_method(recipe, stage, dataset, subclasses, pretrained=pretrained)
    if stage.continues and not resumes:
        _continue_from(method, trained_method(run, stage.start, dataset))
    elif stage.start and not resumes:
        method.start_from(_start(run, stage.start, dataset, subclasses, progress))
    if resumes and recipe.views.source != "images":
        load_checkpoint(checkpoint_file(run, folder), method)  # the weights that make the features
    batches = build_batches(
        recipe,
        _with_sublabels(run, dataset) if subclasses is not None else dataset,
        pseudo=_pseudo_samples(run, stage, dataset),
        spec=method.inputs,
        parents=None if subclasses is None else subclasses.parents,
        part=ranks.part,
        **feature_options(run, dataset, method, progress),
    )
    if ranks.writes:
        log = run.log(folder).record
        callbacks = [ValidationCallback(run, folder, method.inference_network, dataset)]
        if method.makes_pseudo_labels:
            callbacks.append(DiagnosisCallback(run, folder, method, dataset, progress.log))
    else:
        log, callbacks = _nowhere, []
    loop = Loop(
        model=method,
        batches=batches,
        steps=stage.steps,
        begin=stage.begin,
        checkpoint=checkpoint_file(run, folder),
        checkpoint_seconds=recipe.training.checkpoint_seconds,
        log_every=recipe.training.log_every,
        record=log,
        rewind=lambda step: [callback.resume(step) for callback in callbacks],
        callbacks=callbacks,
        progress=progress,
        description=folder,
        devices=devices.count,
        ranks=ranks,
    )
    with memory_watched(recipe, folder, unlabelled=method.inputs.reads_unlabelled) as memory:
        loop.run()
    if not ranks.writes:
        return
    for file in (run.evaluation_file, run.stage(folder) / "scores.json"):  # of a model that was here before
        file.unlink(missing_ok=True)
    write_model(run, folder, method)
    run.complete(
        folder,
        training_products(run, folder),
        steps=stage.length,
        seconds=round(loop.seconds, 3),
        peak_memory=memory.peak(),
        devices=devices.count * ranks.world,
        step_flops=operations_per_step(method, recipe),
    )


def write_model(run: Run, folder: str, method: Method) -> Path:
    """Write `model.keras` of a training stage, and return its path.

    Args:
        run: The run.
        folder: Folder of the stage.
        method: The trained method.
    """
    path = run.model_folder(run.training_stages[folder].name) / "model.keras"
    save_segmenter(method.inference_network, path)
    return path


def _nowhere(numbers: dict[str, float]) -> None:
    """Records of a process that does not write."""


def trained_method(run: Run, model: str, dataset: Dataset) -> Method:
    """The method of a complete training stage, restored from its checkpoint.

    Args:
        run: The run.
        model: Name of the model.
        dataset: The data set.
    """
    folder = run.stage_of(model)
    stage, subclasses = run.training_stages[folder], _subclasses(run, folder)
    method = build_method(run.recipe, stage, dataset, subclasses, pretrained=False)
    load_checkpoint(checkpoint_file(run, folder), method)
    return method


def _continue_from(method: Method, earlier: Method) -> None:
    """Copy weights, statistics, states of dropout and the optimizer state of the method before it."""
    for ours, theirs in zip(method.networks, earlier.networks, strict=True):
        for name, branch in ours.branches.items():
            for variable, source in zip(branch.variables, theirs.branches[name].variables, strict=True):
                variable.assign(source.value)
    for variable, source in zip(method.optimizer.variables, earlier.optimizer.variables, strict=True):
        variable.assign(source.value)


def _pseudo_samples(run: Run, stage: Train, dataset: Dataset) -> tuple[Sample, ...]:
    """The unlabelled samples with the pseudo masks that a stage is trained on."""
    if not stage.labels:
        return ()
    folder = run.stage(run.folder_of(stage.labels))
    return pseudo_samples(folder, dataset.unlabelled, with_sub=(folder / SUBLABELS).exists())


def _subclasses(run: Run, folder: str) -> SubclassMap | None:
    """The subclasses, where they are complete before this stage."""
    clusters = run.cluster_stage
    if not clusters or run.stages.index(clusters) > run.stages.index(folder):
        return None
    return SubclassMap.load(run.stage(clusters))


def _with_sublabels(run: Run, dataset: Dataset) -> Dataset:
    """The data set with the sublabel map of each labelled image."""
    folder = run.stage(run.cluster_stage)
    labelled = tuple(replace(sample, sublabels=sublabel_file(folder, sample)) for sample in dataset.labelled)
    return replace(dataset, labelled=labelled)


def _validate_processes(recipe: Recipe, ranks: Ranks) -> None:
    """Raise a `RecipeError` where several processes would share the features of one backbone."""
    if recipe.views.source != "images" and ranks.world > 1:
        raise RecipeError(
            f"views.source = {recipe.views.source!r} trains in one process, received {ranks.world}",
            hint="Start one process, or set views.source = 'images'.",
        )


def _start(
    run: Run, model: str, dataset: Dataset, subclasses: SubclassMap | None, progress: Progress
) -> Start:
    """The trained network that a stage starts from."""
    method = trained_method(run, model, dataset)
    branch = method.inference_network

    def classifier() -> tuple[np.ndarray, np.ndarray]:
        batches = build_batches(
            run.recipe, _with_sublabels(run, dataset), spec=BatchSpec(), parents=subclasses.parents,
            **feature_options(run, dataset, method, progress),
        )  # fmt: skip
        features, sublabels = some_features(batches, partial(decoder_features, branch))
        temperature = calibrated_temperature(features, sublabels, subclasses.centers)
        return centroid_classifier(subclasses.centers, temperature)

    return Start(branch, classifier)


def decoder_features(branch: Branch, batch: dict[str, np.ndarray]) -> np.ndarray:
    """Decoder features of the labelled images of a batch, or of their features, in evaluation mode.

    Args:
        branch: Branch that computes them.
        batch: The batch.
    """
    if "labelled_low" in batch:
        return branch.decoder.predict_on_batch([np.float32(batch[f"labelled_{one}"]) for one in LEVELS])
    return branch.feature_model().predict_on_batch(batch["labelled"])


def some_features(
    batches: BatchSource,
    extract: Callable[[dict[str, np.ndarray]], np.ndarray],
    *,
    batches_read: int = 4,
    most_read: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """Features and sublabels of the labelled pixels of a few training batches, as the branch sees them.

    A few batches of masks that are points or strokes may show none: then more are read.

    Args:
        batches: Batches with `sublabels`, and what `extract` reads.
        extract: Function from a batch to features of the labelled images, `(batch, height / 4, width / 4,
            channels)`.
        batches_read: Number of batches that are enough, if they show any.
        most_read: Number of batches that are read before an error.

    Raises:
        DataError: No batch shows a labelled pixel.
    """
    features, sublabels = [], []
    for step in range(most_read):
        if step >= batches_read and any(map(len, sublabels)):
            break
        batch = batches.batch(step)
        at_centres = batch["sublabels"][:, 2::4, 2::4]
        labelled_pixels = at_centres >= 0
        features.append(np.asarray(extract(batch))[labelled_pixels])
        sublabels.append(at_centres[labelled_pixels])
    if not any(map(len, sublabels)):
        raise DataError(
            f"{most_read} batches of labelled images show no pixel with a class to measure features at",
            hint="Label more pixels, or raise views.crop_size.",
        )
    return np.concatenate(features).astype(np.float32), np.concatenate(sublabels)
