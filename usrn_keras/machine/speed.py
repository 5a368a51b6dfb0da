"""How fast the cores multiply."""

from __future__ import annotations

import time

import numpy as np


def matrix_product_rate(size: int = 768, seconds: float = 0.15) -> float:
    """Operations per second of a float32 matrix product, the best of several, after a first one."""
    a = np.ones((size, size), np.float32)
    best, spent = 0.0, 0.0
    a @ a
    while spent < seconds:
        started = time.perf_counter()
        a @ a
        took = time.perf_counter() - started
        best, spent = max(best, 2 * size**3 / took), spent + took
    return best
