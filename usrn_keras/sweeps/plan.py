"""From a table and a recipe to the runs that fill it: one for each recipe that differs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tomli_w

from usrn_keras.data.layouts.splits import shipped_splits
from usrn_keras.errors import RecipeError, RunError
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.load import shipped_recipes
from usrn_keras.runs.reuse import of_usrn_alone, stage_key
from usrn_keras.runs.run import BASELINE, FREE_KEYS, SUBCLASSES, USRN
from usrn_keras.sweeps.spec import Row, TableSpec
from usrn_keras.terms import ALL_TERMS, gate_of

SHARED_STAGES = (BASELINE, SUBCLASSES)


@dataclass(frozen=True)
class PlannedRun:
    """A run of a family.

    Attributes:
        recipe: What is done.
        key: Hash of all that its result depends on, 8 hexadecimal digits.
        name: Of its folder.
        needs: Keys of its stages, by stage; runs with an equal one share it.
        contents: `Dataset.contents` of what is measured on; empty before the data set is read.
    """

    recipe: Recipe
    key: str
    name: str
    needs: Mapping[str, str]
    contents: str = ""

    @property
    def model(self) -> str:
        """Whose scores it has: `usrn`, or `baseline` of a supervised run."""
        return "baseline" if self.recipe.training.method == "supervised" else "usrn"

    @property
    def steps(self) -> dict[str, int]:
        """Steps of its training stages."""
        training = self.recipe.training
        steps = {BASELINE: training.baseline_steps, USRN: training.usrn_steps}
        return {stage: steps[stage] for stage in steps if stage in self.needs}


@dataclass(frozen=True)
class Cell:
    """A figure of the table, of one seed."""

    row: str
    split: str
    seed: int
    run: PlannedRun


@dataclass(frozen=True)
class Plan:
    """All cells of a table; `runs` are the different runs among them, those that others wait for first."""

    spec: TableSpec
    recipe: str
    splits: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def runs(self) -> list[PlannedRun]:
        found = {cell.run.key: cell.run for cell in self.cells}
        return sorted(found.values(), key=lambda run: self.seeds.index(run.recipe.training.seed))

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
    backend: str,
) -> Plan:
    """The runs of a table.

    A seed stands for all that is drawn: weights, order and views (`training.seed`), clusters
    (`subclasses.seed`) and, where the package has a list of labelled images for it, `data.split_seed`.

    Args:
        spec: The table.
        source: Path or name of the recipe that its rows vary.
        overrides: `section.key=value`, for all rows.
        seeds: Of the columns' means.
        splits: Values of `data.split`; empty: as the table says.
        backend: Of Keras.

    Raises:
        RecipeError: The recipe or a row is wrong; all that are wrong are named.
        RunError: A seed stands twice or has no list of labelled images, or `subclasses.counts` are of
            another split.
    """
    if len(set(seeds)) < len(seeds):
        raise RunError(
            f"a seed stands twice: {', '.join(map(str, seeds))}", hint="Name each once: --seeds 0,1,2"
        )
    base = Recipe.load(source, overrides)
    splits = tuple(splits) or _splits(spec, base)
    sources = {split: _source_of(source, base.data.split, split) for split in splits}
    bases = {split: Recipe.load(sources[split], overrides) for split in splits}
    for split in splits:
        _refuse_other_counts(bases[split], split)
        _refuse_seeds_without_list(base, split, seeds)
    cells, faults = [], {}
    for split in splits:
        for row in spec.rows:
            lists = splits[0] if row.once else split
            for seed in seeds:
                try:
                    own = _settings(bases[lists], row, lists, seed)
                    recipe = Recipe.load(sources[lists], [*overrides, *own])
                except RecipeError as error:
                    faults[row.name] = f"row {row.name!r}: {'; '.join(error.faults) or error.message}"
                else:
                    run = _planned(recipe, row, split, seed, backend)
                    cells.append(Cell(row.name, split, seed, run))
    if faults:
        raise RecipeError(f"{len(faults)} row(s) of {spec.name} are no recipes", faults=[*faults.values()])
    return Plan(spec, base.name, splits, tuple(seeds), tuple(cells))


def _source_of(source: str, own_split: str, split: str) -> str:
    """Of a shipped recipe, that of another split: subclasses and steps are its own."""
    shipped = shipped_recipes()
    other = f"{source.removesuffix(f'_{own_split}')}_{split}"
    return other if source in shipped and other in shipped else source


def _refuse_other_counts(base: Recipe, split: str) -> None:
    if base.subclasses.counts and base.data.split != split:
        raise RunError(
            f"subclasses.counts of {base.name} are those of its split {base.data.split}, not of {split}",
            hint="Leave the key out, so that they follow from the sizes of the classes, or make a table of "
            f"each split: --splits {base.data.split}",
        )


def _refuse_seeds_without_list(base: Recipe, split: str, seeds: Sequence[int]) -> None:
    """Of a split that has a list for each seed, a seed without one would label the images of another."""
    start = f"labelled_{split}_seed"
    known = [name.removeprefix(start) for name in shipped_splits(base.data.dataset) if name.startswith(start)]
    if known and (missing := [str(seed) for seed in seeds if str(seed) not in known]):
        raise RunError(
            f"split {split} of {base.data.dataset} has no list of labelled images for seed "
            f"{', '.join(missing)}, but for {', '.join(sorted(known, key=int))}",
            hint="Name these seeds, or draw lists of your own: usrn split --help",
        )


def _splits(spec: TableSpec, base: Recipe) -> tuple[str, ...]:
    shipped = [name.removeprefix("labelled_") for name in shipped_splits(base.data.dataset)]
    names = dict.fromkeys(re.sub(r"_seed\d+$", "", name) for name in shipped)
    if spec.splits == "recipe" or base.data.split not in names:  # a list of one's own stands alone
        return (base.data.split,)
    return tuple(sorted(names, key=_labelled_share))


def _labelled_share(split: str) -> float:
    parts = re.fullmatch(r"(\d+)_(\d+)", split)
    return int(parts[1]) / int(parts[2]) if parts else 1.0


def _settings(base: Recipe, row: Row, split: str, seed: int) -> list[str]:
    """What a run sets besides what all of them set."""
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
    recipe = _with_gate_by_name(recipe)
    chosen = _chosen(recipe)
    if recipe.training.method == "supervised":
        chosen = {key: value for key, value in chosen.items() if not of_usrn_alone(key)}
    key = _hash({**chosen, "backend": backend})
    parts = [_slug(row.name), *([_slug(split)] if split else []), f"seed{seed}", key]
    return PlannedRun(recipe, key, "-".join(parts), _needs(recipe, key, backend))


def _with_gate_by_name(recipe: Recipe) -> Recipe:
    """The same objective with `gate = "off"`, where the gate is off for lack of its term.

    So Model IV is one run with a USRN whose recipe has no gate.
    """
    training = recipe.training
    if gate_of(training.terms, training.gate) != "off":
        return recipe
    terms = [term for term in ALL_TERMS if term in {*training.terms, "egm"}]
    return recipe.model_copy(update={"training": training.model_copy(update={"terms": terms, "gate": "off"})})


def _chosen(recipe: Recipe) -> dict[str, Any]:
    """What the result depends on, defaults left out: a key that a later version adds changes no hash."""
    return {
        f"{section}.{key}": value
        for section, table in recipe.model_dump(exclude_defaults=True).items()
        for key, value in table.items()
        if f"{section}.{key}" not in FREE_KEYS
    }


def _needs(recipe: Recipe, key: str, backend: str) -> dict[str, str]:
    # Lists follow from the keys of [data] within a family, and `make_table` checks it.
    shared = {stage: _hash(stage_key(recipe, stage, data="", backend=backend)) for stage in SHARED_STAGES}
    if recipe.training.method == "supervised":
        return {BASELINE: shared[BASELINE]}
    return {**shared, USRN: key}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", text.lower()).strip("_") or "run"


def _hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
