"""How long the missing runs of a table take: from the steps that are done, or from counted operations."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from usrn_keras.machine import matrix_product_rate
from usrn_keras.progress import duration
from usrn_keras.stages.dry_run import dry_run
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan, PlannedRun

# Share of the rate of a matrix product that training reaches on a CPU, between the 0.35 of MobileNet and
# the 0.55 of ResNet-50 that were measured (benchmarks/results/train_step.csv).
EFFICIENCY = 0.4


def estimate(plan: Plan, family: Family, jobs: int) -> float:
    """Seconds that the missing runs take, `jobs` at a time; 0 on a GPU before any step is done.

    A stage that several runs share counts once. Clustering and evaluation are not counted. Steps that are
    done are assumed to have shared the machine with as many runs; counted operations keep all of it busy.
    """
    per_step = _seconds_per_step(plan.runs, family, jobs)
    if not per_step:
        return 0.0
    missing, done = {}, set()
    for planned in plan.runs:
        for stage, steps in planned.steps.items():
            missing[stage, planned.needs[stage]] = steps * per_step[stage]
            if family.has(planned, stage):
                done.add((stage, planned.needs[stage]))
    return sum(seconds for stage, seconds in missing.items() if stage not in done)


def in_words(seconds: float) -> str:
    """An `estimate` in words."""
    return f"about {duration(seconds)}" if seconds else "the time is not known before the first steps"


def _seconds_per_step(runs: Sequence[PlannedRun], family: Family, jobs: int) -> dict[str, float]:
    """By training stage: as measured; a stage that was never trained in proportion to its operations."""
    stages = {stage: planned for planned in runs for stage in planned.steps}
    known = {stage: seconds / jobs for stage in stages if (seconds := _median_step(runs, family, stage))}
    operations: dict[str, int] = {}
    gpu = False
    for stage, planned in stages.items():
        if stage not in known and stage not in operations:
            budget = dry_run(planned.recipe, family.folder(planned))
            counts = [sum(passes.values()) for passes in budget.flops.values()]  # in the order of training
            operations |= dict(zip(planned.steps, counts, strict=True))
            gpu = budget.device.gpu
    if measured := [stage for stage in known if stage in operations]:
        seconds = sum(known[stage] for stage in measured) / sum(operations[stage] for stage in measured)
    elif gpu:
        return {}
    else:
        seconds = 1 / (EFFICIENCY * matrix_product_rate())
    return {stage: count * seconds for stage, count in operations.items()} | known


def _median_step(planned: Sequence[PlannedRun], family: Family, stage: str) -> float:
    found = [
        record["seconds_per_step"]
        for run in map(family.run, planned)
        if run is not None
        for record in run.log(stage).records()
        if "seconds_per_step" in record and record["step"] > 1  # the first one compiles
    ]
    return median(found) if found else 0.0
