"""Check that the data sets of a plan can be used, and match those of existing runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.errors import DataError, RunError
from usrn_keras.recipe import Recipe
from usrn_keras.runs.identity import changes
from usrn_keras.stages.preflight import validate_evaluation
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan, PlannedRun
from usrn_keras.sweeps.spec import Row


def check_data(plan: Plan, family: Family, log: Callable[[str], None] = lambda line: None) -> Plan:
    """Check the data sets; return the plan without unusable optional rows, with `contents` of each run.

    Args:
        plan: Plan of a table.
        family: Folder of its runs.
        log: Function called with a line for each omitted row.

    Raises:
        DataError: If the data set of a required row cannot be used.
        RunError: If existing runs use other images, masks or classes.
    """
    datasets: dict[str, Dataset] = {}
    left_out = set()
    for row in plan.spec.rows:
        try:
            for data, recipe in _data_of(plan, row).items():
                if data not in datasets:
                    datasets[data] = load_dataset(recipe.data)
                validate_evaluation(recipe, datasets[data])
        except DataError as error:
            if not row.optional:
                raise
            left_out.add(row.name)
            log(f"{row.name} is left out: {'; '.join(error.errors) or error.message}")
    plan = plan.without(left_out)
    _validate_data(plan, family, datasets)
    return _with_contents(plan, datasets)


def _data_of(plan: Plan, row: Row) -> dict[str, Recipe]:
    """Return one recipe for each different data set of a row."""
    recipes = [cell.run.recipe for cell in plan.cells if cell.row == row.name]
    return {recipe.data.model_dump_json(): recipe for recipe in recipes}


def _validate_data(plan: Plan, family: Family, datasets: Mapping[str, Dataset]) -> None:
    """Compare the data sets of existing runs with the current ones; run keys do not include them."""
    found = []
    for planned in plan.runs:
        if run := family.run(planned):
            differences = changes(run.data, datasets[planned.recipe.data.model_dump_json()], run.fixed_lists)
            found += [f"{run.path.name}: {'; '.join(differences)}"] * bool(differences)
    if found:
        raise RunError(
            f"{family.path} contains runs of another data set",
            errors=found,
            hint="Choose another folder with --folder FOLDER, restore the data set, or delete these runs.",
        )


def _with_contents(plan: Plan, datasets: Mapping[str, Dataset]) -> Plan:
    """Add the evaluated contents to each run, so that scores on changed masks are not reused."""

    @cache
    def contents(data: str, split: str) -> str:
        return datasets[data].contents(split)

    def known(run: PlannedRun) -> PlannedRun:
        return replace(run, contents=contents(run.recipe.data.model_dump_json(), run.recipe.evaluation.split))

    return replace(plan, cells=tuple(replace(cell, run=known(cell.run)) for cell in plan.cells))
