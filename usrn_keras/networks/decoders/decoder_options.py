"""The decoders by name, and their options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras

from usrn_keras.networks.backbones import find_by_name
from usrn_keras.networks.cut_backbone import LOW_LEVEL_STRIDE
from usrn_keras.networks.decoders.deeplab import deeplab_v3_plus
from usrn_keras.networks.decoders.psanet import psanet
from usrn_keras.networks.decoders.pspnet import pspnet


@dataclass(frozen=True)
class DecoderOptions:
    """Options of all decoders. Each decoder reads its own.

    Attributes:
        decoder_channels: Number of output channels, before the classifier.
        batch_norm_momentum: Momentum of every batch normalisation.
        aspp_rates, aspp_channels, low_level_channels, dropout: Options of `deeplab_v3_plus`.
        psp_bins: Option `bins` of `pspnet`.
        psa_mask, psa_channels, psa_shrink: Options of `psanet`. A mask of 59 covers a crop of 465 pixels at
            stride 8.
    """

    decoder_channels: int = 256
    batch_norm_momentum: float = 0.9
    aspp_rates: Sequence[int] = (6, 12, 18)
    aspp_channels: int = 256
    low_level_channels: int = 48
    dropout: float = 0.5
    psp_bins: Sequence[int] = (1, 2, 3, 6)
    psa_mask: int = 59
    psa_channels: int = 512
    psa_shrink: int = 2


@dataclass(frozen=True)
class FeatureMaps:
    """Feature maps of a backbone.

    Attributes:
        low_channels: Number of channels of the low-level features, stride 4.
        high_channels: Number of channels of the deepest features.
        output_stride: Stride of the deepest features.
    """

    low_channels: int
    high_channels: int
    output_stride: int


Builder = Callable[[FeatureMaps, DecoderOptions, str], keras.Model]


def find_decoder(name: str) -> Builder:
    """Find a decoder by its name.

    Args:
        name: Name such as `pspnet`.

    Returns:
        A function that builds the decoder from the feature maps, the options, and the name of the model.

    Raises:
        RecipeError: The decoder is unknown.

    Example:

    >>> build = find_decoder("pspnet")
    >>> decoder = build(FeatureMaps(256, 2048, 8), DecoderOptions(decoder_channels=512), "decoder")
    >>> decoder.output_shape
    (None, None, None, 512)
    """
    return find_by_name("decoder", name, DECODERS)


def _deeplab_v3_plus(maps: FeatureMaps, options: DecoderOptions, name: str) -> keras.Model:
    return deeplab_v3_plus(
        maps.low_channels,
        maps.high_channels,
        upsampling=maps.output_stride // LOW_LEVEL_STRIDE,
        rates=options.aspp_rates,
        aspp_channels=options.aspp_channels,
        low_level_channels=options.low_level_channels,
        decoder_channels=options.decoder_channels,
        dropout=options.dropout,
        batch_norm_momentum=options.batch_norm_momentum,
        name=name,
    )


def _pspnet(maps: FeatureMaps, options: DecoderOptions, name: str) -> keras.Model:
    return pspnet(
        maps.low_channels,
        maps.high_channels,
        bins=options.psp_bins,
        decoder_channels=options.decoder_channels,
        batch_norm_momentum=options.batch_norm_momentum,
        name=name,
    )


def _psanet(maps: FeatureMaps, options: DecoderOptions, name: str) -> keras.Model:
    return psanet(
        maps.low_channels,
        maps.high_channels,
        mask=options.psa_mask,
        attention_channels=options.psa_channels,
        shrink=options.psa_shrink,
        decoder_channels=options.decoder_channels,
        batch_norm_momentum=options.batch_norm_momentum,
        name=name,
    )


DECODERS: dict[str, Builder] = {
    "deeplab_v3_plus": _deeplab_v3_plus,
    "pspnet": _pspnet,
    "psanet": _psanet,
}
