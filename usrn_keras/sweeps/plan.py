"""From a table and a recipe to the runs that fill it: one for each recipe that differs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import tomli_w

from usrn_keras._version import NUMERICS
from usrn_keras.data.formats.lists import shipped_splits, split_names
from usrn_keras.errors import RecipeError, RunError
from usrn_keras.methods import find_method, stages_of
from usrn_keras.recipe import Recipe, load_recipe, shipped_recipes
from usrn_keras.recipe.method_options import METHOD_OPTIONS
from usrn_keras.recipe.schema import TrainingSection, options_section
from usrn_keras.recipe.shipped import RECIPES
from usrn_keras.recipe.stage_plan import Train, stage_folders
from usrn_keras.runs.reuse import stage_key
from usrn_keras.runs.run_folder import FREE_KEYS, LABEL_KEYS
from usrn_keras.sweeps.equal_compute import equal_compute_notes, steps_of_equal_compute
from usrn_keras.sweeps.spec import Row, TableSpec

Equal = Literal["steps", "compute"]


@dataclass(frozen=True)
class PlannedRun:
    """A run that a table needs.

    Attributes:
        recipe: The resolved recipe.
        key: Hash of all that its result depends on, 8 hexadecimal digits.
        name: Name of its folder.
        needs: Key of each of its stages, in their order; runs share stages with equal keys.
        steps: Number of steps of each of its training stages, in their order.
        contents: `Dataset.contents` of the images it is measured on; "" before the data set is read.
    """

    recipe: Recipe
    key: str
    name: str
    needs: Mapping[str, str]
    steps: Mapping[str, int]
    contents: str = ""

    @property
    def model(self) -> str:
        """Name of its last model, whose scores fill the cell."""
        return [*self.needs][-1].partition("-")[2]  # of 3-METHOD


@dataclass(frozen=True)
class Cell:
    """One row, split and seed of a table, and the run that fills it."""

    row: str
    split: str
    seed: int
    run: PlannedRun

    @property
    def place(self) -> tuple[str, str, int]:
        """Row, split and seed."""
        return self.row, self.split, self.seed


@dataclass(frozen=True)
class Plan:
    """All cells of a table.

    Attributes:
        spec: The table.
        recipe: Name of the recipe that its rows vary.
        splits: Values of `data.split`.
        seeds: Seeds to average over.
        cells: One for each split, row and seed.
        notes: What differs from the recipes of the rows, one sentence each.
    """

    spec: TableSpec
    recipe: str
    splits: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> list[PlannedRun]:
        """The different runs of the cells, seed by seed: those of one seed share stages."""
        cells = sorted(self.cells, key=lambda cell: self.seeds.index(cell.seed))
        return list({cell.run.key: cell.run for cell in cells}.values())

    def without(self, names: Collection[str]) -> Plan:
        """The plan without some of its rows."""
        rows = [row for row in self.spec.rows if row.name not in names]
        cells = tuple(cell for cell in self.cells if cell.row not in names)
        return replace(self, spec=self.spec.model_copy(update={"rows": rows}), cells=cells)


def make_plan(
    spec: TableSpec,
    source: str,
    overrides: Sequence[str],
    *,
    seeds: Sequence[int],
    splits: Sequence[str] = (),
    equal: Equal = "steps",
    backend: str,
) -> Plan:
    """Plan the runs of a table.

    A seed sets all that is drawn: weights, order and views (`training.seed`), clusters (`subclasses.seed`)
    and, where the package has a list of labelled images for it, `data.split_seed`.

    Args:
        spec: The table.
        source: Path or name of the recipe that its rows vary.
        overrides: `section.key=value`, for all rows.
        seeds: Seeds to average over, each at least 0.
        splits: Values of `data.split`; empty: as the table says.
        equal: `steps`: every method trains for the steps of its recipe. `compute`: for as many steps as cost
            the operations of the recipe's own method, after the Baseline.
        backend: Name of the Keras backend; another one gives other runs.

    Raises:
        RecipeError: The recipe or a row is wrong; all wrong rows are reported.
        RunError: A seed is given twice or has no list of labelled images, or `subclasses.counts` are those
            of another split.
    """
    if len(set(seeds)) < len(seeds):
        raise RunError(
            f"a seed is given twice: {', '.join(map(str, seeds))}", hint="Name each once: --seeds 0,1,2"
        )
    own_sections = _option_sections(load_recipe(source, _applicable(overrides, ())).training)
    own = _applicable(overrides, own_sections)
    base = load_recipe(source, own)
    own_training = base.training
    _validate_options(spec, own_training, overrides)
    spec = _named(spec, base)
    splits = tuple(splits) or _splits(spec, base)
    sources = {split: _source_of(source, base.data.split, split) for split in splits}
    bases = {split: load_recipe(sources[split], own) for split in splits}
    for split in splits:
        _validate_counts(bases[split], split)
        _validate_seeds(base, split, seeds)

    def recipe_of(row: Row, split: str, seed: int, *more: str) -> Recipe:
        common = _applicable(overrides, _sections_of(row, own_training))
        return load_recipe(sources[split], [*common, *_settings(bases[split], row, split, seed), *more])

    errors, planned = {}, {}
    for row in spec.rows:
        try:
            recipes = {split: recipe_of(row, split, seeds[0]) for split in splits}
        except RecipeError as error:
            errors[row.name] = f"row {row.name!r}: {'; '.join(error.errors) or error.message}"
        else:
            planned |= {(row.name, split): recipe for split, recipe in recipes.items()}
    if errors:
        raise RecipeError(f"{len(errors)} row(s) of {spec.name} are no recipes", errors=[*errors.values()])
    scaled = steps_of_equal_compute(planned, bases) if equal == "compute" else {}
    cells = []
    for split in splits:
        for row in spec.rows:
            lists = splits[0] if row.once else split
            more = [f"training.usrn_steps={scaled[place]}"] if (place := (row.name, lists)) in scaled else []
            for seed in seeds:
                recipe = recipe_of(row, lists, seed, *more)
                cells.append(Cell(row.name, split, seed, _planned(recipe, row, split, seed, backend)))
    return Plan(spec, base.name, splits, tuple(seeds), tuple(cells), equal_compute_notes(scaled))


def _named(spec: TableSpec, base: Recipe) -> TableSpec:
    """The table with the title of the recipe's method in the place of `{method}`."""
    title = find_method(base.training.method).title + " + USRN" * base.training.with_usrn
    rows = [row.model_copy(update={"name": row.name.replace("{method}", title)}) for row in spec.rows]
    reference = spec.reference.replace("{method}", title)
    return spec.model_copy(update={"rows": rows, "reference": reference})


