"""Scores of a folder of predicted masks, such as those of another tool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset, Sample, read_mask
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.batches.whole_images import mask_to_labels
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.data.mask_values import pack, rgb_text
from usrn_keras.errors import DataError
from usrn_keras.evaluation.evaluate import EvaluationResult, ImageScore, samples_of
from usrn_keras.evaluation.mask_matching import SHOWN, Matches, match_files
from usrn_keras.metrics import Provenance, Scores, confusion_matrix
from usrn_keras.metrics.boundary_counts import boundary_counts
from usrn_keras.progress import SILENT, Progress

NAMED = 5  # ids and colours in a message


class PredictedMasks:
    """A folder that contains a predicted mask for each image of a split.

    Masks are PNG files of class ids, grey of 1 to 16 bits or with a palette, or of the colours of the classes
    in RGB. `match_files` describes their names. Pixels without a label may have any value.

    Args:
        folder: Folder of the masks.
        dataset: Data set whose labels the masks are compared with.
        split: Name of the split: `val` or `test`.
        log: Receives one line on the names of the files, and one on files that are left out.

    Raises:
        DataError: The split has no images, or no file of the folder belongs to one.

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
        _report_matches(self._matches, self.folder, log)

    def ids(self, sample: Sample) -> np.ndarray:
        """Class ids `(height, width)` of an image; pixels without a label may have any id."""
        return self._labels_and_ids(sample)[1]

    def measure(
        self, name: str = "predictions", *, workers: int = 2, progress: Progress = SILENT
    ) -> EvaluationResult:
        """Scores over all images of the split.

        Args:
            name: Name of the scores.
            workers: Number of threads that read masks.
            progress: Progress bar, counts images.

        Raises:
            DataError: Masks are missing, cannot be read, have another size than their label, or contain
                ids or colours of no class; the error lists all of them.
        """
        confusion, outlines, images = 0, 0, []
        errors = ErrorList()
        counts = ordered_map(self._count, self.samples, workers=workers, ahead=2 * workers)
        with progress.task(f"scoring {name}", total=len(self.samples)) as task:
            for sample, counted in zip(self.samples, counts, strict=True):
                task.advance()
                if isinstance(counted, str):
                    errors.add(counted)
                    continue
                confusion, outlines = confusion + counted[0], outlines + counted[1]
                images.append(ImageScore.of(sample, self.dataset.classes, counted[0]))
        self._raise_if_any(errors)
        scores = Scores(
            name, self.dataset.classes, confusion, boundary=outlines, provenance=self._provenance()
        )
        return EvaluationResult(scores, tuple(images))

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
        labels = mask_to_labels(read_mask(sample.mask, self.dataset), self.dataset)
        return labels, read_prediction(self._matches.files[sample.name], labels, self.dataset)

    def _raise_if_any(self, errors: ErrorList) -> None:
        images = f"the {len(self.samples)} {self.split} images of {self.dataset.name}"
        errors.raise_if_any(
            f"{self.folder} does not contain a valid mask for each of {images}",
            hint=f"A mask contains class ids, 0 to {self.dataset.num_classes - 1} in the order of "
            "data.classes, or the colours of the classes, and has the size of the label.",
        )

    def _provenance(self) -> Provenance:
        dataset = self.dataset
        return Provenance(dataset.name, self.split, len(self.samples), dataset.fingerprint(), "masks", "")


def _report_matches(matches: Matches, folder: Path, log: Callable[[str], None]) -> None:
    """Log the suffix of the names and the files that are left out."""
    if matches.suffix:
        log(f"{folder}: masks are named NAME{matches.suffix}.png")
    if matches.extra:
        named = first((str(path.relative_to(folder)) for path in matches.extra), SHOWN)
        log(f"{folder}: {len(matches.extra)} more PNG files belong to no image and are left out: {named}")


def read_prediction(path: Path, labels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Read the class ids of a predicted mask, `(height, width)` integers.

    Pixels without a label may have any id.

    Args:
        path: PNG file of class ids, grey of 1 to 16 bits or palette indices; of the values of the data set's
            own masks, such as 0 and 255, unless one of these is the id of another class; or of the colours of
            the classes, RGB.
        labels: `(height, width)` class ids, negative where there is no label.
        dataset: Data set that defines the classes and their colours.

    Raises:
        DataError: The file cannot be read, has another size, or contains ids or colours of no class.
    """
    raw = read_raw(path)
    if raw.values.shape[:2] != labels.shape:
        (height, width), (wanted_height, wanted_width) = raw.values.shape[:2], labels.shape
        raise DataError(
            f"{path} is {width}x{height} pixels, the label of its image is {wanted_width}x{wanted_height}"
        )
    if raw.values.ndim == 3:
        return _classes_of(path, raw.values, labels >= 0, dataset)
    ids = _ids_of(raw.values, dataset)
    wrong = (labels >= 0) & (ids >= dataset.num_classes)
    if wrong.any():
        found = first(map(str, np.unique(raw.values[wrong])))
        raise DataError(f"{path} contains ids of no class: {found}; allowed: 0 to {dataset.num_classes - 1}")
    return ids


def first(values: Iterable[str], shown: int = NAMED) -> str:
    """The first of the values, for a message."""
    values = list(values)
    return ", ".join(values[:shown]) + (f", ... ({len(values)})" if len(values) > shown else "")


def _ids_of(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Class ids of grey values; values of the data set's own masks are accepted if they are unambiguous."""
    if dataset.id_map is None:
        return values
    as_masks = dataset.id_map.astype(np.int64)
    ids = np.arange(1 << 16)
    both = as_masks[: dataset.num_classes]
    if ((both >= 0) & (both != ids[: len(both)])).any():
        return values
    is_class = (as_masks >= 0) & (as_masks < dataset.num_classes)
    ids[: len(as_masks)][is_class] = as_masks[is_class]
    return ids[values]


def _classes_of(path: Path, colours: np.ndarray, labelled: np.ndarray, dataset: Dataset) -> np.ndarray:
    """`(height, width)` class ids of RGB colours; C where a pixel without a label has no class's colour."""
    palette = pack(np.asarray(dataset.palette))
    if len(np.unique(palette)) < len(palette):
        raise DataError(f"{path} contains colours, and classes of {dataset.name} share one: store class ids")
    order, packed = np.argsort(palette), pack(colours)
    place = np.minimum(np.searchsorted(palette[order], packed), len(palette) - 1)
    ids = np.where(palette[order][place] == packed, order[place], len(palette))
    unknown = labelled & (ids == len(palette))
    if unknown.any():
        named = first(map(rgb_text, np.unique(packed[unknown])))
        raise DataError(f"{path} contains colours of no class: {named}")
    return ids
