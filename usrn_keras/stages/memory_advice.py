"""Memory of a training stage: its peak, and an error with advice if it runs out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace

from usrn_keras.backends.device_memory import PeakMemory, training_device
from usrn_keras.budget.step_sizes import StepSizes, settings, smaller_sizes
from usrn_keras.errors import OutOfMemoryError
from usrn_keras.memory_errors import mentions_memory, ran_out_of_memory
from usrn_keras.methods import stages_of
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.stage_plan import Train

MAX_LINE = 300
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def training_stages(recipe: Recipe) -> list[Train]:
    """Training stages of a recipe, in their order."""
    return [stage for stage in stages_of(recipe) if isinstance(stage, Train)]


def step_sizes(recipe: Recipe) -> StepSizes:
    """Sizes of a training step of a recipe; the Baseline alone reads no unlabelled images."""
    training = recipe.training
    unlabelled = training.batch_unlabelled if len(training_stages(recipe)) > 1 else 0
    return StepSizes(training.batch_labelled, unlabelled, recipe.views.crop_size, training.accumulation)


def step_counts(recipe: Recipe) -> dict[str, int]:
    """Recipe keys that set the numbers of training steps, with their values."""
    keys = dict.fromkeys(stage.steps_key for stage in training_stages(recipe))
    return {key: getattr(recipe.training, key.partition(".")[2]) for key in keys}


@contextlib.contextmanager
def memory_watched(recipe: Recipe, stage: str, *, unlabelled: bool) -> Iterator[PeakMemory]:
    """Measure the peak memory of training within this block, and explain a step that does not fit.

    Args:
        recipe: Recipe of the run.
        stage: Name of the stage, for the message.
        unlabelled: Whether the batches of the stage have unlabelled images.

    Yields:
        Peak memory of the block so far.

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    room, memory = training_device().room, PeakMemory()
    try:
        yield memory
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        sizes = step_sizes(recipe)
        shown = sizes if unlabelled else replace(sizes, batch_unlabelled=0)
        used = f"the peak was {_gigabytes(memory.peak())} when it ran out"
        if room is not None:
            used += f"; training could use {_gigabytes(room)} when it began"
        raise OutOfMemoryError(
            f"memory ran out: {stage}, {shown}", errors=[used, _memory_line(error)], hint=_hint(sizes, recipe)
        ) from error


def _memory_line(error: BaseException) -> str:
    """The line of an error that mentions memory, or its first line; Keras adds long explanations."""
    lines = COLOURS.sub("", str(error)).strip().splitlines() or [""]
    line = next(filter(mentions_memory, lines), lines[0])
    return f"{type(error).__name__}: {line[:MAX_LINE]}" if line else type(error).__name__


def _hint(sizes: StepSizes, recipe: Recipe) -> str:
    smaller = smaller_sizes(sizes, lambda tried: True)
    changed = settings(sizes, smaller, step_counts(recipe)) if smaller else ["network.backbone=SMALLER"]
    options = " ".join(f"--set {setting}" for setting in changed)
    return (
        "With more memory free, run the same command again to resume from the last checkpoint. Or start a "
        f"new run with a smaller step: {options} --run FOLDER. `usrn fit RECIPE --dry-run` shows what fits."
    )


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.2f} GB"
