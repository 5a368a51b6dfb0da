"""Equal computation: the steps of each row that cost what the recipe's own method costs."""

from __future__ import annotations

from collections.abc import Mapping

from usrn_keras.recipe import Recipe
from usrn_keras.stages.memory_advice import training_stages
from usrn_keras.stages.step_operations import TrainingOperations, operations_of_training


def steps_of_equal_compute(
    rows: Mapping[tuple[str, str], Recipe], bases: Mapping[str, Recipe]
) -> dict[tuple[str, str], int]:
    """Compute the value of `training.usrn_steps` of each row.

    The operations of all training steps after the Baseline become those of the recipe of the split. A row
    that trains the Baseline alone has no such steps and is left out.

    Args:
        rows: Recipe of each row and split.
        bases: Recipe of each split, whose method sets the operations.

    Raises:
        USRNError: A network cannot be built.
    """
    counted = {place: recipe for place, recipe in rows.items() if len(training_stages(recipe)) > 1}
    found = operations_of_training([*bases.values(), *counted.values()])
    allowed = {split: sum(operations) for split, operations in zip(bases, found, strict=False)}
    operations = dict(zip(counted, found[len(bases) :], strict=True))
    return {
        (row, split): _steps(recipe.training.usrn_steps, operations[row, split], allowed[split])
        for (row, split), recipe in counted.items()
        if allowed[split] > 0
    }


def _steps(steps: int, operations: TrainingOperations, allowed: int) -> int:
    """The number of steps of the method that brings all operations to what is allowed; at least 1."""
    return max(1, round(steps * (allowed - operations.other) / operations.method))


def equal_compute_notes(steps: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
    """Say which steps were chosen, in one sentence; none where nothing was.

    Example:

    >>> equal_compute_notes({("CPS", "1_16"): 500, ("USRN", "1_16"): 800})
    ('Equal operations after the Baseline; training.usrn_steps: CPS 1/16 500, USRN 1/16 800.',)
    """
    if not steps:
        return ()
    named = (
        " ".join(filter(None, (row, split.replace("_", "/"), str(count))))
        for (row, split), count in steps.items()
    )
    return (f"Equal operations after the Baseline; training.usrn_steps: {', '.join(named)}.",)
