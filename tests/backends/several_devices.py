"""Three steps of USRN on one device and on two, on JAX, in a process of its own that has two devices."""

from __future__ import annotations

from collections.abc import Callable

import jax

from tests.backends.uneven import KINDS, STEPS, built, uneven_batch, weights
from usrn_keras.backends import CompiledStep, number_of_devices


def compare(order: dict, send: Callable[[dict], None]) -> dict:
    """Losses and weights on one device and on two, by kind; and what devices send each other for the last."""
    jax.config.update("jax_disable_most_optimizations", True)
    found: dict = {"devices": number_of_devices()}
    for kind in KINDS:
        for devices in (1, 2):
            model = built(kind)
            step = CompiledStep(model, devices)
            losses = [float(step(uneven_batch(number))["loss"]) for number in range(STEPS)]
            found[f"{kind} {devices}"] = [losses, weights(model).astype(float).tolist()]
    state = tuple([one.value for one in group] for group in step._variables)
    batch = {name: jax.device_put(value, step._rows) for name, value in uneven_batch(0).items()}
    program = step._function.lower(state, batch).compile().as_text()
    words = ("all-gather", "all-to-all", "collective-permute", "all-reduce")
    return found | {"sent": [word for word in words if f"{word}(" in program or f"{word}-start(" in program]}
