"""Whole networks of keras-cv by name, in the parts of a branch; `keras_cv/deeplab_v3_plus` is built here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
from keras import layers

from usrn_keras.networks.backbones import look_up
from usrn_keras.networks.cut_backbone import Parts, backbone_parts
from usrn_keras.networks.decoders.decoder_options import DecoderOptions
from usrn_keras.networks.keras_cv_segformer import SIZES, segformer
from usrn_keras.networks.layers import ResizeLike, chain, relaid
from usrn_keras.optional import import_keras_cv

ASKED_BY = ("network.architecture = 'keras_cv/deeplab_v3_plus'", "network.architecture = ''")
OUTPUT_STRIDE = 32


def deeplab_v3_plus(
    backbone: str,
    *,
    weights: str,
    width: float = 1.0,
    backbone_end: str = "",
    rates: Sequence[int] = (6, 12, 18),
    aspp_channels: int = 256,
    low_level_channels: int = 48,
    decoder_channels: int = 256,
    dropout: float = 0.5,
    batch_norm_momentum: float = 0.9,
) -> Parts:
    """keras-cv's DeepLabv3+ on any backbone, in the parts of a branch.

    It differs from `decoder = "deeplab_v3_plus"`, which is the paper's: features at stride 32, a single 1x1
    convolution behind the concatenation where the paper has two of 3x3, no dropout there, and Keras' own
    initializers and epsilon of batch normalisation. keras-cv's last layers enlarge the features four times
    and take a softmax; here the classifier of every branch gives logits at stride 4, which are enlarged
    behind it. Up to its bias, which keras-cv does not have, that is the same function.

    Args:
        backbone: `SUPPLIER/NAME`, of either supplier.
        weights: Of the backbone: `imagenet`, `none` or a file. `imagenet` is what `backbone` alone gives;
            keras-cv's own preset of the whole network (PASCAL VOC) is not read.
        width, backbone_end: Of the backbone, which must end at stride 32.
        rates, aspp_channels, dropout: Of its `SpatialPyramidPooling`.
        low_level_channels: Its `projection_filters`.
        decoder_channels: Channels of the result, 256 in keras-cv.
        batch_norm_momentum: Of every batch normalisation (0.99 in keras-cv).

    Raises:
        BackendError: keras-cv or TensorFlow is not installed.
        RecipeError: Unknown backbone or layer.
        WeightsError: The weights do not fit.
    """
    stem, tail = backbone_parts(
        backbone,
        weights=weights,
        width=width,
        end=backbone_end,
        output_stride=OUTPUT_STRIDE,
        batch_norm_momentum=batch_norm_momentum,
    )
    channels = stem.output.shape[-1], tail.output.shape[-1]
    options = {"rates": list(rates), "channels": aspp_channels, "dropout": dropout}
    stock = stock_model(*channels, low_level_channels=low_level_channels, **options)
    lay = partial(
        _decoder, stock, *channels, decoder_channels=decoder_channels, batch_norm_momentum=batch_norm_momentum
    )
    return Parts(stem, tail, lay)


def stock_model(
    low_channels: int, high_channels: int, *, low_level_channels: int, rates: list[int], **pooling: Any
) -> keras.Model:
    """keras-cv's network on a stand-in for the backbone: it only asks for maps at strides 4 and 32."""
    keras_cv = import_keras_cv(*ASKED_BY)
    images = keras.Input((64, 64, 3))
    low = layers.Conv2D(low_channels, 1, strides=4, name="low")(images)
    high = layers.Conv2D(high_channels, 1, strides=8, name="high")(low)
    backbone = keras.Model(images, high)
    backbone.pyramid_level_inputs = {"P2": "low", "P5": "high"}
    channels, dropout = pooling["channels"], pooling["dropout"]
    pyramid = keras_cv.layers.SpatialPyramidPooling(rates, num_channels=channels, dropout=dropout)
    return keras_cv.models.DeepLabV3Plus(
        backbone=backbone,
        num_classes=1,
        projection_filters=low_level_channels,
        spatial_pyramid_pooling=pyramid,
    )


def _decoder(
    stock: keras.Model,
    low_channels: int,
    high_channels: int,
    name: str,
    *,
    decoder_channels: int,
    batch_norm_momentum: float,
) -> keras.Model:
    """From the low-level and the deepest features to what keras-cv's head enlarges and classifies."""
    lay = partial(chain, batch_norm_momentum=batch_norm_momentum)
    low = keras.Input((None, None, low_channels), name="low_level")
    high = keras.Input((None, None, high_channels), name="high_level")
    *parts, mean = stock.spatial_pyramid_pooling.aspp_parallel_channels
    _pool, _reshape, *rest = mean.layers
    pooled = lay(rest, layers.GlobalAveragePooling2D(keepdims=True)(high))
    parts = [lay(part.layers, high) for part in parts] + [ResizeLike()([pooled, high])]
    x = lay(stock.spatial_pyramid_pooling.projection.layers, layers.Concatenate()(parts))
    head = stock.segmentation_head
    projector = next(
        layer for layer in stock.layers if isinstance(layer, keras.Sequential) and layer is not head
    )
    x = relaid(stock.get_layer("encoder_output_upsampling"), x)
    x = layers.Concatenate()([x, lay(projector.layers, low)])
    convolution, normalisation, relu, *_ = head.layers
    x = relaid(convolution, x, filters=decoder_channels)
    return keras.Model([low, high], lay([normalisation, relu], x), name=name)


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
