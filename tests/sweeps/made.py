"""Tables and results that are made up."""

from __future__ import annotations

from usrn_keras.sweeps.plan import Plan, make_plan
from usrn_keras.sweeps.result import Measured, TableResult
from usrn_keras.sweeps.spec import Row, TableSpec


def made_plan(*names: str, seeds=(0, 1, 2), recipe="voc_1_32", overrides=(), **options) -> Plan:
    """A table whose rows differ by gamma alone."""
    rows = [Row(name=name, set={"training.threshold": 0.5 + i / 50}) for i, name in enumerate(names)]
    spec = TableSpec(name="made", title="Made", about="Asked.", reference=names[0], rows=rows, **options)
    return make_plan(spec, recipe, overrides, seeds=seeds, backend="torch")


def made_result(plan: Plan, mious: dict[tuple[str, int], float], failures=None) -> TableResult:
    """The same with an mIoU, in percent, by row and seed; what is left out is a gap."""
    cells = {
        (row, plan.splits[0], seed): Measured(
            figures={"miou": value / 100, "rare_miou": value / 200},
            ious={"road": value / 100, "pole": None},
            folder=f"run-{row}-{seed}",
            seconds=60.0,
        )
        for (row, seed), value in mious.items()
    }
    return TableResult(plan, cells, failures or {}, "made val, 3 images")
