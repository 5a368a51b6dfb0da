"""Reads a whole data set and collects what there is to say about it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from usrn_keras.data import Dataset, Sample, load_dataset
from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.load import layout_help
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.data.sample import PARTS
from usrn_keras.inspection.across import find_across
from usrn_keras.inspection.findings import FAULTS, LAYOUT, NOTES, Finding
from usrn_keras.inspection.inspection import Inspection
from usrn_keras.inspection.orphans import masks_without_image
from usrn_keras.inspection.reading import Reading, read_entry
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe


def inspect_data(recipe: Recipe, *, progress: Progress = SILENT) -> Inspection:
    """Read every image and mask that training and evaluation of a recipe would, and find every fault.

    `data.workers` threads read; each keeps one image at a time, and of each image its size, a hash and
    the pixels of each class stay. A file that cannot be read is a finding. The masks of unlabelled images
    are not read, since training does not.

    Args:
        recipe: Names the data set; its views say what is small.
        progress: Counts images.

    Example:

    >>> inspection = inspect_data(load_recipe("quickstart"))   # doctest: +SKIP
    >>> [finding.message for finding in inspection.faults]     # doctest: +SKIP
    []
    """
    started = time.monotonic()
    layout = Faults()
    dataset = load_dataset(recipe.data, faults=layout)
    readings = list(_read_all(dataset, recipe.data.workers, progress))
    findings = [
        *(Finding(LAYOUT, line, layout_help(recipe.data)) for line in layout.lines),
        *(finding for reading in readings for finding in reading.findings),
        *find_across(readings, dataset, recipe.views),
        *masks_without_image(recipe.data),
    ]
    findings.sort(key=lambda finding: (*FAULTS, *NOTES).index(finding.kind))
    seconds = time.monotonic() - started
    return Inspection(recipe.name, dataset, tuple(findings), tuple(readings), seconds)


def _read_all(dataset: Dataset, workers: int, progress: Progress) -> Iterator[Reading]:
    entries = [(split, sample) for split in PARTS for sample in getattr(dataset, split)]

    def read(entry: tuple[str, Sample]) -> Reading:
        return read_entry(*entry, dataset)

    with progress.task("reading", total=len(entries)) as task:
        for reading in ordered_map(read, entries, workers=workers, ahead=4 * workers):
            task.advance()
            yield reading
