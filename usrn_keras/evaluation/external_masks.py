"""Scoring a folder of predicted masks, such as those of another tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset, Sample, read_mask
from usrn_keras.data.batches.whole_images import labels_of
from usrn_keras.data.faults import Faults
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.errors import DataError
from usrn_keras.evaluation.evaluate import ImageScore, Measured, samples_of
from usrn_keras.evaluation.matching import SHOWN, Matches, match_files
from usrn_keras.evaluation.predicted_mask import first, read_prediction
from usrn_keras.metrics import Provenance, Scores, confusion_matrix
from usrn_keras.metrics.boundary_counts import boundary_counts
from usrn_keras.progress import SILENT, Progress


class PredictedMasks:
    """A folder that holds a predicted mask for each image of a split.

    Masks are PNG files of class ids, grey of 1 to 16 bits or with a palette, or of the classes' colours
    in RGB. How they are named says `match_files`. Where no label is, anything may stand.

    Args:
        folder: Of the masks.
        dataset: Whose labels they are held against.
        split: `val` or `test`.
        log: Told how the files are named and which are left out.

    Raises:
        DataError: The split has no images, or no file of the folder can be assigned to one.

    Example:

    >>> PredictedMasks("others/val", dataset, "val").measure().scores.miou  # doctest: +SKIP
    0.42
    """

    def __init__(
        self,
        folder: Path | str,
        dataset: Dataset,
        split: str,
        *,
        log: Callable[[str], None] = lambda line: None,
    ):
        self.folder, self.dataset, self.split = Path(folder), dataset, split
        self.samples = samples_of(dataset, split, folder)
        self._matches = match_files(folder, self.samples)
        _tell(self._matches, self.folder, log)

    def ids(self, sample: Sample) -> np.ndarray:
        """`(height, width)` class ids of an image; where no label is, they may be anything."""
        return self._labels_and_ids(sample)[1]

    def measure(
        self, name: str = "predictions", *, workers: int = 2, progress: Progress = SILENT
    ) -> Measured:
        """Scores over all images of the split.

        Args:
            name: Heading of the scores.
            workers: Threads that read.
            progress: Counts images.

        Raises:
            DataError: Masks are missing, cannot be read, have another size than their label, or hold
                ids or colours of no class; all of them are named.
        """
        confusion, outlines, images = 0, 0, []
        faults = Faults()
        counts = ordered_map(self._count, self.samples, workers=workers, ahead=2 * workers)
        with progress.task(f"scoring {name}", total=len(self.samples)) as task:
            for sample, counted in zip(self.samples, counts, strict=True):
                task.advance()
                if isinstance(counted, str):
                    faults.add(counted)
                    continue
                confusion, outlines = confusion + counted[0], outlines + counted[1]
                images.append(ImageScore.of(sample, self.dataset.classes, counted[0]))
        self._refuse(faults)
        scores = Scores(
            name, self.dataset.classes, confusion, boundary=outlines, provenance=self._provenance()
        )
        return Measured(scores, tuple(images))

    def _count(self, sample: Sample) -> tuple[np.ndarray, np.ndarray] | str:
        """Counts of confusions and boundaries in one image, or what is wrong with its mask."""
        if sample.name not in self._matches.files:
            return f"{sample.name}: there is no {sample.name}{self._matches.suffix}.png"
        try:
            labels, ids = self._labels_and_ids(sample)
        except DataError as error:
            return error.message
        classes = self.dataset.num_classes
        return confusion_matrix(labels, ids, classes), boundary_counts(labels, ids, classes)

    def _labels_and_ids(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        labels = labels_of(read_mask(sample.mask, self.dataset), self.dataset)
        return labels, read_prediction(self._matches.files[sample.name], labels, self.dataset)

    def _refuse(self, faults: Faults) -> None:
        images = f"the {len(self.samples)} {self.split} images of {self.dataset.name}"
        faults.raise_if_any(
            f"{self.folder} does not hold a good mask for each of {images}",
            hint=f"A mask holds class ids, 0 to {self.dataset.num_classes - 1} in the order of data.classes, "
            "or the classes' colours, in the size of the label.",
        )

    def _provenance(self) -> Provenance:
        dataset = self.dataset
        return Provenance(dataset.name, self.split, len(self.samples), dataset.fingerprint(), "masks", "")


def _tell(matches: Matches, folder: Path, log: Callable[[str], None]) -> None:
    """What was assumed, and what is left out."""
    if matches.suffix:
        log(f"{folder}: masks are named NAME{matches.suffix}.png")
    if matches.extra:
        named = first((str(path.relative_to(folder)) for path in matches.extra), SHOWN)
        log(f"{folder}: {len(matches.extra)} more PNG files belong to no image and are left out: {named}")
