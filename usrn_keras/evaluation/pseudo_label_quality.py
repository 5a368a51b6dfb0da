"""Quality of the pseudo labels of a method on a fixed set of unlabelled images, counted per class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from usrn_keras.data import Dataset, Sample, read_mask, read_sample_image
from usrn_keras.data.batches.padding import pad_image
from usrn_keras.data.masks import check_size
from usrn_keras.errors import DataError
from usrn_keras.evaluation.forward import Forward

if TYPE_CHECKING:
    from usrn_keras.methods.base import Method

Tensor = Any
IMAGES = 16
STRIDE = 8  # of the pseudo labels
# Arrays that a method may give, beside `labels` and `confidence`, which every method gives.
NUMBERS = {
    "labels": np.int64,
    "own_labels": np.int64,
    "sub_labels": np.int64,
    "confidence": np.float32,
    "own_confidence": np.float32,
    "sub_confidence": np.float32,
    "open": bool,
    "entropy": np.float32,
    "sub_entropy": np.float32,
}
ENTROPIES = {"entropy": "entropy", "entropy_sub": "sub_entropy"}  # names of the sums and of the arrays


class PseudoLabelQuality:
    """Count the pseudo labels of a fixed set of unlabelled images, the same at every step.

    The images are not augmented and have the size of evaluation, and the network is in inference mode, so
    that figures of different steps compare. No random number is drawn and no statistic changes, so that
    training is not affected. Training itself sees augmented crops through the batch normalisation of the
    batch, so the averages that it records (`confident`, `gate_open` in `metrics.jsonl`) differ somewhat.

    Masks of unlabelled images are read where they exist, and used for nothing else.

    Args:
        method: Method that makes pseudo labels; later changes of its weights take effect.
        samples: The unlabelled images.
        dataset: Data set that defines the classes of the masks.
        log: Receives a line for each mask that cannot be read; its image counts as one without a mask.

    Raises:
        DataError: An image cannot be read; raised by `record`.

    Example:

    >>> quality = PseudoLabelQuality(method, evenly_spaced(dataset.unlabelled), dataset)  # doctest: +SKIP
    >>> quality.record(step=100)["by_pseudo_label"]["confident"]  # doctest: +SKIP
    [1093, 204, 3]
    """

    def __init__(
        self,
        method: Method,
        samples: Sequence[Sample],
        dataset: Dataset,
        log: Callable[[str], None] = lambda text: None,
    ):
        self._method, self._samples, self._dataset, self._log = method, samples, dataset, log
        self._names: list[str] = []
        self._forward = Forward(method, lambda _, images: self._stacked(images))
        self._unreadable: set[Sample] = set()

    def record(self, step: int) -> dict[str, Any]:
        """Count the pseudo labels of the current weights; returns JSON values (see `PseudoLabelCounts`)."""
        counts = PseudoLabelCounts(
            len(self._dataset.classes), self._method.threshold, self._method.sub_threshold
        )
        for sample in self._samples:
            image = read_sample_image(sample)
            counts.add(self.pseudo_labels(image), self._true_classes(sample, image.shape[:2]))
        return {"step": step, **counts.to_record()}

    def pseudo_labels(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The pseudo labels of an image, at stride 8.

        Args:
            image: `(height, width, bands)` uint8.

        Returns:
            What `Method.pseudo_labels` gives of the cells, 8 x 8 pixels each, whose centre is in the image,
            arrays `(rows, columns)`.
        """
        found = self._forward(pad_image(image)[None])[0]
        rows, columns = (len(range(STRIDE // 2, size, STRIDE)) for size in image.shape[:2])
        found = found[:rows, :columns]
        return {name: found[..., i].astype(NUMBERS[name]) for i, name in enumerate(self._names)}

    def _stacked(self, images: Tensor) -> Tensor:
        """`(batch, rows, columns, numbers)` float32: one tensor leaves the device."""
        found = self._method.pseudo_labels(ops.cast(images, "float32"))
        self._names = [name for name in NUMBERS if name in found]
        return ops.stack([ops.cast(found[name], "float32") for name in self._names], axis=-1)

    def _true_classes(self, sample: Sample, size: tuple[int, int]) -> np.ndarray | None:
        """Class ids `(rows, columns)`, -1 where there is none; None without a readable mask."""
        if sample.mask is None or sample in self._unreadable:
            return None
        try:
            mask = read_mask(sample.mask, self._dataset)
            check_size(sample.image, size, sample.mask, mask.shape)
        except DataError as error:  # training does not need the mask, so it continues
            self._unreadable.add(sample)
            self._log(f"the quality of pseudo labels is measured without a mask: {error.message}")
            return None
        labels = at_centres(mask).astype(np.int64)
        return np.where(labels == self._dataset.ignore_index, -1, labels)


class PseudoLabelCounts:
    """Sums over images, for C classes; a pixel is a cell of stride 8.

    What is counted depends on the method: `confident_sub`, `open`, `entropy_sub`, `dropped`, `overridden`
    and the sources `own`, `sub` and `dropped` need an F_sub, `entropy` needs the entropy of F.

    Args:
        classes: Number of classes C.
        threshold: gamma; a pseudo label above it is confident.
        sub_threshold: The same of F_sub; None for the same value.

    Attributes:
        by_pseudo_label: Sums `(C,)` over the pixels with a pseudo label: `pixels`, `confident` (above gamma
            after the correction), `confident_sub` (F_sub above gamma), `open` (the gate), and the sums of the
            normalised entropies, `entropy` (F) and `entropy_sub`. By F's label before the correction:
            `dropped` (confident without F_sub, not with it) and `overridden` (confident, with another label).
        by_true_class: The same by true class, over pixels whose class is known.
        quality: Counts of the labels above gamma where the true class is known, by source: `corrected`, the
            labels that are taught, `own`, F's labels before the correction, `sub`, those of F_sub, and
            `dropped`, F's labels that the correction removed. `chosen` `(C,)` counts them by pseudo label,
            `right` those that are correct.
        images: Number of images. `masks`: number of images whose true classes are known.

    Example:

    >>> counts = PseudoLabelCounts(2, threshold=0.75)
    >>> found = {"labels": np.array([[0, 1]]), "confidence": np.array([[0.9, 0.6]])}
    >>> counts.add(found, labels=np.array([[0, 0]]))
    >>> counts.by_pseudo_label["confident"].tolist(), counts.quality["corrected"]["right"].tolist()
    ([1, 0], [1, 0])
    """

    def __init__(self, classes: int, threshold: float, sub_threshold: float | None = None):
        self.classes, self.threshold = classes, threshold
        self.sub_threshold = threshold if sub_threshold is None else sub_threshold
        self.images = self.masks = 0
        self.by_pseudo_label: dict[str, np.ndarray] = {}
        self.by_true_class: dict[str, np.ndarray] = {}
        self.quality: dict[str, dict[str, np.ndarray]] = {}

    def add(self, found: Mapping[str, np.ndarray], labels: np.ndarray | None) -> None:
        """Count one image.

        Args:
            found: Pseudo labels of the image, see `PseudoLabelQuality.pseudo_labels`.
            labels: True class ids `(rows, columns)`, any other value is unknown; None without a mask.
        """
        flat = {name: values.ravel() for name, values in found.items()}
        truth = np.full(flat["labels"].shape, -1) if labels is None else labels.ravel()
        known = (truth >= 0) & (truth < self.classes)
        self.images += 1
        self.masks += labels is not None
        weights = self._weights(flat)
        lost = {name: weights.pop(name) for name in ("dropped", "overridden") if name in weights}
        for name, weight in weights.items():
            self._sum(self.by_pseudo_label, name, flat["labels"], weight)
            self._sum(self.by_true_class, name, truth[known], weight[known])
        for name, where in lost.items():
            self._sum(self.by_pseudo_label, name, flat["own_labels"], where)
            self._sum(self.by_true_class, name, truth[known], where[known])
        for source, (ids, chosen) in self._sources(flat, lost).items():
            sums = self.quality.setdefault(source, {})
            self._sum(sums, "chosen", ids[known], chosen[known])
            self._sum(sums, "right", ids[known], (chosen & (ids == truth))[known])

    def to_record(self) -> dict[str, Any]:
        """All counts as JSON values; entropies are rounded to 6 digits."""
        return {
            "images": self.images,
            "masks": self.masks,
            "threshold": self.threshold,
            "by_pseudo_label": _lists(self.by_pseudo_label),
            "by_true_class": _lists(self.by_true_class),
            "quality": {source: _lists(sums) for source, sums in self.quality.items()},
        }

    def _weights(self, flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What each pixel adds to the sums, by name of the sum."""
        confident = flat["confidence"] > self.threshold
        weights = {"pixels": np.ones(len(confident), bool), "confident": confident}
        if "sub_labels" in flat:
            weights |= {
                "confident_sub": flat["sub_confidence"] > self.sub_threshold,
                "open": flat["open"],
                "dropped": (flat["own_confidence"] > self.threshold) & ~confident,
                "overridden": confident & (flat["labels"] != flat["own_labels"]),
            }
        return weights | {name: flat[array] for name, array in ENTROPIES.items() if array in flat}

    def _sources(
        self, flat: Mapping[str, np.ndarray], lost: Mapping[str, np.ndarray]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Labels of each source, and which of them are above gamma."""
        sources = {"corrected": (flat["labels"], flat["confidence"] > self.threshold)}
        if "sub_labels" in flat:
            for name, threshold in (("own", self.threshold), ("sub", self.sub_threshold)):
                sources[name] = flat[f"{name}_labels"], flat[f"{name}_confidence"] > threshold
            sources["dropped"] = flat["own_labels"], lost["dropped"]
        return sources

    def _sum(self, sums: dict[str, np.ndarray], name: str, ids: np.ndarray, weights: np.ndarray) -> None:
        if weights.dtype == bool:
            added = np.bincount(ids[weights], minlength=self.classes)
        else:
            added = np.bincount(ids, weights, self.classes)
        sums[name] = sums.get(name, 0) + added


def at_centres(labels: np.ndarray) -> np.ndarray:
    """The label at the centre of each cell: `(height, width)` -> `(rows, columns)`.

    Example:

    >>> at_centres(np.arange(12 * 9).reshape(12, 9)).tolist()
    [[40]]
    """
    return labels[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]


def evenly_spaced(samples: Sequence[Sample], count: int = IMAGES) -> tuple[Sample, ...]:
    """Up to `count` samples, spread evenly over the list, with the first and the last.

    Example:

    >>> [sample.name for sample in evenly_spaced([Sample(str(i), f"{i}.png") for i in range(9)], 3)]
    ['0', '4', '8']
    """
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return tuple(samples[place] for place in places)


def _lists(sums: Mapping[str, np.ndarray]) -> dict[str, list]:
    return {
        name: values.tolist() if values.dtype == np.int64 else values.round(6).tolist()
        for name, values in sums.items()
    }
