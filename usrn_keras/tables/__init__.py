"""Tables of runs: a family of recipes, trained over seeds and splits, and what came of it."""

from usrn_keras.tables.make import make_table
from usrn_keras.tables.result import TableResult
from usrn_keras.tables.spec import TableSpec, load_table, shipped_tables

__all__ = ["TableResult", "TableSpec", "load_table", "make_table", "shipped_tables"]
