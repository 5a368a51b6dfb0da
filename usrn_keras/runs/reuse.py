"""Stages that two runs have in common: computed once, taken over as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from usrn_keras.files import files_of, read_json, staged_path
from usrn_keras.recipe import Recipe
from usrn_keras.runs.run import BASELINE, FREE_KEYS, SUBCLASSES, Run, flat_recipe

# What the Baseline does not depend on, beside FREE_KEYS. A new key counts until it is named here.
_OF_USRN_ALONE = {
    "network.sharing", "network.sub_head", "views.scale_unlabelled", "views.strong",
    "views.jitter_probability", "views.grayscale_probability", "views.blur_probability",
    "training.method", "training.usrn_steps", "training.usrn_learning_rate", "training.batch_unlabelled",
    "training.terms", "training.threshold", "training.lambda_u", "training.lambda_sub", "training.gate",
    "training.correction", "training.sub_prior", "training.start", "evaluation.diagnosis",
}  # fmt: skip
_KEEPS_THE_BEST = {"evaluation.every"}  # of FREE_KEYS: the stage keeps its best weights by it


def of_usrn_alone(key: str) -> bool:
    """Whether the Baseline does not depend on a key, `section.key`."""
    return key in _OF_USRN_ALONE or key.startswith("subclasses.")


def stage_key(recipe: Recipe, stage: str, *, fingerprint: str, backend: str) -> dict[str, Any]:
    """All that the result of a stage depends on; two stages with equal keys are the same stage.

    Args:
        recipe: Of the run.
        stage: `BASELINE` or `SUBCLASSES`; the last stage depends on the whole recipe.
        fingerprint: Of the data set's lists.
        backend: Of Keras: backends round differently.
    """
    free = FREE_KEYS - _KEEPS_THE_BEST
    values = {key: value for key, value in flat_recipe(recipe).items() if key not in free}
    if stage == BASELINE:
        values = {key: value for key, value in values.items() if not of_usrn_alone(key)}
    elif stage == SUBCLASSES:
        values = {key: value for key, value in values.items() if key not in _OF_USRN_ALONE}
    return {**values, "fingerprint": fingerprint, "backend": backend}


def reuse_stages(run: Run, donor: Run) -> Iterator[str]:
    """Take over each stage of `donor` that is complete, equal to what `run` needs, and not begun there.

    Files are linked, not copied, where the system can: none of them is ever written in place.

    Args:
        run: Locked by this process.
        donor: Another run; its complete stages are only read.

    Yields:
        The name of each stage that was taken over.
    """
    for stage in run.stages[:2]:  # the last one depends on the whole recipe
        if run.is_complete(stage):
            continue
        if run.stage(stage).exists():  # begun: its subclasses are those of its own Baseline
            return
        if not donor.is_complete(stage) or _key(donor, stage) != _key(run, stage):
            return
        run.log(stage).take_over(donor.log(stage))
        with staged_path(run.stage(stage)) as folder:
            _link(donor.stage(stage), folder)
        yield stage


def _key(run: Run, stage: str) -> dict[str, Any]:
    backends = {session["backend"] for session in read_json(run.path / "environment.json")}
    backend = ", ".join(sorted(backends)) or keras.backend.backend()
    return stage_key(run.recipe, stage, fingerprint=run.fingerprint, backend=backend)


def _link(source: Path, target: Path) -> None:
    for file in files_of(source):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # another disk, or a system without links
            shutil.copy2(file, place)