def _sections_of(row: Row, own: TrainingSection) -> list[str]:
    """The sections with options that a row reads."""
    keys = ("method", "with_usrn")
    update = {key: row.set[f"training.{key}"] for key in keys if f"training.{key}" in row.set}
    return _option_sections(own.model_copy(update=update))


def _option_sections(training: TrainingSection) -> list[str]:
    return [options_section(training.method), *["usrn"] * training.with_usrn]


def _applicable(overrides: Sequence[str], sections: Collection[str]) -> list[str]:
    """The overrides without the options of other methods than those of these sections."""
    others = {*METHOD_OPTIONS} - set(sections)
    return [text for text in overrides if text.partition(".")[0].strip() not in others]


def _validate_options(spec: TableSpec, own: TrainingSection, overrides: Sequence[str]) -> None:
    rows = [_sections_of(row, own) for row in spec.rows]
    sections = dict.fromkeys(name for names in [_option_sections(own), *rows] for name in names)
    applicable = _applicable(overrides, sections)
    if unused := [text for text in overrides if text not in applicable]:
        raise RecipeError(
            f"no row of {spec.name} has the method of {', '.join(unused)}",
            hint=f"Remove this --set, or set options of a method of its rows: {', '.join(sections)}",
        )


def _source_of(source: str, own_split: str, split: str) -> str:
    """The shipped recipe of another split, where there is one: it has its own subclasses and steps."""
    shipped = shipped_recipes()
    name = {path: name for name, path in shipped.items()}.get(RECIPES.find(source), "")
    other = f"{name.removesuffix(f'_{own_split}')}_{split}"
    return other if other in shipped else source


