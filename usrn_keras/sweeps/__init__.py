"""Tables of runs: a family of recipes, trained over seeds and splits, and what came of it.

The names below are loaded when they are first used: `usrn table` finds a wrong name of a table before it
loads Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras.lazy import loader

if TYPE_CHECKING:
    from usrn_keras.sweeps.make import make_table
    from usrn_keras.sweeps.result import TableResult
    from usrn_keras.sweeps.spec import TableSpec, load_table, shipped_tables

__all__ = ["TableResult", "TableSpec", "load_table", "make_table", "shipped_tables"]

__getattr__ = loader(
    __name__,
    {
        "make_table": "make",
        "TableResult": "result",
        "TableSpec": "spec",
        "load_table": "spec",
        "shipped_tables": "spec",
    },
)
