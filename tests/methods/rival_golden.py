"""Values of the official code of other methods, which `USRN_RIVAL_GOLDEN` can replace by a file of yours."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "golden" / "rival_losses.npz"


def rival_golden(prefix: str) -> dict[str, np.ndarray]:
    """The arrays below a prefix, such as `cps`, by the rest of their names."""
    with np.load(os.environ.get("USRN_RIVAL_GOLDEN", FILE)) as file:
        start = f"{prefix}/"
        return {name.removeprefix(start): file[name] for name in file.files if name.startswith(start)}
