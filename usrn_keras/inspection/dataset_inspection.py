"""Read a whole data set and collect findings, class pixels and image sizes (`usrn data check`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from usrn_keras.data import Dataset, Sample, load_dataset
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.catalog import layout_help
from usrn_keras.data.dataset import PARTS, ErrorList
from usrn_keras.inspection.across_files import find_across
from usrn_keras.inspection.data_findings import ERRORS, LAYOUT, LIST_NOTE, NOTES, DataFinding
from usrn_keras.inspection.folder_account import account_for_files
from usrn_keras.inspection.reading import Reading, read_entry
from usrn_keras.metrics.scores import rare_classes
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe

LIST_ADVICE = "The masks of a list are not used: set data.masks and data.mask_pattern, or correct the list."
WITH_MASKS = ("labelled", "val", "test")


class SplitCensus:
    """Counts over the images and masks of one split.

    Args:
        readings: Readings of all images of the split.
        num_classes: Number of classes C.

    Attributes:
        images: Number of images in the list.
        masks: Number of masks whose pixels were counted.
        sizes: Height and width of the readable images, int64 of shape `(readable images, 2)`.
        pixels: Mask pixels of each class, int64 of shape `(C,)`.
        ignored: Number of mask pixels without a class.
        images_with: Number of masks that show each class, int64 of shape `(C,)`.
    """

    def __init__(self, readings: Sequence[Reading], num_classes: int):
        counted = [reading.pixels for reading in readings if reading.pixels is not None]
        counts = np.array(counted, np.int64).reshape(len(counted), num_classes + 1)
        self.images = len(readings)
        self.masks = len(counted)
        self.sizes = np.array([r.size for r in readings if r.size], np.int64).reshape(-1, 2)
        self.pixels = counts[:, :-1].sum(axis=0)
        self.ignored = int(counts[:, -1].sum())
        self.images_with = np.count_nonzero(counts[:, :-1], axis=0)

    @property
    def share(self) -> np.ndarray:
        """Share of each class in the pixels that have a class, float64 of shape `(C,)`; zeros without any."""
        return self.pixels / max(1, self.pixels.sum())

    def size_range(self) -> tuple[tuple[int, int], ...]:
        """Return smallest, median and largest image size by area as (height, width); empty without images."""
        if not len(self.sizes):
            return ()
        ordered = self.sizes[np.argsort(self.sizes.prod(axis=1), kind="stable")].tolist()
        return tuple(tuple(ordered[i]) for i in (0, (len(ordered) - 1) // 2, -1))

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Convert the counts to JSON values; sizes are width and height."""
        names = ("smallest", "median", "largest")
        sizes = {
            name: [width, height] for name, (height, width) in zip(names, self.size_range(), strict=False)
        }
        return {
            "images": self.images,
            "masks": self.masks,
            "sizes": sizes,
            "ignored_pixels": self.ignored,
            "pixels": dict(zip(classes, self.pixels.tolist(), strict=True)),
            "images_with": dict(zip(classes, self.images_with.tolist(), strict=True)),
        }


