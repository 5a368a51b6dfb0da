"""Sweeps: a recipe trained over the rows of a table, seeds and splits, and the aggregated results."""
