"""Stages that two runs have in common: computed once, taken over as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from usrn_keras.files import collect_files, read_json, staged_path
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.schema import common_sections
from usrn_keras.recipe.stage_plan import Stage, Train
from usrn_keras.runs.environment import recorded_numerics
from usrn_keras.runs.run import FREE_KEYS, Run, flat_recipe

# What the Baseline does not depend on, beside FREE_KEYS and the options of methods. A new key counts until it
# is named here.
_OF_THE_METHOD_ALONE = {
    "network.sharing", "views.scale_unlabelled", "views.strong", "views.jitter_probability",
    "views.grayscale_probability", "views.blur_probability", "training.method", "training.usrn_steps",
    "training.usrn_learning_rate", "training.batch_unlabelled", "training.start", "evaluation.diagnosis",
}  # fmt: skip
_KEEPS_THE_BEST = {"evaluation.every"}  # of FREE_KEYS: the stage keeps its best weights by it


def of_the_method_alone(key: str) -> bool:
    """Whether the Baseline does not depend on a key.

    Args:
        key: `section.key`; the options of a method are a section of their own.
    """
    section = key.partition(".")[0]
    return key in _OF_THE_METHOD_ALONE or section == "subclasses" or section not in common_sections()


def stage_key(
    recipe: Recipe, stage: Stage, *, data: str, backend: str, is_final: bool = False
) -> dict[str, Any]:
    """All that the result of a stage depends on; two stages with equal keys are the same stage.

    Args:
        recipe: The recipe of the run.
        stage: The stage.
        data: Which images and masks there are.
        backend: Name of the Keras backend; backends round differently.
        is_final: Whether it is the final one of several stages, which depends on the whole recipe.
    """
    free = FREE_KEYS - _KEEPS_THE_BEST
    values = {key: value for key, value in flat_recipe(recipe).items() if key not in free}
    if is_final:
        pass
    elif isinstance(stage, Train):
        values = {key: value for key, value in values.items() if not of_the_method_alone(key)}
    else:
        values = {
            key: value
            for key, value in values.items()
            if key.startswith("subclasses.") or not of_the_method_alone(key)
        }
    return {**values, "data": data, "backend": backend}


def reuse_stages(run: Run, donor: Run) -> Iterator[str]:
    """Take over each stage of `donor` that is complete, equal to what `run` needs, and not begun there.

    Files are linked, not copied, where the system can: none of them is ever written in place.

    Args:
        run: Locked by this process.
        donor: Another run; its complete stages are only read.

    Yields:
        The name of each stage that was taken over.
    """
    for stage in _shareable(run):
        if run.is_complete(stage):
            continue
        if run.stage(stage).exists():  # begun: its subclasses are those of its own Baseline
            return
        if not _offers(donor, run, stage) or _key(donor, stage) != _key(run, stage):
            return
        run.log(stage).take_over(donor.log(stage))
        with staged_path(run.stage(stage)) as folder:
            _link(donor.stage(stage), folder)
        yield stage


def why_not_reused(run: Run, donors: Sequence[Run]) -> str:
    """Why the first stage that a run lacks was taken over from none of its donors; empty: it lacks none."""
    stage = next((stage for stage in _shareable(run) if not run.is_complete(stage)), None)
    if stage is None or not donors:
        return ""
    if run.stage(stage).exists():
        return f"{stage}: was begun here, so that it is not taken over"
    offering = [donor for donor in donors if _offers(donor, run, stage)]
    if not offering:
        return f"{stage}: complete in none of the runs to take it from"
    needed = _key(run, stage)
    nearest = min(offering, key=lambda donor: len(_differences(needed, _key(donor, stage))))
    differences = ", ".join(_differences(needed, _key(nearest, stage)))
    return f"{stage}: not taken over from {nearest.path}, which has {differences}"


def _offers(donor: Run, run: Run, stage: str) -> bool:
    """Whether a donor has a complete stage of the same name and kind."""
    return type(donor.plan.get(stage)) is type(run.plan[stage]) and donor.is_complete(stage)


def _shareable(run: Run) -> tuple[str, ...]:
    """Folders of the stages that do not depend on the whole recipe."""
    return run.stages[:1] if len(run.stages) == 1 else run.stages[:-1]


def _differences(needed: dict[str, Any], offered: dict[str, Any]) -> list[str]:
    return [
        f"{key} = {offered.get(key)!r} in the place of {value!r}"
        for key, value in needed.items()
        if offered.get(key) != value
    ]


def _key(run: Run, stage: str) -> dict[str, Any]:
    backends = {session["backend"] for session in read_json(run.path / "environment.json")}
    backend = ", ".join(sorted(backends)) or keras.backend.backend()
    known = run.data
    files = known.get("contents", {}).get("labelled", "not known")
    data = f"lists {known['fingerprint']}, files {files}, classes {', '.join(known['classes'])}"
    key = stage_key(run.recipe, run.plan[stage], data=data, backend=backend)
    return {**key, "numerics": recorded_numerics(run.path)}


def _link(source: Path, target: Path) -> None:
    for file in collect_files(source):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # another disk, or a system without links
            shutil.copy2(file, place)
