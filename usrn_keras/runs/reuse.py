"""Reuse of equal stages of other runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from usrn_keras.files import collect_files, staged_path
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.schema import common_sections
from usrn_keras.recipe.stage_plan import Cluster, Label, Stage, Train
from usrn_keras.runs.environment import read_sessions, recorded_numerics
from usrn_keras.runs.run import Run
from usrn_keras.runs.run_folder import FREE_KEYS, LABEL_KEYS, flat_recipe

# Keys that the Baseline does not depend on, in addition to FREE_KEYS and the options of methods. New keys
# are assumed to matter until they are listed here.
_METHOD_KEYS = {
    "network.sharing", "views.scale_unlabelled", "views.strong", "views.jitter_probability",
    "views.grayscale_probability", "views.blur_probability", "training.method", "training.with_usrn",
    "training.usrn_steps",
    "training.usrn_learning_rate", "training.batch_unlabelled", "training.start", "evaluation.diagnosis",
}  # fmt: skip
_CHECKPOINT_KEYS = {"evaluation.every"}  # in FREE_KEYS, but they determine the best weights of a stage


def is_method_key(key: str) -> bool:
    """Whether the Baseline does not depend on a key.

    Args:
        key: Key of the form `section.key`.
    """
    section = key.partition(".")[0]
    return key in _METHOD_KEYS or section == "subclasses" or section not in common_sections()


def is_of_method(recipe: Recipe, stage: Stage) -> bool:
    """Whether a stage depends on the options of the method: all but the Baseline and the subclasses."""
    if isinstance(stage, Train):
        return stage.method == recipe.training.method != "supervised"
    return not isinstance(stage, Cluster)


def stage_key(recipe: Recipe, stage: Stage, *, data: str, backend: str) -> dict[str, Any]:
    """Collect everything that the result of a stage depends on; stages with equal keys are interchangeable.

    Args:
        recipe: Recipe of the run.
        stage: Stage of the run.
        data: Description of images and masks.
        backend: Name of the Keras backend; backends round differently.
    """
    free = FREE_KEYS - _CHECKPOINT_KEYS
    if isinstance(stage, Label) or getattr(stage, "labels", ""):
        free -= LABEL_KEYS
    values = {key: value for key, value in flat_recipe(recipe).items() if key not in free}
    if is_of_method(recipe, stage):
        pass
    elif isinstance(stage, Train):
        values = {key: value for key, value in values.items() if not is_method_key(key)}
    else:
        values = {
            key: value
            for key, value in values.items()
            if key.startswith("subclasses.") or not is_method_key(key)
        }
    return {**values, "data": data, "backend": backend}


def reuse_stages(run: Run, donor: Run) -> Iterator[str]:
    """Reuse each complete stage of `donor` that `run` would compute equally and has not started.

    Files are linked instead of copied if possible, because no file is modified in place.

    Args:
        run: Run that needs the stages; must be locked by this process.
        donor: Run whose complete stages are read.

    Yields:
        Name of each reused stage.
    """
    for stage in _shareable(run):
        if run.is_complete(stage):
            continue
        if run.stage(stage).exists():  # already started; later stages depend on it
            return
        if not _offers(donor, run, stage) or _key(donor, stage) != _key(run, stage):
            return
        run.log(stage).take_over(donor.log(stage))
        with staged_path(run.stage(stage)) as folder:
            _link(donor.stage(stage), folder)
        yield stage


def why_not_reused(run: Run, donors: Sequence[Run]) -> str:
    """Explain why the first incomplete stage was not reused; empty if all stages are complete."""
    stage = next((stage for stage in _shareable(run) if not run.is_complete(stage)), None)
    if stage is None or not donors:
        return ""
    if run.stage(stage).exists():
        return f"{stage}: not reused, because it was already started in this run"
    offering = [donor for donor in donors if _offers(donor, run, stage)]
    if not offering:
        return f"{stage}: not reused, because it is not complete in any of the given runs"
    needed = _key(run, stage)
    nearest = min(offering, key=lambda donor: len(_differences(needed, _key(donor, stage))))
    differences = ", ".join(_differences(needed, _key(nearest, stage)))
    return f"{stage}: not reused from {nearest.path}, which has {differences}"


def _offers(donor: Run, run: Run, stage: str) -> bool:
    """Whether a donor has a complete stage of the same name and kind."""
    return type(donor.plan.get(stage)) is type(run.plan[stage]) and donor.is_complete(stage)


def _shareable(run: Run) -> tuple[str, ...]:
    """Folders of the stages that do not depend on the whole recipe."""
    return tuple(folder for folder, stage in run.plan.items() if not is_of_method(run.recipe, stage))


def _differences(needed: dict[str, Any], offered: dict[str, Any]) -> list[str]:
    return [
        f"{key} = {offered.get(key)!r} instead of {value!r}"
        for key, value in needed.items()
        if offered.get(key) != value
    ]


def _key(run: Run, stage: str) -> dict[str, Any]:
    import keras  # here, so that run folders can be listed without a backend

    backends = {session.backend for session in read_sessions(run.path)}
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
        except OSError:  # another disk, or a file system without links
            shutil.copy2(file, place)
