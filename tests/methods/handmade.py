"""A two-branch network of a few layers, written by hand: it compiles in seconds, and numpy can follow it."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from usrn_keras.networks import Branch

LOW, HIGH, DECODER = 6, 8, 7  # channels


def handmade_branches(classes: int = 3, subclasses: int = 5) -> tuple[Branch, Branch]:
    """F and F_sub, which share the stem (`sharing = "low"`); no dropout, weights as Keras draws them."""
    shared = _stem()
    branch = Branch(shared, _tail(), _decoder(), _classifier(classes), name="branch")
    return branch, Branch(shared, _tail(), _decoder(), _classifier(subclasses), name="sub_branch")


def variables_of(branch: Branch, sub_branch: Branch | None = None) -> list[keras.Variable]:
    """All variables of one or two branches, each once, in an order that no method class can change."""
    found: dict[int, keras.Variable] = {}
    for part in ("stem", "tail", "decoder", "classifier"):
        for one in (branch, sub_branch):
            if one is not None:
                found |= {id(variable): variable for variable in getattr(one, part).variables}
    return list(found.values())


def _stem() -> keras.Model:
    """Images to features at stride 4: patches of 4 x 4 pixels."""
    images = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(images)
    x = layers.Conv2D(LOW, 4, strides=4, use_bias=False)(x)
    return keras.Model(images, layers.ReLU()(_normalised(x)))


def _tail() -> keras.Model:
    """Features at stride 4 to features at stride 8."""
    low = keras.Input((None, None, LOW))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(low)
    x = layers.ReLU(6.0)(_normalised(x))
    x = layers.Conv2D(HIGH, 2, strides=2, use_bias=False)(x)
    return keras.Model(low, layers.ReLU()(_normalised(x)))


def _decoder() -> keras.Model:
    low, high = keras.Input((None, None, LOW)), keras.Input((None, None, HIGH))
    x = layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(high), low])
    x = layers.Conv2D(DECODER, 3, padding="same", use_bias=False)(x)
    return keras.Model([low, high], layers.ReLU()(_normalised(x)))


def _classifier(outputs: int) -> keras.Model:
    features = keras.Input((None, None, DECODER))
    return keras.Model(features, layers.Conv2D(outputs, 1)(features))


def _normalised(x: Any) -> Any:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-3)(x)
