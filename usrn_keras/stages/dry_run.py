"""What `usrn fit` would take, without training: nothing is written into the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from usrn_keras.budget import Budget, Facts, make_budget, process_without, this_device
from usrn_keras.data import Dataset, Sample, image_size, load_dataset, read_mask
from usrn_keras.data.layouts import camvid, cityscapes, voc
from usrn_keras.data.sample import PARTS
from usrn_keras.errors import DataError
from usrn_keras.methods import USRN, Supervised
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.schema import Data
from usrn_keras.runs import SUBCLASSES, open_run
from usrn_keras.stages.beforehand import refuse_other_counts
from usrn_keras.stages.memory import step_counts, step_sizes
from usrn_keras.stages.models import baseline_of, supervised_model, usrn_model
from usrn_keras.subclasses import SubclassMap, subclass_counts
from usrn_keras.subclasses.survey import class_pixels

LAYOUT_CLASSES = {"camvid": len(camvid.COLOURS), "voc": len(voc.CLASSES), "cityscapes": len(cityscapes.TABLE)}
ASSUMED_CLASSES = 21
ASSUMED_PER_CLASS = 8  # 177 of 21 classes and 124 of 19 in the official configurations
MASK_PIXELS = 400 * 2**20  # read to count subclasses: some seconds
KEPT_IMAGES = 512 * 2**20  # bytes of decoded images that `Batches` keeps at the most


def dry_run(recipe: Recipe, run_dir: Path | str) -> Budget:
    """What training a recipe takes.

    A data set that is missing is no error: what the recipe tells is enough for a prediction, and what is
    assumed is said in its notes.

    Args:
        recipe: What would be done.
        run_dir: Folder of the run; its subclasses are used if they are complete.

    Raises:
        USRNError: The network cannot be built.

    Example:

    >>> dry_run(Recipe.load("quickstart"), "runs/quickstart").fits  # doctest: +SKIP
    True
    """
    found = _look_at_data(recipe, Path(run_dir))
    models, process = _models(recipe, found)
    facts = Facts(
        recipe.name, found.images, len(found.dataset.classes), found.classes_from, int(found.counts.sum()),
        found.counts_from, tuple(found.notes),
    )  # fmt: skip
    return make_budget(
        models, facts, this_device(), step_sizes(recipe), steps=step_counts(recipe),
        process=process, images=_image_bytes(found.dataset),
    )  # fmt: skip


def _models(recipe: Recipe, found: _Found) -> tuple[dict[str, Supervised | USRN], int | None]:
    """What the recipe trains, and the memory of this process without it."""
    if recipe.training.method == "supervised":
        model = supervised_model(recipe, found.dataset, pretrained=False)
        return {"Baseline": model}, process_without(model)
    model = usrn_model(recipe, found.dataset, _made_up(found), pretrained=False)
    process = process_without(model)
    return {"Baseline": baseline_of(model, recipe), "USRN": model}, process


@dataclass
class _Found:
    """What is known of the data; `counts` `(classes,)` subclasses of each class."""

    dataset: Dataset
    classes_from: str
    images: dict[str, int]
    notes: list[str]
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    counts_from: str = ""


def _look_at_data(recipe: Recipe, run_dir: Path) -> _Found:
    try:
        dataset = load_dataset(recipe.data)
        images = {part: len(getattr(dataset, part)) for part in PARTS}
        found = _Found(dataset, "of the data set", images, [])
    except DataError as error:
        count, source = _classes_of(recipe)
        dataset = Dataset(
            recipe.data.dataset, tuple(map(str, range(count))), np.zeros((count, 3)), (), (), ()
        )
        notes = [f"the data set cannot be read, training would stop here: {error.message}", *error.faults]
        found = _Found(dataset, source, {}, notes)
    _count_subclasses(found, recipe, run_dir)
    return found


def _classes_of(recipe: Recipe) -> tuple[int, str]:
    """How many classes there are, from the recipe alone."""
    data: Data = recipe.data
    if data.classes:
        return len(data.classes), "data.classes of the recipe"
    if recipe.subclasses.counts:
        return len(recipe.subclasses.counts), "as many as there are subclasses.counts"
    if data.dataset in LAYOUT_CLASSES:
        return LAYOUT_CLASSES[data.dataset], f"as {data.dataset} has"
    return ASSUMED_CLASSES, "assumed"


def _count_subclasses(found: _Found, recipe: Recipe, run_dir: Path) -> None:
    """K from the run folder, the recipe, the masks, or assumed, whichever is known first."""
    settings, classes = recipe.subclasses, len(found.dataset.classes)
    if found.images:  # or the number of classes is a guess
        refuse_other_counts(settings, found.dataset)
    if (run_dir / "dataset.json").exists() and (run := open_run(run_dir)).is_complete(SUBCLASSES):
        subclasses = SubclassMap.load(run.stage(SUBCLASSES))
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
        found.notes.append(f"the masks tell no subclasses: {str(error).splitlines()[0]}")
        found.counts = np.full(classes, ASSUMED_PER_CLASS)
        found.counts_from = f"assumed: {ASSUMED_PER_CLASS} for each class"


def _count_pixels(dataset: Dataset) -> tuple[np.ndarray, str]:
    """`(classes,)` pixels of each class in the masks, or in as many of them as are read in no time."""
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


def _made_up(found: _Found) -> SubclassMap:
    """Subclasses of which only the number of each class counts."""
    classes, total = len(found.counts), int(found.counts.sum())
    nothing = np.zeros(classes)
    return SubclassMap(
        found.dataset.classes, found.counts, sizes=np.zeros(total), centers=np.zeros((total, 1)),
        pixels=nothing, feature_pixels=nothing, inertia=nothing, prices=np.zeros(total),
    )  # fmt: skip


def _image_bytes(dataset: Dataset) -> int:
    """Bytes of the decoded images that are kept, at the most."""
    pictures = [*dataset.labelled, *dataset.unlabelled]
    if not pictures:
        return KEPT_IMAGES
    height, width = image_size(pictures[0].image)
    return min(KEPT_IMAGES, len(pictures) * height * width * 3)
