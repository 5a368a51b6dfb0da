"""How long the missing runs of a table take: from the steps that are done, or from measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from usrn_keras.progress import duration
from usrn_keras.stages.dry_run import dry_run
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan, PlannedRun


def estimate(plan: Plan, family: Family, jobs: int) -> float:
    """Seconds that the missing runs take, `jobs` at a time; 0 where a step does not fit into memory.

    A stage that several runs share counts once. Clustering and evaluation are not counted. Steps that are
    done are assumed to have shared the machine with as many runs; a dry run has all of it for itself.
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
    """By training stage: as its runs took, or where it was never trained as a dry run measures it.

    Where other stages were trained, the dry run gives the ratio to these. Empty if it measures nothing.
    """
    stages = {stage: planned for planned in runs for stage in planned.steps}
    known = {stage: seconds / jobs for stage in stages if (seconds := _median_step(runs, family, stage))}
    measured: dict[str, float] = {}
    for stage, planned in stages.items():
        if stage not in known and stage not in measured:
            budget = dry_run(planned.recipe, family.folder(planned))
            if not budget.seconds:
                return {}
            measured |= dict(zip(planned.steps, budget.seconds.values(), strict=True))
    both = [stage for stage in known if stage in measured]
    scale = sum(known[stage] for stage in both) / sum(measured[stage] for stage in both) if both else 1.0
    return {stage: seconds * scale for stage, seconds in measured.items()} | known


def _median_step(planned: Sequence[PlannedRun], family: Family, stage: str) -> float:
    found = [
        record["seconds_per_step"]
        for run in map(family.run, planned)
        if run is not None
        for record in run.log(stage).records()
        if "seconds_per_step" in record and record["step"] > 1  # the first one compiles
    ]
    return median(found) if found else 0.0
