"""How classes are cut into subclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
