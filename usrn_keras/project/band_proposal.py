"""Propose `data.bands` from the bands that the image files have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from usrn_keras.data.decoding.file_facts import FileFacts
from usrn_keras.data.decoding.images import read_values
from usrn_keras.errors import DataError
from usrn_keras.recipe.bands import MOST_BANDS, VISIBLE, Bands

SAMPLED = 3  # images whose fourth band is looked at
Entries = tuple[int | str, ...]


def propose_bands(facts: Mapping[Path, FileFacts]) -> Entries:
    """Propose the entries of `data.bands` for TIFFs of other bands than grey or RGB; empty for other images.

    All images must have the same number of bands. Of four bands the first three are assumed to be red, green
    and blue, unless the fourth is transparency: by its tag, or because it has no values but the smallest and
    the largest one.

    Args:
        facts: Facts about each image.
    """
    counts = {one.bands for one in facts.values()}
    if len(counts) != 1 or any(one.format != "TIFF" or one.palette or one.alpha for one in facts.values()):
        return ()
    (count,) = counts
    if count in (1, 3) or count > MOST_BANDS:
        return ()
    if count == 4:
        return () if _is_transparency(list(facts)) else (*VISIBLE, 4)
    return tuple(range(1, count + 1))


def describe_bands(facts: Mapping[Path, FileFacts], entries: Entries) -> str:
    """Say what the images are, and what the proposed bands mean."""
    kind, _ = Counter(map(str, facts.values())).most_common(1)[0]
    assumed = (
        'the first three are red, green and blue; a name may say what the fourth is, such as "nir=4"'
        if entries[0] == VISIBLE[0]
        else 'which of them are red, green and blue is not known: name them, such as "red=3", so that their '
        "pretrained weights are used and pictures show them"
    )
    return f"{len(facts)} image(s) are each a {kind}: data.bands = {json.dumps(entries)}; {assumed}"


def note_mixed_bands(facts: Mapping[Path, FileFacts]) -> tuple[str, ...]:
    """Note that the fourth band of some images is not read, because others have three."""
    counts = Counter(one.bands for one in facts.values() if not one.alpha)
    four, others = counts.pop(4, 0), counts.total()
    if not (four and others):
        return ()
    return (
        f"{four} image(s) have 4 bands and {others} have other numbers of bands: the first three of four are "
        "read, as red, green and blue",
    )


def _is_transparency(paths: list[Path]) -> bool:
    """Whether the fourth band of some images has two values alone, such as 0 and 255."""
    fourth = Bands(("4",), (4,))
    for path in paths[:: max(1, len(paths) // SAMPLED)][:SAMPLED]:
        try:
            values = read_values(path, fourth)
        except DataError:  # reported where all images are read
            continue
        if ((values > values.min()) & (values < values.max())).any():
            return False
    return True
