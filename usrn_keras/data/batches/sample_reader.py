"""Read the files of samples, each once as long as memory for them lasts."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from usrn_keras.data.batches.prefetch import ArrayCache
from usrn_keras.data.dataset import Sample
from usrn_keras.data.decoding.mask_files import check_sublabels, read_sublabels
from usrn_keras.data.masks import Rules, check_size, read_mask
from usrn_keras.data.sample_images import read_sample_image, sample_size


class SampleReader:
    """Reads images, masks, sublabels and pseudo masks, checks them, and keeps decoded files in memory.

    An image may be reduced by 2, 4 or 8; its maps have the size of the whole image, see `WeakView`.

    Args:
        rules: Rules of the masks. Pseudo masks hold class ids.
        parents: Class of each subclass, `(subclasses,)`, to check sublabels against labels when their file is
            read; None skips the check.
        at_least: Long side in pixels that a reduced image must keep: the size that the largest view needs.
        cache_bytes: Memory for decoded files in bytes.
    """

    def __init__(self, rules: Rules, *, parents: np.ndarray | None, at_least: int, cache_bytes: int):
        self.rules = rules
        self.pseudo_rules = Rules(rules.num_classes, rules.ignore_index)
        self.parents = parents
        self._cache = ArrayCache(cache_bytes)
        self._sizes: dict[Path, tuple[int, int]] = {}
        self._at_least = at_least

    def size(self, sample: Sample) -> tuple[int, int]:
        """Return height and width of the whole image of a sample; its header is read once."""
        if sample.image not in self._sizes:
            self._sizes[sample.image] = sample_size(sample)
        return self._sizes[sample.image]

    def unlabelled(self, sample: Sample) -> tuple[np.ndarray]:
        """Return the image of a sample, `(height, width, bands)` uint8, as a tuple.

        Raises:
            DataError: The file cannot be read.
        """
        return (self._image(sample),)

    def labelled(self, sample: Sample) -> tuple[np.ndarray, ...]:
        """Return image, labels and, if the sample has a file of them, sublabels.

        Raises:
            DataError: A file cannot be read, sizes differ, ids are outside the classes, or sublabels disagree
                with labels.
        """
        return self._image(sample), *self.labelled_maps(sample)

    def labelled_maps(self, sample: Sample) -> tuple[np.ndarray, ...]:
        """Return labels and, if the sample has a file of them, sublabels, without reading the image.

        Raises:
            DataError: See `labelled`.
        """
        labels = self._labels(sample, self.rules)
        if sample.sublabels is None:
            return (labels,)
        read = functools.partial(self._read_sublabels, image=sample.image, labels=labels)
        return labels, self._cache.get(sample.sublabels, read)

    def pseudo(self, sample: Sample) -> tuple[np.ndarray, ...]:
        """Return image, pseudo mask and, if the sample has a file of them, pseudo sublabels.

        Labels and sublabels are selected separately, so a pixel may have one of them alone.

        Raises:
            DataError: A file cannot be read, sizes differ, or ids are outside the classes.
        """
        image, labels = self._image(sample), self._labels(sample, self.pseudo_rules)
        if sample.sublabels is None:
            return image, labels
        return image, labels, self._cache.get(sample.sublabels, _short_sublabels)

    def _image(self, sample: Sample) -> np.ndarray:
        return self._cache.get(sample.image, lambda path: read_sample_image(sample, at_least=self._at_least))

    def _labels(self, sample: Sample, rules: Rules) -> np.ndarray:
        labels = self._cache.get(sample.mask, functools.partial(read_mask, rules=rules))
        # The image may be reduced; the mask has the size of the whole image.
        check_size(sample.image, self.size(sample), sample.mask, labels.shape)
        return labels

    def _read_sublabels(self, path: Path, image: Path, labels: np.ndarray) -> np.ndarray:
        """Read and check a sublabel file; a cached file is checked once."""
        sublabels = read_sublabels(path)
        check_size(image, labels.shape, path, sublabels.shape)
        if self.parents is not None:
            check_sublabels(path, sublabels, labels, self.parents, self.rules.ignore_index)
        return _shortened(sublabels)


def _short_sublabels(path: Path) -> np.ndarray:
    return _shortened(read_sublabels(path))


def _shortened(sublabels: np.ndarray) -> np.ndarray:
    """int16 takes half the memory and is sufficient except for very many subclasses."""
    return sublabels.astype(np.int16) if sublabels.max() <= np.iinfo(np.int16).max else sublabels
