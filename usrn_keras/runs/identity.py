"""Identity of the data set of a run, and comparison with another data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.dataset import PARTS
from usrn_keras.errors import RunError


def describe(dataset: Dataset) -> dict[str, Any]:
    """Describe a data set for `dataset.json` in the run folder."""
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint(),
        "contents": {part: dataset.contents(part) for part in PARTS},
        "images": {part: len(getattr(dataset, part)) for part in PARTS},
        "classes": list(dataset.classes),
        "palette": np.asarray(dataset.palette).tolist(),
    }


def changes(known: Mapping[str, Any], dataset: Dataset, parts: Sequence[str] = ("labelled",)) -> list[str]:
    """List the differences between a data set and an earlier description of it.

    Args:
        known: Earlier description by `describe`.
        dataset: Data set to compare.
        parts: Lists whose files must be unchanged. Other images may be repaired: a broken file may have
            stopped the run, and the trained stages do not depend on them.

    Returns:
        One line for each difference; empty if there are none.
    """
    found = []
    if known["classes"] != list(dataset.classes):
        found.append(f"classes: {', '.join(known['classes'])}; now {', '.join(dataset.classes)}")
    if known["fingerprint"] != dataset.fingerprint():
        found.append(f"lists of images: {known['fingerprint']}; now {dataset.fingerprint()}")
        return found
    contents = known.get("contents", {})  # not recorded by the first versions
    if other := [part for part in parts if _differ(contents.get(part, ""), dataset, part)]:
        what = "same names, but different images or masks, or different ids or colours in them"
        found.append(f"files of {', '.join(other)}: {what}")
    return found


def _differ(known: str, dataset: Dataset, part: str) -> bool:
    """Whether files differ from a recorded hash, which is one of sizes in runs of the first versions."""
    return bool(known) and known not in (dataset.contents(part), dataset.sizes(part))


def check_same_data(
    path: Path, known: Mapping[str, Any], dataset: Dataset, parts: Sequence[str] = ("labelled",)
) -> None:
    """Raise a `RunError` if the data set differs from the one that the run was started with."""
    if found := changes(known, dataset, parts):
        raise RunError(
            f"{path}: the data set has changed since the run was started",
            errors=found,
            hint="Restore it, or start a new run in another folder: --run FOLDER",
        )
