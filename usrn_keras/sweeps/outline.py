"""Outline of a table for `usrn table --dry-run`: runs, missing stages and time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from usrn_keras.errors import USRNError
from usrn_keras.progress import duration
from usrn_keras.sweeps.data_check import check_data
from usrn_keras.sweeps.estimate import estimate
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan
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
        seconds, words = _time(plan, family, jobs, measure)
    return Outline(plan, tuple(runs), seconds, words, tuple(notes))


def _time(plan: Plan, family: Family, jobs: int, measure: bool) -> tuple[float, str]:
    """Return the remaining seconds, 0 if unknown, and the same in words."""
    try:
        seconds = estimate(plan, family, jobs, measure=measure)
    except (USRNError, WorkerError) as error:  # the run will fail as well and leave a gap
        return 0.0, f"the time is unknown: {str(error).splitlines()[0]}"
    return seconds, f"about {duration(seconds)}" if seconds else "the time is unknown before the first steps"