def _validate_counts(base: Recipe, split: str) -> None:
    if base.subclasses.counts and base.data.split != split:
        raise RunError(
            f"subclasses.counts of {base.name} are those of its split {base.data.split}, not of {split}",
            hint="Remove the key, so that they follow from the sizes of the classes, or make a table of "
            f"each split: --splits {base.data.split}",
        )


def _validate_seeds(base: Recipe, split: str, seeds: Sequence[int]) -> None:
    """Where a split has a list for each seed, a seed without one would label the images of another."""
    start = f"labelled_{split}_seed"
    known = [name.removeprefix(start) for name in shipped_splits(base.data.dataset) if name.startswith(start)]
    if known and (missing := [str(seed) for seed in seeds if str(seed) not in known]):
        raise RunError(
            f"split {split} of {base.data.dataset} has no list of labelled images for seed "
            f"{', '.join(missing)}; it has lists for {', '.join(sorted(known, key=int))}",
            hint="Name these seeds, or draw lists of your own: usrn split --help",
        )


def _splits(spec: TableSpec, base: Recipe) -> tuple[str, ...]:
    names = split_names(base.data.dataset)
    if spec.splits == "recipe" or base.data.split not in names:  # the user's own list
        return (base.data.split,)
    return tuple(sorted(names, key=_labelled_share))


def _labelled_share(split: str) -> float:
    parts = re.fullmatch(r"(\d+)_(\d+)", split)
    return int(parts[1]) / int(parts[2]) if parts else 1.0


def _settings(base: Recipe, row: Row, split: str, seed: int) -> list[str]:
    """The overrides of one run in addition to those of all runs."""
    values: dict[str, Any] = {"training.seed": seed, "subclasses.seed": seed}
    if split != base.data.split:
        values["data.split"] = split
    if f"labelled_{split}_seed{seed}" in shipped_splits(base.data.dataset):
        values["data.split_seed"] = seed
    if row.all_steps:
        values["training.baseline_steps"] = base.training.baseline_steps + base.training.usrn_steps
    values |= row.set
    return [f"{key}={_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    return tomli_w.dumps({"value": value}, multiline_strings=False).partition("=")[2].strip()


def _planned(recipe: Recipe, row: Row, split: str, seed: int, backend: str) -> PlannedRun:
    # Lists of images follow from the keys of [data] within a family; `check_data` checks it.
    plan = stage_folders(stages_of(recipe))
    *_, final = plan
    keys = {
        folder: {
            **stage_key(recipe, stage, data="", backend=backend),
            "numerics": NUMERICS,
        }
        for folder, stage in plan.items()
    }
    key = _hash({name: value for name, value in keys[final].items() if name not in _left_out(recipe)})
    name = "-".join(filter(None, (_slug(row.name), _slug(split), f"seed{seed}", key)))
    steps = {folder: stage.length for folder, stage in plan.items() if isinstance(stage, Train)}
    return PlannedRun(recipe, key, name, {folder: _hash(keys[folder]) for folder in keys}, steps)


def _left_out(recipe: Recipe) -> set[str]:
    """Keys without an effect on the result, and defaults: a key that a later version adds changes no hash."""
    chosen = recipe.model_dump(exclude_defaults=True)
    defaults = {
        f"{section}.{key}"
        for section, values in recipe.model_dump().items()
        for key in values
        if key not in chosen.get(section, {})
    }
    return FREE_KEYS - LABEL_KEYS | defaults  # the last are in the keys of stages with pseudo masks alone


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", text.lower()).strip("_")


def _hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
