"""The projector of contrastive methods: decoder features to a space of fewer channels."""

from __future__ import annotations

import keras
from keras import layers


def projector(channels: int, outputs: int) -> keras.Model:
    """Build two 1x1 convolutions with a ReLU between them, as in CAC.

    Args:
        channels: Number of channels of the decoder features.
        outputs: Number of channels of the result.

    Returns:
        A model from features `(batch, h, w, channels)` to `(batch, h, w, outputs)`, not normalised.

    Example:

    >>> projector(256, 128).count_params()  # 256 x 256 + 256 + 256 x 128 + 128
    98688
    """
    features = keras.Input((None, None, channels), name="features")
    hidden = layers.ReLU()(layers.Conv2D(channels, 1, name="hidden")(features))
    return keras.Model(features, layers.Conv2D(outputs, 1, name="projected")(hidden), name="projector")
