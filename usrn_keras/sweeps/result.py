"""Aggregated results of a table: a frame with one line per figure and run, and means over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from usrn_keras._version import NUMERICS
from usrn_keras.metrics import Scores
from usrn_keras.runs import Run
from usrn_keras.stages.diagnosis import diagnosis_log
from usrn_keras.stages.evaluate_models import known_results
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Plan
from usrn_keras.sweeps.spec import EVERY_CLASS, IOU, KEPT

COLUMNS = ("row", "split", "seed", "figure", "value", "run", "seconds", "numerics")
CELL = ["row", "split", "seed"]
FIGURE = ["row", "split", "figure"]


@dataclass(frozen=True)
class TableResult:
    """Results of a table.

    Attributes:
        plan: Plan of the table.
        frame: A line for each cell and figure, in the order of the plan, with the columns `COLUMNS`:
            `value` is a share in 0..1, a number of bytes or a count, NaN for the IoU of an absent class;
            `run` is the folder of the run, `seconds` the time of its last training stage.
        failures: Reasons of failed runs, by the name of the run.
        provenance: Images and prediction settings of the scores, in one line.
        notes: Unused runs, one sentence each.
    """

    plan: Plan
    frame: pd.DataFrame
    failures: Mapping[str, str] = field(default_factory=dict)
    provenance: str = ""
    notes: tuple[str, ...] = ()

    @property
    def gaps(self) -> list[str]:
        """Rows, splits and seeds without figures."""
        known = known_cells(self.frame)
        missing = [cell for cell in self.plan.cells if cell.place not in known]
        return [" ".join(filter(None, (c.row, c.split, f"seed {c.seed}"))) for c in missing]

    @property
    def figures(self) -> list[str]:
        """Figures of the table that any run has, in their order."""
        measured = [*self.frame["figure"].unique()]
        found = []
        for name in self.plan.spec.figures:
            start = name.removesuffix(EVERY_CLASS)
            if start != name:
                found += [other for other in measured if other.startswith(start)]
            elif name in ("miou", *measured):
                found.append(name)
        return found

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Mean, sample standard deviation and number of seeds of each figure, indexed by row, split, figure.

        `difference_mean`, `difference_deviation` and `difference_seeds` are those of its differences to the
        reference row, paired by seed; NaN in the reference row and where no seed has both.
        """
        values = self.frame.dropna(subset="value")
        is_reference = values["row"] == self.plan.spec.reference
        pairs = values[~is_reference].merge(values[is_reference], on=["split", "seed", "figure"])
        pairs = pairs.assign(row=pairs["row_x"], value=pairs["value_x"] - pairs["value_y"])
        return _over_seeds(values).join(_over_seeds(pairs).add_prefix("difference_"))

    def over_seeds(self, row: str, split: str, figure: str) -> pd.Series | None:
        """The line of the `summary` of a figure; None if no run has it."""
        place = (row, split, figure)
        return self.summary.loc[place] if place in self.summary.index else None

    def paper(self, row: str, split: str) -> float | None:
        """mIoU in percent that the paper reports for a row and a split."""
        dataset = self.plan.cells[0].run.recipe.data.dataset
        return self.plan.spec.paper.get(dataset, {}).get(split, {}).get(row)

    def paper_iou(self, row: str, split: str) -> dict[str, float]:
        """IoU in percent that the paper reports for a row and a split, by class; empty if it has none."""
        dataset = self.plan.cells[0].run.recipe.data.dataset
        return self.plan.spec.paper_iou.get(dataset, {}).get(split, {}).get(row, {})


def known_cells(frame: pd.DataFrame) -> set[tuple[str, str, int]]:
    """Row, split and seed of the cells that a frame has figures of."""
    return set(frame[CELL].itertuples(index=False, name=None))


def _over_seeds(values: pd.DataFrame) -> pd.DataFrame:
    names = {"mean": "mean", "deviation": "std", "seeds": "count"}
    return values.groupby(FIGURE, sort=False)["value"].agg(**names)


def collect(plan: Plan, family: Family, failures: Mapping[str, str] | None = None) -> TableResult:
    """Read the figures of a table from the runs of a family that are done.

    Args:
        plan: Plan of the table.
        family: Folder of the runs.
        failures: Reasons of failed runs, by the name of the run.
    """
    lines, origins = [], set()
    for cell in plan.cells:
        if not family.is_done(cell.run):
            continue
        run = family.run(cell.run)
        results = known_results(run, cell.run.recipe, cell.run.contents)
        facts = _training_facts(run)
        for figure, value in _figures(results, facts, _last_diagnosis(run)):
            lines.append((*cell.place, figure, value, str(run.path), facts["seconds"], NUMERICS))
        origins.add(_origin(results))
    frame = pd.DataFrame(lines, columns=COLUMNS).astype({"value": "float64"})
    return TableResult(plan, frame, failures or {}, "; ".join(sorted(origins)), tuple(family.notes()))


def _training_facts(run: Run) -> dict[str, Any]:
    """Facts of the stages that train the method, or of the Baseline alone: time in all, and the largest."""
    folders = [*run.training_stages]
    found = [run.facts(folder) for folder in folders[1:] or folders]
    return {
        "seconds": sum(facts.get("seconds", 0.0) for facts in found),
        "peak_memory": max(facts.get("peak_memory") or np.nan for facts in found),
        "step_flops": max(facts.get("step_flops") or np.nan for facts in found),
    }


def _last_diagnosis(run: Run) -> dict[str, list[int]]:
    """Counts of the pseudo labels of the last stage by class; empty without pseudo labels."""
    *_, folder = run.training_stages
    records = diagnosis_log(run, folder).records()
    return records[-1]["by_pseudo_label"] if records else {}


def _figures(
    results: Mapping[str, Any], facts: Mapping[str, Any], diagnosis: Mapping[str, list[int]]
) -> Iterator[tuple[str, float]]:
    """Names and values of what was measured of the last model of a run."""
    scores = Scores.from_json(results["scores"][-1])
    known = {
        "miou": scores.miou,
        "rare_miou": scores.rare_miou,
        "boundary_miou": scores.boundary_miou,
        **facts,
        "class_balance_rate": results.get("class_balance_rate", {}).get("subclasses", np.nan),
        "subclasses": results.get("subclasses", np.nan),
    }
    yield from ((name, float(value)) for name, value in known.items() if not np.isnan(value))
    for index in (-scores.pixels).argsort(kind="stable"):  # the most frequent class first
        yield f"{IOU}{scores.classes[index]}", float(scores.iou[index])
    if diagnosis:
        pixels, kept = (np.array(diagnosis[name], "float64") for name in ("pixels", "confident"))
        yield "kept_share", float(kept.sum() / pixels.sum())
        shares = np.divide(kept, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)
        for index in (-scores.pixels).argsort(kind="stable"):
            yield f"{KEPT}{scores.classes[index]}", float(shares[index])


def _origin(results: Mapping[str, Any]) -> str:
    parts = [f"{results['dataset']} {results['split']}", f"{results['images']} images", results["backend"]]
    return ", ".join([*parts, f"mode {results['mode']}", f"checkpoint {results['checkpoint']}"])
