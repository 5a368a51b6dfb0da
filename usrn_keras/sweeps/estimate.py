"""How long the missing runs of a table take: by the steps that are done, or by counting operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from usrn_keras.budget import Budget
from usrn_keras.machine import matrix_product_rate
from usrn_keras.runs import BASELINE, USRN, Run
from usrn_keras.stages.dry_run import dry_run
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan, PlannedRun

# Share of the rate of a matrix product that training reaches on a CPU, between the 0.35 of MobileNet and
# the 0.55 of ResNet-50 that were measured (benchmarks/results/train_step.csv).
EFFICIENCY = 0.4
STAGE_OF = {"Baseline": BASELINE, "USRN": USRN}


def estimate(plan: Plan, family: Family, jobs: int) -> float:
    """Seconds that the missing runs take, `jobs` at a time; 0 on a GPU before any step is done.

    A stage that several runs share is counted once. Clustering and evaluation are not counted. Steps that
    are done are taken to have shared the machine with as many runs; counted operations keep all of it busy.
    """
    per_step = _seconds_per_step(plan.runs, family, jobs)
    if not per_step:
        return 0.0
    missing: dict[str, float] = {}
    for planned in plan.runs:
        for stage, steps in planned.steps.items():
            if not any(family.has(other, stage) for other in plan.runs if _shares(planned, other, stage)):
                missing[planned.needs[stage]] = steps * per_step[stage]
    return sum(missing.values())


def _shares(planned: PlannedRun, other: PlannedRun, stage: str) -> bool:
    return planned.needs[stage] == other.needs.get(stage)


def _seconds_per_step(planned: Sequence[PlannedRun], family: Family, jobs: int) -> dict[str, float]:
    """By stage: as measured; one that was never trained as its operations are to those of the other."""
    runs = [run for one in planned if (run := family.run(one)) is not None]
    known = {stage: seconds / jobs for stage in (BASELINE, USRN) if (seconds := _median_step(runs, stage))}
    if all(stage in known for one in planned for stage in one.steps):
        return known
    budget = _budget(planned, family)
    operations = {STAGE_OF[name]: sum(passes.values()) for name, passes in budget.flops.items()}
    if known:
        seconds = sum(known.values()) / sum(operations[stage] for stage in known)
    elif budget.device.gpu:
        return {}
    else:
        seconds = 1 / (EFFICIENCY * matrix_product_rate())
    return {stage: count * seconds for stage, count in operations.items()} | known


def _median_step(runs: Iterable[Run], stage: str) -> float:
    found = [
        record["seconds_per_step"]
        for run in runs
        for record in run.log(stage).records()
        if "seconds_per_step" in record and record["step"] > 1  # the first one compiles
    ]
    return median(found) if found else 0.0


def _budget(runs: Sequence[PlannedRun], family: Family) -> Budget:
    """Of a run that has both stages, if there is one."""
    planned = next((run for run in runs if USRN in run.needs), runs[0])
    return dry_run(planned.recipe, family.folder(planned))