@dataclass(frozen=True, eq=False)
class Inspection:
    """Result of inspecting the data set of a recipe.

    Args:
        name: Name of the recipe.
        dataset: Usable part of the data set.
        findings: Errors first, in the order of `ERRORS` and `NOTES`.
        readings: One reading per image, in the order of the lists.
        seconds: Duration of the inspection in seconds.
    """

    name: str
    dataset: Dataset
    findings: tuple[DataFinding, ...]
    readings: tuple[Reading, ...]
    seconds: float

    @property
    def errors(self) -> tuple[DataFinding, ...]:
        """Findings that must be fixed."""
        return tuple(finding for finding in self.findings if finding.is_error)

    @property
    def notes(self) -> tuple[DataFinding, ...]:
        """Findings that are not errors."""
        return tuple(finding for finding in self.findings if not finding.is_error)

    @property
    def fingerprint(self) -> str | None:
        """Hash of the lists; None if they contain errors, because fixing them changes it."""
        whole = all(finding.kind != LAYOUT for finding in self.findings)
        return self.dataset.fingerprint() if whole else None

    def census(self, split: str) -> SplitCensus:
        """Count the images and masks of a split."""
        own = [reading for reading in self.readings if reading.split == split]
        return SplitCensus(own, self.dataset.num_classes)

    @property
    def rare(self) -> np.ndarray:
        """Classes that are rare in the labelled masks, bool of shape `(C,)`."""
        return rare_classes(self.census("labelled").pixels)

    @property
    def class_balance_rate(self) -> float | None:
        """Class balance rate of the labelled pixels (USRN, Eq. 9); None without labelled pixels."""
        from usrn_keras.subclasses.class_balance import class_balance_rate

        pixels = self.census("labelled").pixels
        return class_balance_rate(pixels) if pixels.any() else None

    def to_json(self) -> dict[str, Any]:
        """Convert the inspection to JSON values."""
        dataset = self.dataset
        return {
            "recipe": self.name,
            "dataset": dataset.name,
            "fingerprint": self.fingerprint,
            "faults": len(self.errors),
            "notes": len(self.notes),
            "findings": [finding.to_json() for finding in self.findings],
            "classes": [
                {"id": i, "name": name, "colour": dataset.palette[i].tolist(), "rare": bool(self.rare[i])}
                for i, name in enumerate(dataset.classes)
            ],
            "class_balance_rate": self.class_balance_rate,
            "splits": {split: self.census(split).to_json(dataset.classes) for split in PARTS},
            "seconds": round(self.seconds, 3),
        }


def inspect_data(recipe: Recipe, *, progress: Progress = SILENT) -> Inspection:
    """Read every image and mask used by training and evaluation, and find all errors.

    Files are read by `data.workers` threads. Each thread has one image in memory; only size, hash and class
    pixels of an image are kept. A file that cannot be read is reported as a finding. The masks of unlabelled
    images are not read, as in training.

    Args:
        recipe: Recipe that defines the data set and the views.
        progress: Progress display, which counts the images.

    Example:

    >>> inspection = inspect_data(load_recipe("quickstart"))   # doctest: +SKIP
    >>> [finding.message for finding in inspection.errors]     # doctest: +SKIP
    []
    """
    started = time.monotonic()
    layout = ErrorList()
    dataset = load_dataset(recipe.data, errors=layout)
    if message := _nothing_unlabelled(recipe, dataset):
        layout.add(message)
    readings = list(_read_all(dataset, recipe.data.workers, progress))
    findings = [
        *(DataFinding(LAYOUT, line, layout_help(recipe.data)) for line in layout.lines),
        *(finding for reading in readings for finding in reading.findings),
        *find_across(readings, dataset, recipe.views),
        *account_for_files(recipe.data, dataset),
        *(DataFinding(LIST_NOTE, line, LIST_ADVICE) for line in layout.notes),
    ]
    findings.sort(key=lambda finding: (*ERRORS, *NOTES).index(finding.kind))
    seconds = time.monotonic() - started
    return Inspection(recipe.name, dataset, tuple(findings), tuple(readings), seconds)


def _nothing_unlabelled(recipe: Recipe, dataset: Dataset) -> str:
    """Say that the method learns from unlabelled images, and there are none; otherwise empty."""
    if (
        not dataset.labelled
        or dataset.unlabelled
        or recipe.options is None
        or not recipe.options.reads_unlabelled
    ):
        return ""
    return (
        f"training.method = {recipe.training.method!r} learns from unlabelled images, but there are none: "
        "add images without masks, use a share of the masks (`usrn split`, --labelled 1/4 of `usrn init`), "
        "or train with training.method = 'supervised'"
    )


def _read_all(dataset: Dataset, workers: int, progress: Progress) -> Iterator[Reading]:
    entries = [(split, sample) for split in PARTS for sample in getattr(dataset, split)]

    def read(entry: tuple[str, Sample]) -> Reading:
        return read_entry(*entry, dataset)

    with progress.task("reading", total=len(entries)) as task:
        for reading in ordered_map(read, entries, workers=workers, ahead=4 * workers):
            task.advance()
            yield reading
