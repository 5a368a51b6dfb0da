"""The networks that can be chosen whole, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from usrn_keras.networks.decoders import DecoderOptions
from usrn_keras.networks.names import look_up
from usrn_keras.networks.parts import Parts
from usrn_keras.networks.stock.deeplab import deeplab_v3_plus
from usrn_keras.networks.stock.segformer import SIZES, segformer


@dataclass(frozen=True)
class StockOptions:
    """What a whole network may read.

    Attributes:
        weights: Of the backbone: `imagenet`, `none` or a file.
        backbone, width, backbone_end: Of a network that has no backbone of its own.
        decoder: Settings of the decoder.
    """

    weights: str
    backbone: str = ""
    width: float = 1.0
    backbone_end: str = ""
    decoder: DecoderOptions = field(default_factory=DecoderOptions)


Builder = Callable[[StockOptions], Parts]


def find_architecture(name: str) -> Builder:
    """Look a network up: a function of its options.

    Raises:
        RecipeError: No such network.
    """
    return look_up("architecture", name, ARCHITECTURES)


def _deeplab_v3_plus(options: StockOptions) -> Parts:
    return deeplab_v3_plus(
        options.backbone,
        weights=options.weights,
        width=options.width,
        backbone_end=options.backbone_end,
        rates=options.decoder.aspp_rates,
        aspp_channels=options.decoder.aspp_channels,
        low_level_channels=options.decoder.low_level_channels,
        decoder_channels=options.decoder.decoder_channels,
        dropout=options.decoder.dropout,
        batch_norm_momentum=options.decoder.batch_norm_momentum,
    )


def _segformer(size: str, options: StockOptions) -> Parts:
    return segformer(
        size,
        weights=options.weights,
        decoder_channels=options.decoder.decoder_channels,
        batch_norm_momentum=options.decoder.batch_norm_momentum,
    )


ARCHITECTURES: dict[str, Builder] = {"keras_cv/deeplab_v3_plus": _deeplab_v3_plus} | {
    f"keras_cv/segformer_{size}": partial(_segformer, size) for size in SIZES
}
