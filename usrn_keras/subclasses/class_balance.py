"""How many subclasses each class is cut into, by which options, and how balanced class sizes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Clustering:
    """How classes are cut: the recipe's `[subclasses]`.

    Args:
        size_factor: Cluster size in units of the smallest class.
        counts: Subclasses of each class; empty for those that follow from the sizes.
        max_subclasses: Largest count for one class.
        assignment: `balanced`, or `free` for plain k-means.
        sample_rows: Rows of a class that its centres are fitted on; 0 for what `BalancedKMeans` finds right.
        seed: Of the clustering, and of the choice of rows.
        rows_per_image: Most feature pixels of a class that are clustered of one image; 0 for all.
        batch: Images of equal padded size whose features are extracted at once.
    """

    size_factor: float = 1.0
    counts: Sequence[int] = ()
    max_subclasses: int = 256
    assignment: str = "balanced"
    sample_rows: int = 0
    seed: int = 0
    rows_per_image: int = 0
    batch: int = 1


def subclass_counts(
    class_counts: ArrayLike,
    *,
    size_factor: float = 1.0,
    counts: Sequence[int] | None = None,
    max_subclasses: int = 256,
) -> np.ndarray:
    """Number of subclasses of every class, so that all subclasses are of about the same size.

    A class of `n_c` pixels is cut into `K_c = ceil(n_c / (size_factor * n_min))` subclasses, `n_min` being
    the size of the smallest class that occurs. `size_factor = 1` is the rule of the USRN paper (section 3.2);
    `size_factor = 10` gives the numbers in its official Cityscapes code for 1/16 and 1/32 labelled images.

    Args:
        class_counts: `(classes,)` labelled pixels of each class, ignored pixels left out.
        size_factor: size of a subclass in units of the smallest class; greater than 0.
        counts: `(classes,)` the numbers themselves, each at least 1; `size_factor` and `max_subclasses` are
            then not used.
        max_subclasses: largest number for one class; at least 1.

    Returns:
        `(classes,)` int64; 0 for a class without pixels, never more than the class has pixels.

    Raises:
        ValueError: a negative or fractional size, no pixels at all, or arguments out of their range.

    Example:
        >>> subclass_counts([100, 0, 250, 1000], size_factor=1.0).tolist()
        [1, 0, 3, 10]
    """
    sizes = class_sizes(class_counts)
    if not sizes.any():
        raise ValueError("`class_counts` must hold at least one class with pixels, received only zeros.")
    if counts is not None:
        wanted = explicit_counts(counts, len(sizes))
    else:
        if not size_factor > 0:
            raise ValueError(f"`size_factor` must be greater than 0, received {size_factor!r}.")
        if max_subclasses < 1:
            raise ValueError(f"`max_subclasses` must be at least 1, received {max_subclasses!r}.")
        ratio = sizes / (size_factor * sizes[sizes > 0].min())
        # The last digit of a quotient such as 0.6 / 0.2 must not add a subclass.
        wanted = np.minimum(np.ceil(ratio * (1 - 1e-12)), max_subclasses).astype(np.int64)
    return np.minimum(wanted, sizes)


def class_balance_rate(counts: ArrayLike) -> float:
    """Class balance rate: 1 when all classes are of one size, 0 when one class holds everything.

    `CBR = 1 - std(n) / std([sum(n), 0, ..., 0])` with the population standard deviation (USRN, Eq. 9).

    Args:
        counts: `(classes,)` size of each class or subclass, zeros included.

    Raises:
        ValueError: a negative or fractional size, or only zeros.

    Example:
        >>> class_balance_rate([10, 10, 10])
        1.0
    """
    sizes = class_sizes(counts)
    if not sizes.any():
        raise ValueError("`counts` must hold at least one size above 0, received only zeros.")
    if len(sizes) == 1:
        return 1.0
    worst = np.zeros(len(sizes))
    worst[0] = sizes.sum()
    return float(1.0 - sizes.std() / worst.std())


def class_sizes(counts: ArrayLike) -> np.ndarray:
    """`counts` as `(classes,)` int64, or a ValueError that says what is wrong with it."""
    sizes = np.asarray(counts)
    if sizes.ndim != 1 or sizes.size == 0:
        raise ValueError(f"class sizes must be of shape (classes,), received shape {sizes.shape}.")
    if not np.isfinite(sizes).all() or (sizes < 0).any() or (sizes != np.floor(sizes)).any():
        raise ValueError(f"class sizes must be whole numbers of at least 0, received {sizes.tolist()}.")
    return sizes.astype(np.int64)


def explicit_counts(counts: Sequence[int], classes: int) -> np.ndarray:
    """The user's own numbers of subclasses, checked against the number of classes."""
    wanted = class_sizes(counts)
    if len(wanted) != classes:
        raise ValueError(f"`counts` must hold one number per class ({classes}), received {len(wanted)}.")
    if (wanted < 1).any():
        raise ValueError(f"`counts` must be at least 1 for every class, received {wanted.tolist()}.")
    return wanted
