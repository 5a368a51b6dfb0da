"""What the memory of a step is made of, counted in the graph of the network."""

from __future__ import annotations

import math

import keras

from usrn_keras.budget.activations import kept_bytes, logit_bytes, work_bytes
from usrn_keras.budget.memory import Footprint, ImageMemory
from usrn_keras.budget.passes import passes
from usrn_keras.methods import USRN, Supervised


def footprint(model: Supervised | USRN, height: int, width: int) -> Footprint:
    """What a step of a model needs for images of one size; nothing is computed.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> small, large = (footprint(Supervised(branch), size, size).labelled.kept for size in (64, 128))
    >>> 3.9 < large / small < 4.1
    True
    """
    views = {view.name: view for view in passes(model, height, width)}
    images = {
        name: ImageMemory(kept_bytes(view), work_bytes(view), logit_bytes(view))
        for name, view in views.items()
    }
    return Footprint(
        weights=sum(variable_bytes(variable) for variable in model.variables),
        trainable=sum(variable_bytes(variable) for variable in model.trainable_variables),
        calls=sum(len(view.calls) for view in views.values()),
        labelled=images["labelled"],
        strong=images.get("strong"),
    )


def variable_bytes(variable: keras.Variable) -> int:
    """Bytes of a variable: numbers of 32 bits, whatever the precision of the computation."""
    return math.prod(variable.shape) * 4
