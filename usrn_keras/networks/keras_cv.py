"""Networks of keras-cv by name, as parts of a branch; `keras_cv/deeplab_v3_plus` is built here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
from keras import layers

from usrn_keras.networks.backbones import find_by_name
from usrn_keras.networks.cut_backbone import Parts, backbone_parts
from usrn_keras.networks.decoders.decoder_options import DecoderOptions
from usrn_keras.networks.layers import ResizeLike, clone_layer, clone_layers
from usrn_keras.optional import import_keras_cv
from usrn_keras.recipe.bands import Bands

REQUIRED_BY = ("network.architecture = 'keras_cv/deeplab_v3_plus'", "network.architecture = ''")
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
    bands: Bands | None = None,
) -> Parts:
    """Build DeepLabv3+ of keras-cv on any backbone, as parts of a branch.

    It differs from `decoder = "deeplab_v3_plus"`, which follows the paper: it has features at stride 32, a
    single 1x1 convolution after the concatenation instead of two 3x3 convolutions, no dropout there, and the
    default initializers and batch-norm epsilon of Keras. The last layers of keras-cv upsample the features by
    four and apply a softmax; here the classifier of every branch gives logits at stride 4, which are
    upsampled after it. This is the same function, except for the bias, which keras-cv does not have.

    Args:
        backbone: Name of the backbone, `SUPPLIER/NAME`.
        weights: Weights of the backbone: `imagenet`, `none` or the path of a file. The keras-cv preset of the
            whole network (PASCAL VOC) is not used.
        width: Factor on the number of channels of the backbone.
        backbone_end: Name of the last layer of the backbone, which must have the stride 32.
        rates: Dilation rates of `SpatialPyramidPooling`.
        aspp_channels: Number of channels of `SpatialPyramidPooling`.
        low_level_channels: Number of channels of the low-level features (`projection_filters`).
        decoder_channels: Number of output channels, 256 in keras-cv.
        dropout: Dropout rate of `SpatialPyramidPooling`.
        batch_norm_momentum: Momentum of every batch normalisation (0.99 in keras-cv).
        bands: Bands of the images; None for red, green and blue.

    Raises:
        BackendError: keras-cv or TensorFlow is not installed.
        RecipeError: The backbone or the layer is unknown.
        WeightsError: The weights do not fit.
    """
    stem, tail = backbone_parts(
        backbone,
        weights=weights,
        width=width,
        end=backbone_end,
        output_stride=OUTPUT_STRIDE,
        batch_norm_momentum=batch_norm_momentum,
        bands=bands,
    )
    channels = stem.output.shape[-1], tail.output.shape[-1]
    options = {"rates": list(rates), "channels": aspp_channels, "dropout": dropout}
    stock = stock_model(*channels, low_level_channels=low_level_channels, **options)
    decoder = partial(
        _decoder, stock, *channels, decoder_channels=decoder_channels, batch_norm_momentum=batch_norm_momentum
    )
    return Parts(stem, tail, decoder)


def stock_model(
    low_channels: int, high_channels: int, *, low_level_channels: int, rates: list[int], **pooling: Any
) -> keras.Model:
    """Build the network of keras-cv on a placeholder backbone, which has maps at strides 4 and 32."""
    keras_cv = import_keras_cv(*REQUIRED_BY)
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
    """Clone the layers from the low-level and the deepest features to the input of the last layers."""
    clone = partial(clone_layers, batch_norm_momentum=batch_norm_momentum)
    low = keras.Input((None, None, low_channels), name="low_level")
    high = keras.Input((None, None, high_channels), name="high_level")
    *parts, mean = stock.spatial_pyramid_pooling.aspp_parallel_channels
    _pool, _reshape, *rest = mean.layers
    pooled = clone(rest, layers.GlobalAveragePooling2D(keepdims=True)(high))
    parts = [clone(part.layers, high) for part in parts] + [ResizeLike()([pooled, high])]
    x = clone(stock.spatial_pyramid_pooling.projection.layers, layers.Concatenate()(parts))
    head = stock.segmentation_head
    projector = next(
        layer for layer in stock.layers if isinstance(layer, keras.Sequential) and layer is not head
    )
    x = clone_layer(stock.get_layer("encoder_output_upsampling"), x)
    x = layers.Concatenate()([x, clone(projector.layers, low)])
    convolution, normalisation, relu, *_ = head.layers
    x = clone_layer(convolution, x, filters=decoder_channels)
    return keras.Model([low, high], clone([normalisation, relu], x), name=name)


@dataclass(frozen=True)
class ArchitectureOptions:
    """Options of a whole network.

    Attributes:
        weights: Weights of the backbone: `imagenet`, `none` or the path of a file.
        backbone, width, backbone_end: Backbone, for networks without their own.
        decoder: Options of the decoder.
        bands: Bands of the images; None for red, green and blue.
    """

    weights: str
    backbone: str = ""
    width: float = 1.0
    backbone_end: str = ""
    decoder: DecoderOptions = field(default_factory=DecoderOptions)
    bands: Bands | None = None


Builder = Callable[[ArchitectureOptions], Parts]


def find_architecture(name: str) -> Builder:
    """Find a network by its name.

    Args:
        name: Name such as `keras_cv/deeplab_v3_plus`.

    Returns:
        A function that builds the parts of the network from its options.

    Raises:
        RecipeError: The network is unknown.
    """
    return find_by_name("architecture", name, ARCHITECTURES)


def _deeplab_v3_plus(options: ArchitectureOptions) -> Parts:
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
        bands=options.bands,
    )


ARCHITECTURES: dict[str, Builder] = {"keras_cv/deeplab_v3_plus": _deeplab_v3_plus}
