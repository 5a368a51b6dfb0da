"""What `usrn fit` would take, without training: nothing is written into the run folder."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.budget.budget import Budget, DataFacts, Extrapolation, MeasuredStep, make_budget
from usrn_keras.budget.step_sizes import StepSizes
from usrn_keras.data import Dataset, load_dataset, read_mask, sample_size
from usrn_keras.data.dataset import PARTS
from usrn_keras.data.formats import camvid, cityscapes, voc
from usrn_keras.errors import DataError, OutOfMemoryError, USRNError
from usrn_keras.memory_errors import mentions_memory
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.bands import RGB
from usrn_keras.runs import open_run
from usrn_keras.stages.memory_advice import step_counts, step_sizes, training_stages
from usrn_keras.stages.preflight import validate_counts
from usrn_keras.subclasses import SubclassMap, subclass_counts
from usrn_keras.subclasses.feature_grid import class_pixels
from usrn_keras.worker import Worker, WorkerError

TRIAL = "usrn_keras.stages.step_trial:try_steps"  # in a child process, which may run out of memory
TRIAL_SECONDS = 600  # then the answer is what was measured by then
LAYOUT_CLASSES = {"camvid": len(camvid.COLOURS), "voc": len(voc.CLASSES), "cityscapes": len(cityscapes.TABLE)}
ASSUMED_CLASSES = 21
ASSUMED_PER_CLASS = 8  # 177 of 21 classes and 124 of 19 in the official configurations
MASK_PIXELS = 400 * 2**20  # read to count subclasses: some seconds
KEPT_IMAGES = 512 * 2**20  # bytes of decoded images that `Batches` keeps at most


def dry_run(recipe: Recipe, run_dir: Path | str) -> Budget:
    """Measure what training a recipe takes on this machine, with made-up images in a child process.

    A missing data set is no error: the recipe is enough to measure a step, and the notes of the result say
    what is assumed. If compiling takes long, one size or none is measured.

    Args:
        recipe: Recipe to measure.
        run_dir: Folder of the run; its subclasses are used if they are complete.

    Raises:
        USRNError: The network cannot be built.

    Example:

    >>> dry_run(load_recipe("quickstart"), "runs/quickstart").fits  # doctest: +SKIP
    True
    """
    facts, counts, kept_images = look_at_data(recipe, Path(run_dir))
    network, steps, failed = _try_steps(recipe, counts)
    device = network["device"]
    if device["gpu"]:
        kept_images = 0  # they are in the memory of the machine
    found = Extrapolation(steps, failed, device["room"], network.pop("trainable"), kept_images)
    planned = {stage.title: stage.length for stage in training_stages(recipe)}
    return make_budget(
        facts, network, found, step_sizes(recipe), steps=planned, step_keys=step_counts(recipe)
    )


def _try_steps(
    recipe: Recipe, counts: np.ndarray
) -> tuple[dict[str, Any], list[MeasuredStep], StepSizes | None]:
    """What the child process reports of the network, its measured steps, and the sizes that did not fit."""
    messages: list[dict[str, Any]] = []
    values = recipe.model_dump(mode="json")
    order = {"recipe": values, "name": recipe.name, "subclasses": counts.tolist()}
    environment = {"KERAS_BACKEND": keras.backend.backend()}
    late = out_of_memory = False
    try:
        with (
            tempfile.TemporaryDirectory() as folder,  # not of the child process, which may be killed
            Worker(TRIAL, order | {"folder": folder}, environment, messages.append) as worker,
        ):
            out_of_memory = bool(worker.result(TRIAL_SECONDS)["out_of_memory"])
    except TimeoutError:
        late = True
    except WorkerError as error:
        if error.code != -signal.SIGKILL and not any(map(mentions_memory, error.lines)):
            raise
        out_of_memory = True  # Linux, or an allocator, ended the process
    reported = {kind: [one[kind] for one in messages if kind in one] for kind in ("network", "try", "step")}
    if not reported["network"] and late:
        raise USRNError(
            f"the network was not built within {TRIAL_SECONDS} s",
            hint="Run the same command again when the machine is less busy.",
        )
    if not reported["network"]:
        raise OutOfMemoryError(
            "memory ran out while the network was built",
            hint="Free memory, or choose a smaller network.backbone, then run the same command again.",
        )
    steps = [MeasuredStep(**one | {"sizes": StepSizes(**one["sizes"])}) for one in reported["step"]]
    failed = StepSizes(**reported["try"][-1]) if out_of_memory and reported["try"] else None
    return reported["network"][0], steps, failed


def look_at_data(recipe: Recipe, run_dir: Path) -> tuple[DataFacts, np.ndarray, int]:
    """Find out what is known of the data before training.

    Args:
        recipe: Recipe that names the data.
        run_dir: Folder of the run; its subclasses are used if they are complete.

    Returns:
        Facts for the budget; the number of subclasses of each class, `(classes,)` int; and the bytes of the
        decoded images that training keeps in memory.

    Raises:
        RecipeError: `subclasses.counts` are not those of the classes.
    """
    notes: list[str] = []
    try:
        dataset = load_dataset(recipe.data)
        validate_counts(recipe.subclasses, dataset)
        classes, source = len(dataset.classes), "of the data set"
    except DataError as error:
        dataset, (classes, source) = None, _classes_of(recipe)
        notes += [f"the data set cannot be read, training would stop here: {error.message}", *error.errors]
    counts, counts_from = _subclasses_of(recipe, run_dir, dataset, classes, notes)
    images = {part: len(getattr(dataset, part)) for part in PARTS} if dataset else {}
    facts = DataFacts(recipe.name, images, classes, source, int(counts.sum()), counts_from, tuple(notes))
    pictures = [*dataset.labelled, *dataset.unlabelled] if dataset else []
    if not pictures:
        return facts, counts, KEPT_IMAGES
    height, width = sample_size(pictures[0])
    channels = (pictures[0].bands or RGB).count
    return facts, counts, min(KEPT_IMAGES, len(pictures) * height * width * channels)


def _classes_of(recipe: Recipe) -> tuple[int, str]:
    """Number of classes by the recipe alone, and its source."""
    if recipe.data.classes:
        return len(recipe.data.classes), "data.classes of the recipe"
    if recipe.subclasses.counts:
        return len(recipe.subclasses.counts), "as many as there are subclasses.counts"
    if recipe.data.dataset in LAYOUT_CLASSES:
        return LAYOUT_CLASSES[recipe.data.dataset], f"as {recipe.data.dataset} has"
    return ASSUMED_CLASSES, "assumed"


def _subclasses_of(
    recipe: Recipe, run_dir: Path, dataset: Dataset | None, classes: int, notes: list[str]
) -> tuple[np.ndarray, str]:
    """Numbers of subclasses from the run folder, the recipe or the masks, or assumed; and their source."""
    settings = recipe.subclasses
    if (run_dir / "dataset.json").exists() and (run := open_run(run_dir)).subclasses_are_complete:
        subclasses = SubclassMap.load(run.stage(run.cluster_stage))
        if len(subclasses.classes) == classes:
            return subclasses.counts, f"of {run_dir}"
    if len(settings.counts) == classes:
        return np.array(settings.counts), "subclasses.counts of the recipe"
    try:
        samples = dataset.labelled if dataset else ()
        if not samples:
            raise ValueError("there are no labelled images")
        height, width = sample_size(samples[0])
        chosen = samples[:: -(-len(samples) // max(1, MASK_PIXELS // (height * width)))]
        pixels = class_pixels([read_mask(sample.mask, dataset) for sample in chosen], classes)
        counts = subclass_counts(
            pixels, size_factor=settings.size_factor, max_subclasses=settings.max_subclasses
        )
    except (DataError, ValueError) as error:
        notes.append(f"no subclasses from the masks: {str(error).splitlines()[0]}")
        return np.full(classes, ASSUMED_PER_CLASS), f"assumed: {ASSUMED_PER_CLASS} for each class"
    which = "the masks" if len(chosen) == len(samples) else f"{len(chosen)} of {len(samples)} masks"
    return counts, f"counted in {which}"
