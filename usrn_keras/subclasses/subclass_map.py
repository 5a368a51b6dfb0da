"""Which subclass belongs to which class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path, read_json, write_json

# What is in subclasses.json beside the classes.
NUMBERS = {
    "counts": np.int64,
    "sizes": np.int64,
    "pixels": np.int64,
    "feature_pixels": np.int64,
    "inertia": np.float64,
    "prices": np.float64,
}


@dataclass(frozen=True, eq=False)
class SubclassMap:
    """Subclasses, numbered class by class, with the centre of each in feature space.

    Attributes:
        classes: C class names.
        counts: `(C,)` int, subclasses of each class; 0 for classes without labelled pixels.
        sizes: `(K,)` int, feature pixels of each subclass, of those that were clustered.
        centers: `(K, channels)` float32, centroids of the decoder features.
        pixels: `(C,)` int, labelled pixels of each class in the labelled images.
        feature_pixels: `(C,)` int, feature pixels of each class that were clustered.
        inertia: `(C,)` float64, mean squared distance of these to the centre of their subclass; 0 for
            classes without any.
        prices: `(K,)` float64, see `BalancedKMeans.prices_`; zeros with plain k-means.

    Example:

    >>> subclasses = SubclassMap(
    ...     ("road", "pole"), np.array([2, 1]), sizes=np.array([50, 50, 50]), centers=np.zeros((3, 8)),
    ...     pixels=np.array([1600, 800]), feature_pixels=np.array([100, 50]), inertia=np.zeros(2),
    ...     prices=np.zeros(3))
    >>> subclasses.parents.tolist(), subclasses.names
    ([0, 0, 1], ('road/0', 'road/1', 'pole/0'))
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    sizes: np.ndarray
    centers: np.ndarray
    pixels: np.ndarray
    feature_pixels: np.ndarray
    inertia: np.ndarray
    prices: np.ndarray

    @property
    def total(self) -> int:
        """K, the number of subclasses."""
        return int(self.counts.sum())

    @property
    def parents(self) -> np.ndarray:
        """`(K,)` int32, the class of each subclass."""
        return np.repeat(np.arange(len(self.counts)), self.counts).astype(np.int32)

    @property
    def first(self) -> np.ndarray:
        """`(C,)` int, the id of each class's first subclass."""
        return np.cumsum(self.counts) - self.counts

    @property
    def names(self) -> tuple[str, ...]:
        """Names such as `road/3`."""
        return tuple(
            f"{name}/{i}" for name, n in zip(self.classes, self.counts, strict=True) for i in range(n)
        )

    def of_class(self, class_id: int) -> slice:
        """The subclasses of a class."""
        start = int(self.first[class_id])
        return slice(start, start + int(self.counts[class_id]))

    def in_label_pixels(self, sizes: np.ndarray) -> np.ndarray:
        """Labelled pixels that subclasses of `sizes` feature pixels stand for, `(K,)` int64.

        Those of each class are shared out as its clustered feature pixels are. So classes compare even
        where `subclasses.rows_per_image` kept less of some than of others.
        """
        clustered = self.feature_pixels[self.parents]
        # A class too thin for any feature pixel has one subclass, and that has all of it.
        share = np.where(clustered > 0, sizes / np.maximum(clustered, 1), 1.0)
        return np.rint(share * self.pixels[self.parents]).astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write `subclasses.json` and `centers.npy`."""
        with atomic_path(folder / "centers.npy") as temporary:
            np.save(temporary, self.centers)
        facts = {name: getattr(self, name).tolist() for name in NUMBERS}
        write_json(folder / "subclasses.json", {"classes": list(self.classes), **facts})

    @classmethod
    def load(cls, folder: Path) -> SubclassMap:
        """Read what `save` wrote.

        Raises:
            RunError: An older version wrote it.
        """
        facts = read_json(folder / "subclasses.json")
        missing = [name for name in NUMBERS if name not in facts]
        if missing:
            raise RunError(
                f"{folder} was made by an older version: subclasses.json lacks {', '.join(missing)}",
                hint=f"Delete {folder} and run the same command again: the subclasses are made anew.",
            )
        centers = np.load(folder / "centers.npy", allow_pickle=False)
        numbers = {name: np.array(facts[name], dtype) for name, dtype in NUMBERS.items()}
        return cls(tuple(facts["classes"]), centers=centers, **numbers)
