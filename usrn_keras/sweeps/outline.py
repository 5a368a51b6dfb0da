"""The outline of a table for `usrn table --dry-run`: its runs, what is left of each, and the time."""

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
    """The runs of a table before they are done.

    Attributes:
        plan: The plan of the table.
        runs: For each run its name, the rows that it fills, and the stages that are left.
        seconds: Time that is left; 0 where nothing is left or it is unknown.
        duration: The same in words.
        notes: Rows that are left out and runs that are not used, one sentence each.
    """

    plan: Plan
    runs: tuple[tuple[str, str, str], ...]
    seconds: float
    duration: str
    notes: tuple[str, ...]


def make_outline(plan: Plan, folder: Path | str, *, jobs: int = 1, measure: bool = False) -> Outline:
    """List the runs of a table, without starting one.

    Args:
        plan: The plan of the table; see `make_plan`.
        folder: The folder of its runs.
        jobs: Number of runs at a time, which the time depends on.
        measure: Whether to measure steps of stages that were never trained, which may take minutes.

    Raises:
        DataError: A data set of the plan cannot be used.
        RunError: Runs in the folder are of another data set.
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
    seconds, words = 0.0, "nothing is left to do"
    if any(left != "nothing" for *_, left in runs):
        seconds, words = _time(plan, family, jobs, measure)
    return Outline(plan, tuple(runs), seconds, words, tuple(notes))


def _time(plan: Plan, family: Family, jobs: int, measure: bool) -> tuple[float, str]:
    """Seconds that are left, 0 if unknown, and the same in words."""
    try:
        seconds = estimate(plan, family, jobs, measure=measure)
    except (USRNError, WorkerError) as error:  # the run will fail, too, and leave a gap; others do not
        return 0.0, f"the time is unknown: {str(error).splitlines()[0]}"
    return seconds, f"about {duration(seconds)}" if seconds else "the time is unknown before the first steps"
