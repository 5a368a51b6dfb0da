"""The pseudo labels of a fixed set of unlabelled images, looked at again and again as training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from usrn_keras.data import Dataset, Sample, read_image, read_mask
from usrn_keras.data.files.masks import check_size
from usrn_keras.errors import DataError
from usrn_keras.evaluation.pseudo_label_quality import Counts
from usrn_keras.evaluation.pseudo_labeller import PseudoLabeller, at_centres
from usrn_keras.methods import USRN

IMAGES = 16


class Diagnosis:
    """Counts the pseudo labels of a fixed set of unlabelled images, the same at every step.

    The weak view is the image itself at the size of evaluation, without augmentation, and the network is in
    inference mode: figures of different steps compare, no random number is drawn, and training goes on as
    if nobody had looked. Training itself sees augmented crops through the batch normalisation of the
    batch, so its own averages (`confident`, `gate_open` in `metrics.jsonl`) differ somewhat.

    Masks of unlabelled images are read where they exist, and used for nothing else.

    Args:
        model: What is trained; weights that change later are seen.
        samples: The images.
        dataset: Says what their masks mean.
        log: Told of masks that cannot be read; their images count as images without a mask.

    Raises:
        DataError: An image cannot be read, when it is looked at.

    Example:

    >>> diagnosis = Diagnosis(model, evenly(dataset.unlabelled), dataset)  # doctest: +SKIP
    >>> diagnosis.record(step=100)["by_pseudo_label"]["open"]  # doctest: +SKIP
    [1093, 204, 3]
    """

    def __init__(
        self,
        model: USRN,
        samples: Sequence[Sample],
        dataset: Dataset,
        log: Callable[[str], None] = lambda text: None,
    ):
        self._model, self._samples, self._dataset, self._log = model, samples, dataset, log
        self._label = PseudoLabeller(model)
        self._refused: set[Sample] = set()

    def record(self, step: int) -> dict[str, Any]:
        """What the pseudo labels are with the weights of the moment, as JSON values (see `Counts`)."""
        counts = Counts(len(self._dataset.classes), self._model.threshold)
        for sample in self._samples:
            image = read_image(sample.image)
            counts.add(self._label(image), self._true_classes(sample, image.shape[:2]))
        return {"step": step, **counts.to_record()}

    def _true_classes(self, sample: Sample, size: tuple[int, int]) -> np.ndarray | None:
        """`(rows, columns)` class ids, -1 where there is none; None without a mask that can be read."""
        if sample.mask is None or sample in self._refused:
            return None
        try:
            mask = read_mask(sample.mask, self._dataset)
            check_size(sample.image, size, sample.mask, mask.shape)
        except DataError as error:  # training does not need it, so it does not stop for it
            self._refused.add(sample)
            self._log(f"the diagnosis of pseudo labels goes without a mask: {error.message}")
            return None
        labels = at_centres(mask).astype(np.int64)
        return np.where(labels == self._dataset.ignore_index, -1, labels)


def evenly(samples: Sequence[Sample], count: int = IMAGES) -> tuple[Sample, ...]:
    """Up to `count` samples, spread evenly over the list, the first and the last among them.

    Example:

    >>> [sample.name for sample in evenly([Sample(str(i), f"{i}.png") for i in range(9)], 3)]
    ['0', '4', '8']
    """
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return tuple(samples[place] for place in places)
