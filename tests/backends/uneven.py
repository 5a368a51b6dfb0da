"""USRN on a tiny network, and batches whose parts have very different numbers of pixels with a class."""

from __future__ import annotations

import keras
import numpy as np

from tests.methods.handmade import PARENTS, handmade_batch, handmade_branches
from tests.tools import fill, poly
from usrn_keras.methods import USRN
from usrn_keras.optimizers import SGD, AdamW

STEPS = 3


def uneven_batch(step: int) -> dict[str, np.ndarray]:
    """A batch whose first image has hardly a pixel with a class."""
    batch = handmade_batch(step)
    batch["labels"][0, :30], batch["sublabels"][0, :30] = 255, -1
    return batch


KINDS = ("joint", "sgd", "adamw")  # joint: SGD, and labelled images and strong views in one batch


def built(kind: str) -> USRN:
    """USRN of one of `KINDS`, compiled."""
    model = USRN(*handmade_branches(), PARENTS, threshold=0.4, joint_views=kind == "joint")
    fill(model.variables)
    chosen = {"joint": SGD, "sgd": SGD, "adamw": AdamW}[kind](poly(0.01, 10))
    chosen.build(model.trainable_variables)
    model.compile(optimizer=chosen)
    return model


def weights(model: USRN) -> np.ndarray:
    """All variables as one vector."""
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(one.value)) for one in model.variables])
