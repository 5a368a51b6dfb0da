"""How long the missing runs of a table take: by the steps that are done, or by counting operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from usrn_keras.budget import Budget
from usrn_keras.machine.speed import matrix_product_rate
from usrn_keras.runs import BASELINE, USRN, Run
from usrn_keras.stages.dry_run import dry_run
from usrn_keras.tables.family import Family
from usrn_keras.tables.plan import Plan, PlannedRun

# USRN sees a weak and a strong view besides the labelled one, all of them in two branches: 0.87 CPU seconds
# beside 0.19 of the Baseline, MobileNet, 4 + 4 images of 128 x 128, PyTorch.
USRN_PER_BASELINE = 4.6


# Share of the rate of a matrix product that training reaches on a CPU, between the 0.35 of MobileNet and
# the 0.55 of ResNet-50 that were measured (benchmarks/results/train_step.csv).
EFFICIENCY = 0.4


def estimate(plan: Plan, family: Family, jobs: int) -> float:
    """Seconds that the missing runs take, `jobs` at a time; 0 on a GPU before any step is done.

    A stage that several runs share is counted once. Clustering and evaluation are not counted. Steps that
    are done are taken to have shared the machine with as many runs; counted operations keep all of it busy.
    """
    if known := _seconds_per_step(plan.runs, family):
        per_step = {stage: seconds / jobs for stage, seconds in known.items()}
    elif not (per_step := _guess(plan.runs, family)):
        return 0.0
    missing: dict[str, float] = {}
    for planned in plan.runs:
        for stage, steps in planned.steps.items():
            if not any(family.has(other, stage) for other in plan.runs if _shares(planned, other, stage)):
                missing[planned.needs[stage]] = steps * per_step[stage]
    return sum(missing.values())


def _shares(planned: PlannedRun, other: PlannedRun, stage: str) -> bool:
    return planned.needs[stage] == other.needs.get(stage)


def _seconds_per_step(planned: Iterable[PlannedRun], family: Family) -> dict[str, float]:
    """By stage; one that was never trained follows from the other. Empty: neither was."""
    runs = [run for one in planned if (run := family.run(one)) is not None]
    known = {stage: seconds for stage in (BASELINE, USRN) if (seconds := _median_step(runs, stage))}
    if BASELINE in known and USRN not in known:
        known[USRN] = known[BASELINE] * USRN_PER_BASELINE
    if USRN in known and BASELINE not in known:
        known[BASELINE] = known[USRN] / USRN_PER_BASELINE
    return known


def _median_step(runs: Iterable[Run], stage: str) -> float:
    found = [
        record["seconds_per_step"]
        for run in runs
        for record in run.log(stage).records()
        if "seconds_per_step" in record and record["step"] > 1  # the first one compiles
    ]
    return median(found) if found else 0.0


def _guess(runs: Sequence[PlannedRun], family: Family) -> dict[str, float]:
    """From the operations of a step, on a CPU that is found to be as fast as it is."""
    planned = next((run for run in runs if USRN in run.needs), runs[0])
    budget: Budget = dry_run(planned.recipe, family.folder(planned))
    if budget.device.gpu:
        return {}
    rate = EFFICIENCY * matrix_product_rate()
    named = {"Baseline": BASELINE, "USRN": USRN}
    return {named[method]: sum(passes.values()) / rate for method, passes in budget.flops.items()}
