"""The subclasses of each class, with their sizes and centers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path, damage_reported, read_json, write_json

# Entries of subclasses.json in addition to the class names.
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
    """Subclasses, numbered class by class, with their centers in feature space.

    Attributes:
        classes: Names of the C classes.
        counts: Number of subclasses of each class, `(C,)` int; 0 for classes without labelled pixels.
        sizes: Number of clustered feature pixels of each subclass, `(K,)` int.
        centers: Center of each subclass in the space of the decoder features, `(K, channels)` float32.
        pixels: Number of labelled pixels of each class in the labelled images, `(C,)` int.
        feature_pixels: Number of clustered feature pixels of each class, `(C,)` int.
        inertia: Mean squared distance of the feature pixels of each class to the center of their subclass,
            `(C,)` float64; 0 for classes without feature pixels.
        prices: Price of each subclass, `(K,)` float64, see `BalancedKMeans.prices_`; zeros with plain
            k-means.

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
        """Class of each subclass, `(K,)` int32."""
        return np.repeat(np.arange(len(self.counts)), self.counts).astype(np.int32)

    @property
    def first(self) -> np.ndarray:
        """Id of the first subclass of each class, `(C,)` int."""
        return np.cumsum(self.counts) - self.counts

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each subclass, such as `road/3`."""
        return tuple(
            f"{name}/{i}" for name, n in zip(self.classes, self.counts, strict=True) for i in range(n)
        )

    def of_class(self, class_id: int) -> slice:
        """Ids of the subclasses of a class, as a slice."""
        start = int(self.first[class_id])
        return slice(start, start + int(self.counts[class_id]))

    def in_label_pixels(self, sizes: np.ndarray) -> np.ndarray:
        """Convert sizes in feature pixels to labelled pixels.

        The labelled pixels of each class are divided in the proportions of its clustered feature pixels. So
        classes are comparable even if `subclasses.rows_per_image` has limited some of them.

        Args:
            sizes: Number of feature pixels of each subclass, `(K,)`.

        Returns:
            Number of labelled pixels of each subclass, `(K,)` int64.
        """
        clustered = self.feature_pixels[self.parents]
        # A class without feature pixels has one subclass, which gets all its pixels.
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
        """Read the files that `save` wrote.

        Args:
            folder: Folder of the files.

        Raises:
            RunError: The files are damaged, or from an older version of the package.
        """

        def parse(value: dict[str, Any]) -> dict[str, Any]:
            if missing := [name for name in NUMBERS if name not in value]:
                raise RunError(
                    f"{folder} is from an older version: subclasses.json lacks {', '.join(missing)}",
                    hint=f"Delete {folder} and run the same command again to rebuild the subclasses.",
                )
            numbers = {name: np.array(value[name], dtype) for name, dtype in NUMBERS.items()}
            return {"classes": tuple(map(str, value["classes"])), **numbers}

        facts = read_json(folder / "subclasses.json", parse)
        with damage_reported(folder / "centers.npy"):
            return cls(centers=np.load(folder / "centers.npy", allow_pickle=False), **facts)
