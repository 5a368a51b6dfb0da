"""Which data set a run is of, and whether another one is still the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.dataset import PARTS
from usrn_keras.errors import RunError


def describe(dataset: Dataset) -> dict[str, Any]:
    """What a run keeps of its data set in `dataset.json`."""
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint(),
        "contents": {part: dataset.contents(part) for part in PARTS},
        "images": {part: len(getattr(dataset, part)) for part in PARTS},
        "classes": list(dataset.classes),
        "palette": np.asarray(dataset.palette).tolist(),
    }


def changes(known: Mapping[str, Any], dataset: Dataset, parts: Sequence[str] = ("labelled",)) -> list[str]:
    """How a data set differs from what `describe` said of it earlier, in words; empty: it does not.

    Args:
        known: What `describe` said.
        dataset: As it is now.
        parts: Lists whose files count. An unlabelled image, or one to measure on, may be mended: it may be
            what stopped the run, and what was learnt stays right.
    """
    found = []
    if known["classes"] != list(dataset.classes):
        found.append(f"classes: {', '.join(known['classes'])}; now {', '.join(dataset.classes)}")
    if known["fingerprint"] != dataset.fingerprint():
        found.append(f"lists of images: {known['fingerprint']}; now {dataset.fingerprint()}")
        return found
    contents = known.get("contents", {})  # the first runs did not keep them
    if other := [part for part in parts if contents.get(part, "") not in ("", dataset.contents(part))]:
        what = "the same names, but other images or masks, or other ids or colours in them"
        found.append(f"files of {', '.join(other)}: {what}")
    return found


def refuse_other_data(
    path: Path, known: Mapping[str, Any], dataset: Dataset, parts: Sequence[str] = ("labelled",)
) -> None:
    """Raise a `RunError` where a data set is not the one that the run of a folder began with."""
    if found := changes(known, dataset, parts):
        raise RunError(
            f"{path}: the data set has changed since the run began",
            faults=found,
            hint="Restore it, or start a new run in another folder. What is trained can be measured on other "
            "images: usrn evaluate",
        )
