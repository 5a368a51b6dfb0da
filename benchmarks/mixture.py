"""Rows for the clustering benchmark: like decoder features, of any number, without a data set.

A mixture of 60 Gaussians of low rank whose weights follow Zipf's law, through a ReLU: a few large groups,
many small ones, half of all values zero.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

GROUPS = 60
RANK = 12
NOISE = 0.3  # of full rank, beside the low-rank spread of 1
BLOCK = 65_536


def mixture(
    rows: int, features: int, seed: int, dtype: str = "float32", path: Path | None = None
) -> np.ndarray:
    """`(rows, features)` rows; with a path, written there and returned as a memory map.

    Example:

    >>> mixture(1000, 16, seed=0).shape
    (1000, 16)
    """
    rng = np.random.default_rng(seed)
    weight = 1.0 / np.arange(1, GROUPS + 1)
    means = rng.normal(size=(GROUPS, features), scale=1.0).astype(np.float32)
    spreads = rng.normal(size=(GROUPS, RANK, features), scale=RANK**-0.5).astype(np.float32)
    if path is None:
        data = np.empty((rows, features), dtype)
    else:
        data = np.memmap(path, dtype=dtype, mode="w+", shape=(rows, features))
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        group = rng.choice(GROUPS, count, p=weight / weight.sum())
        block = means[group] + NOISE * rng.standard_normal((count, features), dtype=np.float32)
        for g in np.unique(group):
            chosen = group == g
            block[chosen] += rng.standard_normal((int(chosen.sum()), RANK), dtype=np.float32) @ spreads[g]
        data[start : start + count] = np.maximum(block, 0)
    if path is not None:
        data.flush()
    return data
