"""Divide the images into labelled, unlabelled, val and test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from usrn_keras.data.formats.lists import Lists, Names
from usrn_keras.data.random_split import Share, covering_draw, draw_split
from usrn_keras.errors import DataError
from usrn_keras.project.naming_rules import is_below
from usrn_keras.project.project_request import HeldOut
from usrn_keras.project.sources import Sources


def draw_parts(
    sources: Sources,
    held_out: Sequence[HeldOut],
    pixels: np.ndarray,
    *,
    labelled: Share | None = None,
    seed: int = 0,
) -> Lists:
    """Divide the images into parts; the names in each part are sorted.

    Val and test are drawn to show many classes, but if possible no class that would then be missing from the
    training images. Without an image that has no mask, nothing is unlabelled.

    Args:
        sources: Image and mask files.
        held_out: Sources of val and test.
        pixels: Pixels of each class in each of `sources.masks`, shape `(masks, classes)`.
        labelled: Share of the training images with masks whose masks are used; None for all.
        seed: Seed of the random splits.

    Raises:
        DataError: If a required part would be empty.
    """
    row_of = dict(zip(sources.masks, pixels, strict=True))
    free = dict.fromkeys(sources.main.images)
    found = {part.part: _fixed(part, sources) for part in held_out if part.share is None}
    for part in held_out:
        if part.inside:
            free = {name: None for name in free if not is_below(sources.main.images[name], part.inside)}
    masked = [name for name in free if name in sources.main.masks]
    counts = {part.part: max(1, part.share.of(len(masked))) for part in held_out if part.share}
    _check_enough(masked, counts)
    for part, count in counts.items():
        found[part] = _draw_held_out(masked, count, row_of, seed)
        masked = [name for name in masked if name not in set(found[part])]
    if labelled:
        masked = list(_draw(masked, max(1, labelled.of(len(masked))), row_of, seed))
    taken = {*masked, *found.get("val", ()), *found.get("test", ())}
    rest = [name for name in free if name not in taken]
    return Lists(_sorted(masked), _sorted(rest), _sorted(found["val"]), _sorted(found.get("test", ())))


def _fixed(part: HeldOut, sources: Sources) -> list[str]:
    """List the images of a folder that have masks."""
    if part.images:
        return [f"{part.part}/{name}" for name in sources.apart[part.part].masks]
    names = [name for name in sources.main.masks if is_below(sources.main.images[name], part.inside)]
    if not names:
        raise DataError(
            f"--{part.part}: no image in {part.inside} has a mask",
            hint=f"Name a folder whose images have masks below --masks, or a share: --{part.part} 0.2",
        )
    return names


def _check_enough(masked: Sequence[str], counts: dict[str, int]) -> None:
    if len(masked) > sum(counts.values()):
        return
    wanted = "".join(f", {count} for {part}" for part, count in counts.items())
    raise DataError(
        f"{len(masked)} image(s) with masks are too few: at least 1 is needed for training{wanted}",
        hint="Use smaller shares, a separate folder of validation images (--val DIR), or more masks.",
    )


def _draw_held_out(masked: Sequence[str], count: int, row_of: dict[str, np.ndarray], seed: int) -> Names:
    kept = set(covering_draw(masked, seed=seed, pixels=_rows(masked, row_of)))
    spare = [name for name in masked if name not in kept]
    return _draw(spare if len(spare) >= count else masked, count, row_of, seed)


def _draw(names: Sequence[str], count: int, row_of: dict[str, np.ndarray], seed: int) -> Names:
    """Draw images that cover as many classes as possible, the most frequent classes first."""
    pixels = _rows(names, row_of)
    frequent = np.argsort(-(pixels > 0).sum(axis=0), kind="stable")
    shown = next(
        pixels[:, frequent[:k]]
        for k in range(len(frequent), -1, -1)
        if len(covering_draw(names, seed=seed, pixels=pixels[:, frequent[:k]])) <= count
    )
    return draw_split(names, count, seed=seed, pixels=shown)


def _rows(names: Sequence[str], row_of: dict[str, np.ndarray]) -> np.ndarray:
    """Return the pixels of each class, shape `(names, classes)`."""
    return np.array([row_of[name] for name in names])


def _sorted(names: Iterable[str]) -> Names:
    return tuple(sorted(names))
