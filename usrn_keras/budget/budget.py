"""Memory and time of training a recipe, as reported by `usrn fit --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from usrn_keras.budget.extrapolation import Extrapolation, MeasuredStep
from usrn_keras.budget.step_sizes import StepSizes, settings, smaller_sizes

FACTORS = (0.25, 0.5, 1, 2, 4)  # batches in the table, as multiples of the recipe's batch


@dataclass(frozen=True)
class DataFacts:
    """Facts about the data of a recipe before training.

    Args:
        name: Name of the recipe.
        images: Number of images of each list; empty if the data set is missing.
        classes: Number of classes.
        classes_from: Source of the number of classes.
        subclasses: Number of subclasses K.
        subclasses_from: Source of the number of subclasses.
        notes: Missing facts, and the assumptions made instead.
    """

    name: str
    images: dict[str, int]
    classes: int
    classes_from: str
    subclasses: int
    subclasses_from: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchRow:
    """A row of the table of batches.

    Args:
        sizes: Sizes of the step.
        peak: Predicted peak memory in bytes; None if unknown.
        seconds: Predicted time of a step in seconds; None if unknown.
        fits: Whether the step fits into memory; None if unknown.
    """

    sizes: StepSizes
    peak: float | None
    seconds: float | None
    fits: bool | None


@dataclass(frozen=True)
class Budget:
    """Memory and time of training a recipe on this machine.

    Args:
        facts: Facts about the data.
        device: Training device: `backend`, `gpu`, and `room`, the available bytes or None.
        sizes: Sizes of a step of the recipe.
        parts: Parts of the network as rows `network, branch, part, shape, trained, not_trained`: output shape
            `(height, width, channels)` for one image, and numbers of parameters; parameters that are not
            trained are fixed, or moving statistics.
        flops: Operations of a step of each training stage, by view.
        stage: Measured training stage, the one with the most operations.
        measured: Measured steps of that stage.
        failed: Sizes of the step that ran out of memory when measured, or None.
        peak: Predicted peak memory in bytes of a step of the recipe; None if unknown.
        seconds: Predicted seconds of a step of each training stage, scaled by operations for stages that were
            not measured. Empty if unknown.
        hours: Predicted hours of all training steps, without clustering and evaluation; None if unknown.
        table: Predictions for other batches.
        fits: Whether the recipe fits into memory; None if unknown.
        advice: Values of `--set` that make the recipe fit; empty if it fits, or if no smaller step fits.
    """

    facts: DataFacts
    device: dict[str, Any]
    sizes: StepSizes
    parts: tuple[dict[str, Any], ...]
    flops: dict[str, dict[str, int]]
    stage: str
    measured: tuple[MeasuredStep, ...]
    failed: StepSizes | None
    peak: float | None
    seconds: dict[str, float]
    hours: float | None
    table: tuple[BatchRow, ...]
    fits: bool | None
    advice: tuple[str, ...]


def make_budget(
    facts: DataFacts,
    network: Mapping[str, Any],
    found: Extrapolation,
    sizes: StepSizes,
    *,
    steps: Mapping[str, int],
    step_keys: dict[str, int],
) -> Budget:
    """Extrapolate measured steps to a recipe.

    Args:
        facts: Facts about the data.
        network: Values of `device`, `parts`, `flops` and `stage` of the budget.
        found: Extrapolation of the measured steps.
        sizes: Sizes of a step of the recipe.
        steps: Number of steps of each training stage.
        step_keys: Recipe keys that set numbers of steps, with their values.
    """
    step_seconds = found.seconds(sizes)
    operations = {stage: sum(views.values()) for stage, views in network["flops"].items()}
    seconds = {}
    if step_seconds is not None:
        of_one = step_seconds / operations[network["stage"]]
        seconds = {stage: count * of_one for stage, count in operations.items()}
    fits = found.fits(sizes)
    fitting = smaller_sizes(sizes, lambda tried: found.fits(tried) is True) if fits is False else None
    batches = dict.fromkeys(sizes.times(factor) for factor in FACTORS)
    return Budget(
        facts,
        sizes=sizes,
        measured=tuple(found.steps),
        failed=found.failed,
        peak=found.peak(sizes),
        seconds=seconds,
        hours=sum(steps[stage] * seconds[stage] for stage in steps) / 3600 if seconds else None,
        table=tuple(BatchRow(one, found.peak(one), found.seconds(one), found.fits(one)) for one in batches),
        fits=fits,
        advice=tuple(settings(sizes, fitting, step_keys)) if fitting else (),
        **network,
    )
