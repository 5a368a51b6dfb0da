"""`usrn table` from top to bottom: plan, say how long, do what is missing, write the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.errors import DataError, RunError
from usrn_keras.files import atomic_path, write_json
from usrn_keras.progress import SILENT, Progress, duration
from usrn_keras.recipe import Recipe
from usrn_keras.runs.identity import changes
from usrn_keras.stages.beforehand import refuse_unmeasurable
from usrn_keras.sweeps.estimate import estimate
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.gather import gather
from usrn_keras.sweeps.plan import Plan, PlannedRun
from usrn_keras.sweeps.result import TableResult
from usrn_keras.sweeps.run_all import execute
from usrn_keras.sweeps.spec import Row
from usrn_keras.sweeps.table_page import table_page

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
        RunError: Another process is at work in the folder, its runs are of another data set, or `jobs` is
            not positive.
        DataError: A data set cannot be used, or has no images of the split that is measured.
        KeyboardInterrupt: It was interrupted; the runs under way wrote their checkpoints.
    """
    if jobs < 1:
        raise RunError(f"jobs must be at least 1, received {jobs}")
    family = Family(Path(folder))
    plan = with_data(plan, family, progress.log)
    with family.locked():
        missing = [planned for planned in plan.runs if not family.is_done(planned)]
        if missing:
            seconds = estimate(plan, family, jobs)
            progress.log(f"{len(plan.runs)} runs, {len(missing)} of them to do; {in_words(seconds)}")
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


def with_data(plan: Plan, family: Family, log: Callable[[str], None] = lambda line: None) -> Plan:
    """The plan without the optional rows that the data set cannot be used for, which `log` is told.

    Raises:
        DataError: Another row cannot be trained or measured. Nothing is trained before.
        RunError: Runs of the family are of other images, masks or classes.
    """
    refused, faults = set(), []
    known: dict[str, Dataset] = {}
    for row in plan.spec.rows:
        try:
            for data, recipe in _data_of(plan, row).items():
                if data not in known:
                    known[data] = load_dataset(recipe.data)
                refuse_unmeasurable(recipe, known[data])
        except DataError as error:
            if row.optional:
                log(f"{row.name} is left out: {'; '.join(error.faults) or error.message}")
                refused.add(row.name)
            else:
                faults.append(error)
    if faults:
        raise faults[0]  # the others have the same data set
    plan = plan.without(refused)
    _refuse_other_data(plan, family, known)
    return _with_contents(plan, known)


def _with_contents(plan: Plan, datasets: Mapping[str, Dataset]) -> Plan:
    """The plan with what each run is measured on, so that a mended mask is measured anew."""

    @cache
    def contents(data: str, split: str) -> str:
        return datasets[data].contents(split)

    def known(run: PlannedRun) -> PlannedRun:
        return replace(run, contents=contents(run.recipe.data.model_dump_json(), run.recipe.evaluation.split))

    return replace(plan, cells=tuple(replace(cell, run=known(cell.run)) for cell in plan.cells))


def _refuse_other_data(plan: Plan, family: Family, datasets: Mapping[str, Dataset]) -> None:
    """What a run computes is planned by the recipe alone: this holds its data set against that of today."""
    faults = []
    for planned in plan.runs:
        if run := family.run(planned):
            found = changes(run.data, datasets[planned.recipe.data.model_dump_json()], run.learnt_from)
            faults += [f"{run.path.name}: {'; '.join(found)}"] * bool(found)
    if faults:
        raise RunError(
            f"{family.path} has runs of another data set",
            faults=faults,
            hint="Choose another folder: --folder FOLDER. Or restore the data set, or remove these runs.",
        )


def _data_of(plan: Plan, row: Row) -> dict[str, Recipe]:
    """A recipe for each different data set of a row."""
    recipes = [cell.run.recipe for cell in plan.cells if cell.row == row.name]
    return {recipe.data.model_dump_json(): recipe for recipe in recipes}


def in_words(seconds: float) -> str:
    """How long the missing runs of a plan take, of what `estimate` gave."""
    return f"about {duration(seconds)}" if seconds else "how long is not known before the first steps"
