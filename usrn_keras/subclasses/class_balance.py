"""The number of subclasses of each class, and the class balance rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Clustering:
    """Options of the clustering: the section `[subclasses]` of a recipe.

    Args:
        size_factor: Size of a subclass in units of the smallest class.
        counts: Number of subclasses of each class; empty to derive it from the class sizes.
        max_subclasses: Largest number of subclasses of a class.
        engine: What clusters with equal sizes: `balanced_kmeans`, or the package `k_means_constrained`.
        assignment: `balanced`, `free` for plain k-means, or `constrained`, the same as `balanced` with
            `engine = "k_means_constrained"`.
        sample_rows: Number of rows of a class that its centers are fitted on; 0 for the default of
            `BalancedKMeans` or `constrained_kmeans`.
        starts: Number of starts of the clustering of a class, of which the best is continued; 0 for the
            default of each algorithm.
        seed: Seed of the clustering and of the selection of rows.
        rows_per_image: Largest number of feature pixels of a class that are clustered per image; 0 for all.
        batch: Number of images of equal padded size whose features are extracted at once.
    """

    size_factor: float = 1.0
    counts: Sequence[int] = ()
    max_subclasses: int = 256
    engine: str = "balanced_kmeans"
    assignment: str = "balanced"
    sample_rows: int = 0
    starts: int = 0
    seed: int = 0
    rows_per_image: int = 0
    batch: int = 1

    @property
    def algorithm(self) -> str:
        """`balanced`, `free` or `constrained`, whichever key asks for it."""
        return "constrained" if self.engine == "k_means_constrained" else self.assignment

    @property
    def fitted_with(self) -> list[int]:
        """Options that change clusters of the same rows and number, by which stored clusters are found."""
        starts = [self.starts] if self.starts else []  # stored clusters of earlier versions have none
        return [self.sample_rows, self.seed, *starts]


def subclass_counts(
    class_counts: ArrayLike,
    *,
    size_factor: float = 1.0,
    counts: Sequence[int] | None = None,
    max_subclasses: int = 256,
) -> np.ndarray:
    """Compute the number of subclasses of each class, so that all subclasses have about the same size.

    A class of `n_c` pixels is divided into `K_c = ceil(n_c / (size_factor * n_min))` subclasses, where
    `n_min` is the size of the smallest class with pixels. `size_factor = 1` is the rule of the USRN paper
    (section 3.2); `size_factor = 10` gives the numbers of the official Cityscapes code for 1/16 and 1/32
    labelled images.

    Args:
        class_counts: Number of labelled pixels of each class, without ignored pixels, `(classes,)`.
        size_factor: Size of a subclass in units of the smallest class, above 0.
        counts: Explicit number of subclasses of each class, at least 1, `(classes,)`. `size_factor` and
            `max_subclasses` are then ignored.
        max_subclasses: Largest number of subclasses of a class, at least 1.

    Returns:
        `(classes,)` int64; 0 for a class without pixels, and at most the number of its pixels.

    Raises:
        ValueError: A size is negative or fractional, all sizes are 0, or an argument is out of range.

    Example:
        >>> subclass_counts([100, 0, 250, 1000], size_factor=1.0).tolist()
        [1, 0, 3, 10]
    """
    sizes = class_sizes(class_counts)
    if not sizes.any():
        raise ValueError("`class_counts` must have at least one class with pixels, received only zeros.")
    if counts is not None:
        wanted = explicit_counts(counts, len(sizes))
    else:
        if not size_factor > 0:
            raise ValueError(f"`size_factor` must be above 0, received {size_factor!r}.")
        if max_subclasses < 1:
            raise ValueError(f"`max_subclasses` must be at least 1, received {max_subclasses!r}.")
        ratio = sizes / (size_factor * sizes[sizes > 0].min())
        # A rounding error, as in 0.6 / 0.2, must not add a subclass.
        wanted = np.minimum(np.ceil(ratio * (1 - 1e-12)), max_subclasses).astype(np.int64)
    return np.minimum(wanted, sizes)


def class_balance_rate(counts: ArrayLike) -> float:
    """Compute the class balance rate: 1 if all classes have the same size, 0 if one class has all pixels.

    `CBR = 1 - std(n) / std([sum(n), 0, ..., 0])` with the population standard deviation (USRN, Eq. 9).

    Args:
        counts: Size of each class or subclass, `(classes,)`, zeros included.

    Raises:
        ValueError: A size is negative or fractional, or all sizes are 0.

    Example:
        >>> class_balance_rate([10, 10, 10])
        1.0
    """
    sizes = class_sizes(counts)
    if not sizes.any():
        raise ValueError("`counts` must have at least one size above 0, received only zeros.")
    if len(sizes) == 1:
        return 1.0
    worst = np.zeros(len(sizes))
    worst[0] = sizes.sum()
    return float(1.0 - sizes.std() / worst.std())


def class_sizes(counts: ArrayLike) -> np.ndarray:
    """Validate class sizes and convert them to `(classes,)` int64."""
    sizes = np.asarray(counts)
    if sizes.ndim != 1 or sizes.size == 0:
        raise ValueError(f"class sizes must be of shape (classes,), received shape {sizes.shape}.")
    if not np.isfinite(sizes).all() or (sizes < 0).any() or (sizes != np.floor(sizes)).any():
        raise ValueError(f"class sizes must be integers of at least 0, received {sizes.tolist()}.")
    return sizes.astype(np.int64)


def explicit_counts(counts: Sequence[int], classes: int) -> np.ndarray:
    """Validate explicit numbers of subclasses."""
    wanted = class_sizes(counts)
    if len(wanted) != classes:
        raise ValueError(f"`counts` must have one value per class ({classes}), received {len(wanted)}.")
    if (wanted < 1).any():
        raise ValueError(f"`counts` must be at least 1 for every class, received {wanted.tolist()}.")
    return wanted
