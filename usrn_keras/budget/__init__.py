"""What training needs: shapes, parameters, operations and memory, told before anything is trained.

The names below are loaded when they are first used: `room` and `calibration` need no Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras.lazy import loader

if TYPE_CHECKING:
    from usrn_keras.budget.budget import Budget, Facts, make_budget
    from usrn_keras.budget.device import Device, this_device
    from usrn_keras.budget.estimate import Estimate, process_without
    from usrn_keras.budget.fitting import Sizes, settings
    from usrn_keras.budget.flops import forward_flops, step_flops
    from usrn_keras.budget.out_of_memory import memory_errors

_HOMES = {
    "Budget": "budget",
    "Device": "device",
    "Estimate": "estimate",
    "Facts": "budget",
    "Sizes": "fitting",
    "forward_flops": "flops",
    "make_budget": "budget",
    "memory_errors": "out_of_memory",
    "process_without": "estimate",
    "settings": "fitting",
    "step_flops": "flops",
    "this_device": "device",
}

__all__ = [
    "Budget",
    "Device",
    "Estimate",
    "Facts",
    "Sizes",
    "forward_flops",
    "make_budget",
    "memory_errors",
    "process_without",
    "settings",
    "step_flops",
    "this_device",
]

__getattr__ = loader(__name__, _HOMES)
