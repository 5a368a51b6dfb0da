"""Memory of a training stage: its peak, and an explanation if it runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from usrn_keras.backends.device_memory import PeakMemory, training_device
from usrn_keras.budget.out_of_memory import memory_errors
from usrn_keras.budget.step_sizes import StepSizes, settings, smaller_sizes
from usrn_keras.methods import stages_of
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.stage_plan import Train


def step_sizes(recipe: Recipe) -> StepSizes:
    """The images of a training step of a recipe; the Baseline alone reads no unlabelled images."""
    training = recipe.training
    unlabelled = training.batch_unlabelled if len(_training_stages(recipe)) > 1 else 0
    return StepSizes(training.batch_labelled, unlabelled, recipe.views.crop_size, training.accumulation)


def _training_stages(recipe: Recipe) -> list[Train]:
    return [stage for stage in stages_of(recipe) if isinstance(stage, Train)]


def step_counts(recipe: Recipe) -> dict[str, int]:
    """Recipe keys that count the steps of its stages, and their values."""
    return {stage.steps_key: stage.steps for stage in _training_stages(recipe)}


@contextlib.contextmanager
def memory_watched(recipe: Recipe, stage: str, *, unlabelled: bool) -> Iterator[PeakMemory]:
    """Measure the peak memory of training within this block, and explain a step that does not fit.

    Args:
        recipe: The recipe of the run.
        stage: Name of the stage, for the message.
        unlabelled: Whether its batches have unlabelled images.

    Yields:
        The peak memory of the block up to now.

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    asked = step_sizes(recipe)
    shown = asked if unlabelled else replace(asked, batch_unlabelled=0)
    room, memory = training_device().room, PeakMemory()

    def figures() -> str:
        used = f"the peak was {_gigabytes(memory.peak())} when it ran out"
        return used if room is None else f"{used}; training could use {_gigabytes(room)} when it began"

    with memory_errors(f"{stage}, {shown}", figures, _hint(asked, recipe)):
        yield memory


def _hint(asked: StepSizes, recipe: Recipe) -> str:
    """Resume, or half the batch with twice the accumulation; the crop is smaller where that is impossible."""
    smaller = smaller_sizes(asked, lambda sizes: True)
    changed = settings(asked, smaller, step_counts(recipe)) if smaller else ["network.backbone=SMALLER"]
    options = " ".join(f"--set {setting}" for setting in changed)
    return (
        "With more memory free, run the same command again to resume from the last checkpoint. Or start a "
        f"new run with a smaller step: {options} --run FOLDER. `usrn fit RECIPE --dry-run` shows what fits."
    )


def _gigabytes(number: int | None) -> str:
    return "unknown" if number is None else f"{number / 1e9:.2f} GB"
