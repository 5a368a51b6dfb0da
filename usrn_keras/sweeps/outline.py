"""Outline of a table for `usrn table --dry-run`: runs, missing stages and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median

from usrn_keras.errors import USRNError
from usrn_keras.progress import duration
from usrn_keras.stages.dry_run import dry_run
from usrn_keras.sweeps.data_check import check_data
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan, PlannedRun
from usrn_keras.worker import WorkerError


@dataclass(frozen=True)
class Outline:
    """Runs and remaining work of a table.

    Attributes:
        plan: Plan of the table.
        runs: Name, rows and missing stages of each run.
        seconds: Remaining time in seconds; 0 if nothing is missing, or the time is unknown.
        duration: Remaining time in words.
        notes: Omitted rows and unused runs, one sentence each.
    """

    plan: Plan
    runs: tuple[tuple[str, str, str], ...]
    seconds: float
    duration: str
    notes: tuple[str, ...]


def make_outline(plan: Plan, folder: Path | str, *, jobs: int = 1, measure: bool = False) -> Outline:
    """List the runs of a table without starting them.

    Args:
        plan: Plan of the table; see `make_plan`.
        folder: Folder of its runs.
        jobs: Number of parallel runs, which affects the time.
        measure: Whether to measure steps of stages that were never trained, which may take minutes.

    Raises:
        DataError: If a data set of the plan cannot be used.
        RunError: If runs in the folder use another data set.
    """
    notes: list[str] = []
    family, runs = Family(Path(folder)), []
    plan = check_data(plan, family, notes.append)
    promised = {run.needs[stage] for run in plan.runs for stage in run.needs if family.has(run, stage)}
    for planned in plan.runs:
        left = []
        for stage, key in planned.needs.items():
            if not family.has(planned, stage):
                left.append(f"{stage} (shared)" if key in promised else stage)
                promised.add(key)
        rows = dict.fromkeys(cell.row for cell in plan.cells if cell.run.key == planned.key)
        runs.append((planned.name, ", ".join(rows), ", ".join(left) or "nothing"))
    notes += family.notes()
    seconds, words = 0.0, "all runs are complete"
    if any(left != "nothing" for *_, left in runs):
        try:
            seconds = estimate(plan, family, jobs, measure=measure)
            words = f"about {duration(seconds)}" if seconds else "the time is unknown before the first steps"
        except (USRNError, WorkerError) as error:  # the run will fail as well and leave a gap
            words = f"the time is unknown: {str(error).splitlines()[0]}"
    return Outline(plan, tuple(runs), seconds, words, tuple(notes))


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
    stages = {(stage, run.needs[stage]): run for run in plan.runs for stage in run.steps}
    done = {(stage, run.needs[stage]) for run in plan.runs for stage in run.steps if family.has(run, stage)}
    missing = (
        run.steps[stage] * per_step.get(stage, nan)
        for (stage, key), run in stages.items()
        if (stage, key) not in done
    )
    seconds = sum(missing)
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
