"""Which subclass belongs to which class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.files import atomic_path, read_json, write_json


@dataclass(frozen=True, eq=False)
class SubclassMap:
    """Subclasses, numbered class by class, with the centre of each in feature space.

    Attributes:
        classes: C class names.
        counts: `(C,)` int, subclasses of each class; 0 for classes without labelled pixels.
        sizes: `(K,)` int, feature pixels of each subclass.
        centers: `(K, channels)` float32, centroids of the decoder features.

    Example:

    >>> subclasses = SubclassMap(
    ...     ("road", "pole"), np.array([2, 1]), np.array([50, 50, 50]), np.zeros((3, 8), "float32"))
    >>> subclasses.parents.tolist(), subclasses.names
    ([0, 0, 1], ('road/0', 'road/1', 'pole/0'))
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    sizes: np.ndarray
    centers: np.ndarray

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

    def save(self, folder: Path) -> None:
        """Write `subclasses.json` and `centers.npy`."""
        with atomic_path(folder / "centers.npy") as temporary:
            np.save(temporary, self.centers)
        write_json(
            folder / "subclasses.json",
            {"classes": list(self.classes), "counts": self.counts.tolist(), "sizes": self.sizes.tolist()},
        )

    @classmethod
    def load(cls, folder: Path) -> SubclassMap:
        """Read what `save` wrote."""
        facts = read_json(folder / "subclasses.json")
        centers = np.load(folder / "centers.npy", allow_pickle=False)
        return cls(tuple(facts["classes"]), np.array(facts["counts"]), np.array(facts["sizes"]), centers)
