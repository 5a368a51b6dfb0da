"""What training a recipe takes: `usrn fit --dry-run` reports a `Budget`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from usrn_keras.budget.extrapolation import Extrapolation, MeasuredStep
from usrn_keras.budget.step_sizes import StepSizes, settings, smaller_sizes

FACTORS = (0.25, 0.5, 1, 2, 4)  # batches of the table, as multiples of those of the recipe


@dataclass(frozen=True)
class DataFacts:
    """What is known of a recipe's data before training.

    Args:
        name: Name of the recipe.
        images: Number of images of each list; empty if the data set is missing.
        classes: Number of classes.
        classes_from: Source of that number.
        subclasses: Number of subclasses, K.
        subclasses_from: Source of that number.
        notes: Missing facts, and what is assumed instead.
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
        sizes: Of the step.
        peak: Predicted peak memory in bytes; None if unknown.
        seconds: Predicted time; None if unknown.
        fits: Whether it fits into memory; None if unknown.
    """

    sizes: StepSizes
    peak: float | None
    seconds: float | None
    fits: bool | None


@dataclass(frozen=True)
class Budget:
    """What training a recipe takes on this machine.

    Args:
        facts: What is known of the data.
        device: Device that trains: `backend`, `gpu`, and `room`, the bytes that training can use or None.
        sizes: Of a step, as in the recipe.
        parts: Rows `network, branch, part, shape, trained, not_trained`: the output shape
            `(height, width, channels)` of one image and the number of parameters of each part; those that
            are not trained are fixed, or moving statistics.
        flops: Operations of a step of each training stage, by view.
        stage: The training stage that was measured, the one with the most operations.
        measured: The measured steps of that stage.
        failed: Sizes that ran out of memory when they were measured, or None.
        peak: Predicted peak memory in bytes of a step of the recipe; None if unknown.
        seconds: Predicted seconds of a step of each training stage: that of stages that were not measured by
            their operations. Empty if unknown.
        hours: Predicted time of all training steps; None if unknown. Clustering and evaluation are not in it.
        table: Other batches.
        fits: Whether the recipe fits into memory; None if unknown.
        advice: Values of `--set` that make it fit; empty if it fits, or if no smaller step is known to fit.
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
        facts: What is known of the data.
        network: `device`, `parts`, `flops` and `stage` of the budget.
        found: Extrapolation of the measured steps.
        sizes: Of a step, as in the recipe.
        steps: Number of steps of each training stage.
        step_keys: Recipe keys that count steps, and their values.
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
