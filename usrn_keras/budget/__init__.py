"""What training needs: shapes, parameters, operations and memory, told before anything is trained.

The names below are loaded when they are first used: `room` and `calibration` need no Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras.lazy import loader

if TYPE_CHECKING:
    from usrn_keras.budget.flops import forward_flops, step_flops

_HOMES = {
    "forward_flops": "flops",
    "step_flops": "flops",
}

__all__ = ["forward_flops", "step_flops"]

__getattr__ = loader(__name__, _HOMES)
