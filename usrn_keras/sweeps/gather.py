"""Reading the figures of a table from the runs of its family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usrn_keras.report import Scores
from usrn_keras.report.scores import none_for_nan
from usrn_keras.runs import BASELINE, USRN, Run
from usrn_keras.stages.measure import MODELS, known_results
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Cell, Plan
from usrn_keras.sweeps.result import Measured, TableResult

STAGE_OF = {"baseline": BASELINE, "usrn": USRN}


def gather(plan: Plan, family: Family, failures: Mapping[str, str]) -> TableResult:
    """The table as far as its runs are done."""
    cells, origins = {}, set()
    for cell in plan.cells:
        run = family.run(cell.run)
        if run is None or not family.is_done(cell.run):
            continue
        results = known_results(run, cell.run.recipe, cell.run.contents)
        cells[cell.row, cell.split, cell.seed] = _measured(cell, run, results)
        origins.add(_origin(results))
    return TableResult(plan, cells, failures, "; ".join(sorted(origins)))


def _measured(cell: Cell, run: Run, results: Mapping[str, Any]) -> Measured:
    model = cell.run.model
    scores = next(Scores.from_json(one) for one in results["scores"] if one["name"] == MODELS[model])
    means = {"miou": scores.miou, "rare_miou": scores.rare_miou, "boundary_miou": scores.boundary_miou}
    figures = {name: value for name, value in means.items() if none_for_nan(value) is not None}
    facts = run.facts(STAGE_OF[model])
    if facts.get("peak_memory"):
        figures["peak_memory"] = facts["peak_memory"]
    if model == "usrn":
        figures["class_balance_rate"] = results["class_balance_rate"]["subclasses"]
        figures["subclasses"] = results["subclasses"]
    order = (-scores.pixels).argsort(kind="stable")  # the most frequent class first
    ious = {scores.classes[i]: none_for_nan(scores.iou[i]) for i in order}
    return Measured(figures, ious, str(run.path), facts.get("seconds", 0.0))


def _origin(results: Mapping[str, Any]) -> str:
    parts = [f"{results['dataset']} {results['split']}", f"{results['images']} images", results["backend"]]
    return ", ".join([*parts, f"mode {results['mode']}", f"checkpoint {results['checkpoint']}"])
