"""What `usrn fit` would take, without training: nothing is written into the run folder."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.budget.budget import Budget, DataFacts, make_budget
from usrn_keras.budget.extrapolation import Extrapolation, MeasuredStep
from usrn_keras.budget.out_of_memory import memory_words
from usrn_keras.budget.step_sizes import StepSizes
from usrn_keras.data import Dataset, Sample, image_size, load_dataset, read_mask
from usrn_keras.data.dataset import PARTS
from usrn_keras.data.formats import camvid, cityscapes, voc
from usrn_keras.errors import DataError, OutOfMemoryError
from usrn_keras.methods import stages_of
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.schema import DataSection
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.runs import open_run
from usrn_keras.stages.memory_advice import step_counts, step_sizes
from usrn_keras.stages.preflight import validate_counts
from usrn_keras.subclasses import SubclassMap, subclass_counts
from usrn_keras.subclasses.feature_grid import class_pixels
from usrn_keras.worker import Worker, WorkerError

TRIAL = "usrn_keras.stages.step_trial:try_steps"  # in a child process, which may run out of memory
LAYOUT_CLASSES = {"camvid": len(camvid.COLOURS), "voc": len(voc.CLASSES), "cityscapes": len(cityscapes.TABLE)}
ASSUMED_CLASSES = 21
ASSUMED_PER_CLASS = 8  # 177 of 21 classes and 124 of 19 in the official configurations
MASK_PIXELS = 400 * 2**20  # read to count subclasses: some seconds
KEPT_IMAGES = 512 * 2**20  # bytes of decoded images that `Batches` keeps at most


def dry_run(recipe: Recipe, run_dir: Path | str) -> Budget:
    """Measure what training a recipe takes on this machine, with made-up images in a child process.

    A missing data set is no error: the recipe is enough to measure a step, and the notes of the result say
    what is assumed.

    Args:
        recipe: Recipe to measure.
        run_dir: Folder of the run; its subclasses are used if they are complete.

    Raises:
        USRNError: The network cannot be built.

    Example:

    >>> dry_run(load_recipe("quickstart"), "runs/quickstart").fits  # doctest: +SKIP
    True
    """
    data = _look_at_data(recipe, Path(run_dir))
    facts = DataFacts(
        recipe.name, data.images, len(data.dataset.classes), data.classes_from, int(data.counts.sum()),
        data.counts_from, tuple(data.notes),
    )  # fmt: skip
    network, steps, failed = _try_steps(recipe, data)
    found = Extrapolation(
        steps,
        failed,
        network["device"]["room"],
        network.pop("trainable"),
        # The process holds them, which counts only where training runs on the CPU.
        kept_images=0 if network["device"]["gpu"] else _image_bytes(data.dataset),
    )
    planned = {stage.title: stage for stage in stages_of(recipe) if isinstance(stage, Train)}
    return make_budget(
        facts, network, found, step_sizes(recipe),
        steps={stage: planned[stage].steps for stage in network["flops"]},
        step_keys=step_counts(recipe),
    )  # fmt: skip


def _try_steps(
    recipe: Recipe, data: _FoundData
) -> tuple[dict[str, Any], list[MeasuredStep], StepSizes | None]:
    """What the child process reports of the network, its measured steps, and the sizes that did not fit."""
    import keras  # its backend is that of the child

    messages: list[dict[str, Any]] = []
    order = {
        "recipe": recipe.model_dump(mode="json"),
        "name": recipe.name,
        "classes": list(data.dataset.classes),
        "subclasses": data.counts.tolist(),
    }
    environment = {"KERAS_BACKEND": keras.backend.backend()}
    try:
        with Worker(TRIAL, order, environment, messages.append) as worker:
            out_of_memory = bool(worker.result()["out_of_memory"])
    except WorkerError as error:
        if error.code != -signal.SIGKILL and not any(map(memory_words, error.lines)):
            raise
        out_of_memory = True  # Linux, or an allocator, ended the process
    reported = {kind: [one[kind] for one in messages if kind in one] for kind in ("network", "try", "step")}
    if not reported["network"]:
        raise OutOfMemoryError(
            "memory ran out while the network was built",
            hint="Free memory, or choose a smaller network.backbone, then run the same command again.",
        )
    steps = [MeasuredStep(**one | {"sizes": StepSizes(**one["sizes"])}) for one in reported["step"]]
    failed = StepSizes(**reported["try"][-1]) if out_of_memory and reported["try"] else None
    return reported["network"][0], steps, failed


@dataclass
class _FoundData:
    """What is known of the data; `counts`, `(classes,)` int, is the number of subclasses of each class."""

    dataset: Dataset
    classes_from: str
    images: dict[str, int]
    notes: list[str]
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    counts_from: str = ""


def _look_at_data(recipe: Recipe, run_dir: Path) -> _FoundData:
    try:
        dataset = load_dataset(recipe.data)
        images = {part: len(getattr(dataset, part)) for part in PARTS}
        found = _FoundData(dataset, "of the data set", images, [])
    except DataError as error:
        count, source = _classes_of(recipe)
        dataset = Dataset(
            recipe.data.dataset, tuple(map(str, range(count))), np.zeros((count, 3)), (), (), ()
        )
        notes = [f"the data set cannot be read, training would stop here: {error.message}", *error.errors]
        found = _FoundData(dataset, source, {}, notes)
    _count_subclasses(found, recipe, run_dir)
    return found


def _classes_of(recipe: Recipe) -> tuple[int, str]:
    """Number of classes by the recipe alone, and its source."""
    data: DataSection = recipe.data
    if data.classes:
        return len(data.classes), "data.classes of the recipe"
    if recipe.subclasses.counts:
        return len(recipe.subclasses.counts), "as many as there are subclasses.counts"
    if data.dataset in LAYOUT_CLASSES:
        return LAYOUT_CLASSES[data.dataset], f"as {data.dataset} has"
    return ASSUMED_CLASSES, "assumed"


def _count_subclasses(found: _FoundData, recipe: Recipe, run_dir: Path) -> None:
    """K from the run folder, the recipe, the masks, or assumed, whichever is known first."""
    settings, classes = recipe.subclasses, len(found.dataset.classes)
    if found.images:  # or the number of classes is a guess
        validate_counts(settings, found.dataset)
    if (run_dir / "dataset.json").exists() and (run := open_run(run_dir)).subclasses_are_complete:
        subclasses = SubclassMap.load(run.stage(run.cluster_stage))
        if len(subclasses.classes) == classes:
            found.counts, found.counts_from = subclasses.counts, f"of {run_dir}"
            return
    if len(settings.counts) == classes:
        found.counts, found.counts_from = np.array(settings.counts), "subclasses.counts of the recipe"
        return
    try:
        pixels, found.counts_from = _count_pixels(found.dataset)
        found.counts = subclass_counts(
            pixels, size_factor=settings.size_factor, max_subclasses=settings.max_subclasses
        )
    except (DataError, ValueError) as error:
        found.notes.append(f"no subclasses from the masks: {str(error).splitlines()[0]}")
        found.counts = np.full(classes, ASSUMED_PER_CLASS)
        found.counts_from = f"assumed: {ASSUMED_PER_CLASS} for each class"


def _count_pixels(dataset: Dataset) -> tuple[np.ndarray, str]:
    """`(classes,)` pixels of each class in the masks, or in as many of them as can be read in seconds."""
    samples = dataset.labelled
    if not samples:
        raise ValueError("there are no labelled images")
    height, width = image_size(samples[0].image)
    chosen = _evenly(samples, max(1, MASK_PIXELS // (height * width)))
    pixels = class_pixels([read_mask(sample.mask, dataset) for sample in chosen], len(dataset.classes))
    which = "the masks" if len(chosen) == len(samples) else f"{len(chosen)} of {len(samples)} masks"
    return pixels, f"counted in {which}"


def _evenly(samples: Sequence[Sample], most: int) -> Sequence[Sample]:
    return samples[:: -(-len(samples) // most)]


def _image_bytes(dataset: Dataset) -> int:
    """Bytes of the decoded images that training keeps in memory."""
    pictures = [*dataset.labelled, *dataset.unlabelled]
    if not pictures:
        return KEPT_IMAGES
    height, width = image_size(pictures[0].image)
    return min(KEPT_IMAGES, len(pictures) * height * width * 3)
