"""Estimate the time of the missing runs of a table from completed or newly measured steps."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from usrn_keras.stages.dry_run import dry_run
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan, PlannedRun


def estimate(plan: Plan, family: Family, jobs: int, *, measure: bool) -> float:
    """Estimate the seconds of the missing runs of a table; 0 if unknown.

    A stage shared by several runs is counted once. Clustering and evaluation are not included.

    Args:
        plan: Plan of the table.
        family: Folder of its runs.
        jobs: Number of parallel runs. Completed steps are assumed to have shared the machine with as many
            runs; a single run is assumed to use the whole machine.
        measure: Whether to measure steps of stages that were never trained, which may take minutes.

    Raises:
        USRNError, WorkerError: If a step cannot be measured.
    """
    per_step = _seconds_per_step(plan.runs, family, jobs, measure)
    missing, done = {}, set()
    for planned in plan.runs:
        for stage, steps in planned.steps.items():
            key = (stage, planned.needs[stage])
            missing[key] = steps * per_step.get(stage, float("nan"))
            if family.has(planned, stage):
                done.add(key)
    seconds = sum(seconds for key, seconds in missing.items() if key not in done)
    return seconds if seconds > 0 else 0.0  # not-a-number if a step is unknown


def _seconds_per_step(
    runs: Sequence[PlannedRun], family: Family, jobs: int, measure: bool
) -> dict[str, float]:
    """Return the seconds per step by training stage, without unknown stages."""
    stages = {stage: planned for planned in runs for stage in planned.steps}
    known = {stage: seconds / jobs for stage in stages if (seconds := _median_step(runs, family, stage))}
    for stage, planned in stages.items():
        if measure and stage not in known:
            seconds = dry_run(planned.recipe, family.folder(planned)).seconds  # in the order of training
            known = dict(zip(planned.steps, seconds.values(), strict=bool(seconds))) | known
    return known


def _median_step(planned: Sequence[PlannedRun], family: Family, stage: str) -> float:
    found = [
        record["seconds_per_step"]
        for run in map(family.run, planned)
        if run is not None
        for record in run.log(stage).records()
        if "seconds_per_step" in record and record["step"] > 1  # the first one compiles
    ]
    return median(found) if found else 0.0
