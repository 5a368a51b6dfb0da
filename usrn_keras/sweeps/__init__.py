"""Sweeps: a recipe trained over the rows of a table, seeds and splits, and the aggregated results.

The names below are loaded when they are first used: `usrn table` reports a wrong name of a table before it
loads Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras.lazy import loader

if TYPE_CHECKING:
    from usrn_keras.sweeps.plan import make_plan
    from usrn_keras.sweeps.result import TableResult
    from usrn_keras.sweeps.spec import TableSpec, load_table, shipped_tables
    from usrn_keras.sweeps.sweep import make_table

__all__ = ["TableResult", "TableSpec", "load_table", "make_plan", "make_table", "shipped_tables"]

__getattr__ = loader(
    __name__,
    {
        "make_plan": "plan",
        "make_table": "sweep",
        "TableResult": "result",
        "TableSpec": "spec",
        "load_table": "spec",
        "shipped_tables": "spec",
    },
)
