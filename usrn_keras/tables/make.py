"""`usrn table` from top to bottom: plan, say how long, do what is missing, write the table."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.data import load_dataset
from usrn_keras.errors import DataError, RunError
from usrn_keras.files import atomic_path, write_json
from usrn_keras.progress import SILENT, Progress, duration
from usrn_keras.stages.measure import refuse_unmeasurable
from usrn_keras.tables.estimate import estimate
from usrn_keras.tables.execute import execute
from usrn_keras.tables.family import Family
from usrn_keras.tables.gather import gather
from usrn_keras.tables.page import table_page
from usrn_keras.tables.plan import Plan
from usrn_keras.tables.result import TableResult

FILES = ("table.json", "table.md", "table.csv", "index.html")


def make_table(plan: Plan, folder: Path | str, *, jobs: int = 1, progress: Progress = SILENT) -> TableResult:
    """Do the runs of a table that are not done, and write it into `FOLDER/tables/NAME`.

    Interrupted at any moment and called again, it goes on with the runs that were under way. A run that
    fails leaves a gap, and is tried again by the next call.

    Args:
        plan: See `make_plan`.
        folder: Of the family; several tables of one recipe share their runs in it.
        jobs: Runs at a time, each in a process of its own.
        progress: Shows how far each run and the whole is.

    Raises:
        RunError: Another process is at work in the folder, or `jobs` is not positive.
        DataError: A data set cannot be used, or has no images of the split that is measured.
        KeyboardInterrupt: It was interrupted; the runs under way wrote their checkpoints.
    """
    if jobs < 1:
        raise RunError(f"jobs must be at least 1, received {jobs}")
    family = Family(Path(folder))
    refuse_bad_data(plan)
    with family.locked():
        missing = [planned for planned in plan.runs if not family.is_done(planned)]
        if missing:
            progress.log(
                f"{len(plan.runs)} runs, {len(missing)} of them to do; {how_long(plan, family, jobs)}"
            )
        ended = execute(missing, family, jobs=jobs, progress=progress) if missing else {}
        names = {planned.key: planned.name for planned in plan.runs}
        failures = {names[key]: how.failure for key, how in ended.items() if how.failure}
        result = gather(plan, family, failures)
        write_table(result, family)
    return result


def table_folder(plan: Plan, folder: Path | str) -> Path:
    """Where the files of a table lie: `FILES`."""
    return Path(folder) / "tables" / plan.spec.name


def write_table(result: TableResult, family: Family) -> None:
    """Write `FILES` of a table."""
    folder = table_folder(result.plan, family.path)
    write_json(folder / "table.json", result.to_json())
    texts = {
        "table.md": result.markdown() + "\n",
        "table.csv": result.csv(),
        "index.html": table_page(result),
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def refuse_bad_data(plan: Plan) -> None:
    """Raise a `DataError` before anything is trained where a data set of the plan cannot be used."""
    faults, seen = [], set()
    for planned in plan.runs:
        asked = (planned.recipe.data.model_dump_json(), planned.recipe.evaluation.split)
        if asked in seen:
            continue
        seen.add(asked)
        try:
            refuse_unmeasurable(planned.recipe, load_dataset(planned.recipe.data))
        except DataError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        told = list(dict.fromkeys(fault for error in faults for fault in [error.message, *error.faults]))
        raise DataError(
            "nothing was trained: some of the data cannot be used", faults=told, hint=faults[0].hint
        )


def how_long(plan: Plan, family: Family, jobs: int) -> str:
    """What the missing runs of a plan take, in words."""
    seconds = estimate(plan, family) / jobs
    return f"about {duration(seconds)}" if seconds else "how long is not known before the first steps"
