"""Memory of a training stage: what is likely to be too much is said before, what was too much, after."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from usrn_keras.backends.peak_memory import PeakMemory
from usrn_keras.budget import Estimate, Sizes, memory_errors, process_without, settings, this_device
from usrn_keras.budget.tables import gigabytes
from usrn_keras.methods import USRN, Supervised
from usrn_keras.recipe import Recipe


def step_sizes(recipe: Recipe) -> Sizes:
    """What a step of a recipe takes in; a Baseline that nothing comes after takes no unlabelled images."""
    training = recipe.training
    unlabelled = 0 if training.method == "supervised" else training.batch_unlabelled
    return Sizes(training.batch_labelled, unlabelled, recipe.views.crop_size, training.accumulation)


def step_counts(recipe: Recipe) -> dict[str, int]:
    """The keys of a recipe that count steps, and their values."""
    return {f"training.{name}": getattr(recipe.training, name) for name in ("baseline_steps", "usrn_steps")}


@contextlib.contextmanager
def memory_watched(
    recipe: Recipe, stage: str, model: Supervised | USRN, log: Callable[[str], None]
) -> Iterator[PeakMemory]:
    """Training within this block is warned of a step that is too large, and a step that was is explained.

    Args:
        recipe: The recipe of the run.
        stage: Its name.
        model: What is trained.
        log: Told the warning: a system that ends a process for its memory gives it no time to say why.

    Yields:
        The most memory that the block has taken up to now.

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    sizes = step_sizes(recipe)
    estimate = Estimate(model, this_device(), process=process_without(model))
    if isinstance(model, USRN):
        doing = f"{stage}, {sizes} and {len(model.parents)} subclasses"
    else:
        doing = f"{stage}, {replace(sizes, batch_unlabelled=0)}"
    needs = f"a step needs about {gigabytes(estimate.memory(sizes).peak)}"
    if estimate.device.room is not None:
        needs += f", there were {gigabytes(estimate.device.room)}"
    if not estimate.fits(sizes):
        log(f"{doing}: {needs}. {_what_fits(estimate, sizes, recipe)}")
    with memory_errors(doing, needs=needs, hint=lambda: _hint(estimate, sizes, recipe)):
        yield PeakMemory()


def _hint(estimate: Estimate, sizes: Sizes, recipe: Recipe) -> str:
    return (
        "With more memory free, the same command goes on: what is complete and the last checkpoint stay. "
        + _what_fits(estimate, sizes, recipe)
    )


def _what_fits(estimate: Estimate, sizes: Sizes, recipe: Recipe) -> str:
    fitting = estimate.smaller(sizes)
    if fitting is None:
        return "No smaller step is known to fit; see `usrn fit RECIPE --dry-run`."
    options = " ".join(f"--set {setting}" for setting in settings(sizes, fitting, step_counts(recipe)))
    return f"A new run with this would fit: {options} --run FOLDER (`usrn fit RECIPE --dry-run` shows more)."
