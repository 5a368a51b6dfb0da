"""Random choice of the images that are labelled."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from usrn_keras.errors import DataError


def draw_split(
    names: Sequence[str], count: int, *, seed: int, pixels: np.ndarray | None = None
) -> tuple[str, ...]:
    """Draw `count` of the names, sorted; the draws of one seed are nested.

    Without `pixels`: the first `count` of the sorted names, shuffled by `random.Random(seed)`. So were the
    shipped CamVid splits made.

    With `pixels` the draw shows every class that any image shows, or as many as so few images can. As long
    as a class is missing, the rarest of these (shown by the fewest images) is looked for, and of its images
    the one that shows most of the missing classes is taken. The rest is random.

    Args:
        names: What to draw from.
        count: How many.
        seed: Another seed, another draw.
        pixels: `(names, classes)` pixels of each class in each image, in the order of `names`.

    Raises:
        DataError: there are fewer names.

    Example:

    >>> draw_split(["a", "b", "c", "d"], 2, seed=0)
    ('a', 'c')
    >>> draw_split(["a", "b", "c", "d"], 2, seed=0, pixels=np.array([[9, 0], [9, 0], [9, 0], [9, 1]]))
    ('c', 'd')
    """
    if not 0 <= count <= len(names):
        raise DataError(f"{count} images cannot be drawn from {len(names)}")
    order = _shuffled(names, seed)
    if pixels is not None:
        covering = _cover(pixels[order] > 0)
        rest = sorted(set(range(len(order))).difference(covering))
        order = [order[position] for position in (*covering, *rest)]
    return tuple(sorted(names[index] for index in order[:count]))


def covering_draw(names: Sequence[str], *, seed: int, pixels: np.ndarray) -> tuple[str, ...]:
    """The names that `draw_split` takes first to show every class that any image shows, sorted.

    Args:
        names: What to draw from.
        seed: Another seed, another draw.
        pixels: `(names, classes)` pixels of each class in each image, in the order of `names`.

    Example:

    >>> covering_draw(["a", "b", "c"], seed=0, pixels=np.array([[9, 0], [9, 1], [9, 0]]))
    ('b',)
    """
    order = _shuffled(names, seed)
    return tuple(sorted(names[order[position]] for position in _cover(pixels[order] > 0)))


def _shuffled(names: Sequence[str], seed: int) -> list[int]:
    """Places of the names: these sorted, then shuffled."""
    order = sorted(range(len(names)), key=names.__getitem__)
    random.Random(seed).shuffle(order)
    return order


def _cover(shown: np.ndarray) -> list[int]:
    """Rows of `(images, classes)` bool that together show every class that any row shows."""
    missing = shown.any(axis=0)
    rarity = shown.sum(axis=0)
    chosen = []
    while missing.any():
        rarest = np.flatnonzero(missing)[np.argmin(rarity[missing])]
        candidates = np.flatnonzero(shown[:, rarest])
        row = int(candidates[np.argmax(shown[candidates][:, missing].sum(axis=1))])
        chosen.append(row)
        missing = missing & ~shown[row]
    return chosen
