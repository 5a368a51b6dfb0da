"""What `usrn table --dry-run` tells: the runs of a table, what each has left, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usrn_keras.sweeps.estimate import estimate
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.make import in_words, with_data
from usrn_keras.sweeps.plan import Plan

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Outline:
    """The runs of a table before they are done.

    Attributes:
        plan: The table.
        rows: For each run its name, the rows that it serves, and the stages that are left.
        seconds: What is left takes; 0 where it is not known.
        told: The same in words.
    """

    plan: Plan
    rows: tuple[tuple[str, str, str], ...]
    seconds: float
    told: str

    def rich(self) -> Group:
        """The table for a terminal."""
        from rich.console import Group
        from rich.text import Text

        from usrn_keras.report.columns import Columns

        table = Columns(["run", "rows", "to do"], [list(map(list, self.rows)), []], fixed=1)
        return Group(table, Text(f"{len(self.rows)} runs for {len(self.plan.cells)} cells; {self.told}"))

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        keys = ("run", "rows", "to_do")
        return {
            "table": self.plan.spec.name,
            "cells": len(self.plan.cells),
            "runs": [dict(zip(keys, row, strict=True)) for row in self.rows],
            "seconds": self.seconds or None,
        }


def outline(plan: Plan, folder: Path | str, *, jobs: int = 1) -> Outline:
    """The runs of a table, none of them begun by this.

    Raises:
        DataError: A data set of the plan cannot be used.
        RunError: Runs in the folder are of another data set.
    """
    notes: list[str] = []
    family, rows = Family(Path(folder)), []
    plan = with_data(plan, family, notes.append)
    promised = {run.needs[stage] for run in plan.runs for stage in run.needs if family.has(run, stage)}
    for planned in plan.runs:
        left = []
        for stage, key in planned.needs.items():
            if family.has(planned, stage):
                continue
            left.append(f"{stage} (shared)" if key in promised else stage)
            promised.add(key)
        served = dict.fromkeys(cell.row for cell in plan.cells if cell.run.key == planned.key)
        rows.append((planned.name, ", ".join(served), ", ".join(left) or "nothing"))
    to_do = any(left != "nothing" for _, _, left in rows)
    seconds = estimate(plan, family, jobs) if to_do else 0.0
    told = in_words(seconds) if to_do else "nothing is left to do"
    return Outline(plan, tuple(rows), seconds, "\n".join([told, *notes]))
