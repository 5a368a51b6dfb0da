"""Tables and results that are made up."""

from __future__ import annotations

import pandas as pd

from usrn_keras._version import NUMERICS
from usrn_keras.sweeps.plan import Plan, make_plan
from usrn_keras.sweeps.result import COLUMNS, TableResult
from usrn_keras.sweeps.spec import Row, TableSpec

BASELINE, SUBCLASSES, USRN = STAGES = ("1-baseline", "2-subclasses", "3-usrn")


def made_plan(*names: str, seeds=(0, 1, 2), recipe="voc_1_32", overrides=(), **options) -> Plan:
    """A table whose rows differ by the learning rate of their last stage alone."""
    rows = [Row(name=name, set={"training.usrn_learning_rate": 0.1 + i / 50}) for i, name in enumerate(names)]
    spec = TableSpec(name="made", title="Made", about="Asked.", reference=names[0], rows=rows, **options)
    return make_plan(spec, recipe, overrides, seeds=seeds, backend="torch")


def made_result(plan: Plan, mious: dict[tuple[str, int], float], failures=None, notes=()) -> TableResult:
    """A result of that plan with an mIoU, in percent, by row and seed; what is left out is a gap."""
    lines = [
        (row, plan.splits[0], seed, figure, value, f"run-{row}-{seed}", 60.0, NUMERICS)
        for (row, seed), miou in mious.items()
        for figure, value in {
            "miou": miou / 100, "rare_miou": miou / 200, "iou road": miou / 100, "iou pole": float("nan"),
        }.items()
    ]  # fmt: skip
    frame = pd.DataFrame(lines, columns=COLUMNS).astype({"value": "float64"})
    return TableResult(plan, frame, failures or {}, "made val, 3 images", notes)
