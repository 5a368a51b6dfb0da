"""Two tiny branches, built once."""

from __future__ import annotations

import functools

from usrn_keras.networks import build_branches

CLASSES, SUBCLASSES, DECODER_CHANNELS = 3, 7, 8
PARENTS = [0, 0, 0, 1, 1, 2, 2]


@functools.cache
def tiny_branches(sharing: str = "low"):
    """F and F_sub on a thin MobileNet, with 3 classes and 7 subclasses; tests must not train them."""
    return build_branches(
        "keras/mobilenet", classes=CLASSES, subclasses=SUBCLASSES, weights="none", width=0.25,
        backbone_end="conv_pw_7_relu", aspp_rates=[2], aspp_channels=8, low_level_channels=4,
        decoder_channels=DECODER_CHANNELS, sharing=sharing,
    )  # fmt: skip
