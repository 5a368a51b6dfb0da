"""Which images are labelled, unlabelled, val and test."""

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
    """Divide the images; the names in each part are sorted.

    Val and test are drawn so that they show many classes, but never a class that the images left for
    training would then lack, where that can be.

    Args:
        sources: All files.
        held_out: What becomes val and test.
        pixels: `(masks, classes)`, pixels of each class in each of `sources.masks`.
        labelled: The share of the training images with masks whose masks are used; None for all.
        seed: Of all draws.

    Raises:
        DataError: A part that is needed would have no image.
    """
    row_of = dict(zip(sources.masks, pixels, strict=True))
    free = dict.fromkeys(sources.main.images)
    found = {part.part: _fixed(part, sources) for part in held_out if part.share is None}
    for part in held_out:
        if part.inside:
            free = {name: None for name in free if not is_below(sources.main.images[name], part.inside)}
    masked = [name for name in free if name in sources.main.masks]
    counts = {part.part: max(1, part.share.of(len(masked))) for part in held_out if part.share}
    _refuse_too_few(masked, counts)
    for part, count in counts.items():
        found[part] = _draw_held_out(masked, count, row_of, seed)
        masked = [name for name in masked if name not in set(found[part])]
    if labelled:
        masked = list(_draw(masked, max(1, labelled.of(len(masked))), row_of, seed))
    taken = {*masked, *found.get("val", ()), *found.get("test", ())}
    rest = [name for name in free if name not in taken]
    if not rest:
        raise _nothing_unlabelled(len(masked))
    return Lists(_sorted(masked), _sorted(rest), _sorted(found["val"]), _sorted(found.get("test", ())))


def _fixed(part: HeldOut, sources: Sources) -> list[str]:
    """The images of a folder that have masks."""
    if part.images:
        return [f"{part.part}/{name}" for name in sources.apart[part.part].masks]
    names = [name for name in sources.main.masks if is_below(sources.main.images[name], part.inside)]
    if not names:
        raise DataError(
            f"--{part.part}: no image in {part.inside} has a mask",
            hint=f"Give a folder whose images have masks below --masks, or a share: --{part.part} 0.2",
        )
    return names


def _refuse_too_few(masked: Sequence[str], counts: dict[str, int]) -> None:
    if len(masked) > sum(counts.values()):
        return
    wanted = "".join(f", {count} for {part}" for part, count in counts.items())
    raise DataError(
        f"{len(masked)} image(s) with masks are too few: at least 1 must stay for training{wanted}",
        hint="Give smaller shares, images for val in a folder of their own (--val DIR), or more masks.",
    )


def _draw_held_out(masked: Sequence[str], count: int, row_of: dict[str, np.ndarray], seed: int) -> Names:
    kept = set(covering_draw(masked, seed=seed, pixels=_rows(masked, row_of)))
    spare = [name for name in masked if name not in kept]
    return _draw(spare if len(spare) >= count else masked, count, row_of, seed)


def _draw(names: Sequence[str], count: int, row_of: dict[str, np.ndarray], seed: int) -> Names:
    """Draw images that show as many classes as so few can, those first that most images show."""
    pixels = _rows(names, row_of)
    frequent = np.argsort(-(pixels > 0).sum(axis=0), kind="stable")
    shown = next(
        pixels[:, frequent[:k]]
        for k in range(len(frequent), -1, -1)
        if len(covering_draw(names, seed=seed, pixels=pixels[:, frequent[:k]])) <= count
    )
    return draw_split(names, count, seed=seed, pixels=shown)


def _rows(names: Sequence[str], row_of: dict[str, np.ndarray]) -> np.ndarray:
    """`(names, classes)` pixels."""
    return np.array([row_of[name] for name in names])


def _nothing_unlabelled(labelled: int) -> DataError:
    return DataError(
        f"every image has a mask, none of the {labelled} left for training is unlabelled: USRN learns from "
        "images without labels too",
        hint="Put more images, without masks, below --images, or let only a part of the masks be used, "
        "as in an experiment: --labelled 1/4",
    )


def _sorted(names: Iterable[str]) -> Names:
    return tuple(sorted(names))
