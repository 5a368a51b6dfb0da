"""A small functional network with every kind of layer that the real ones have."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

CLASSES = 5


def tiny_network(*, normalization: bool = True) -> keras.Model:
    """Images (batch, height, width, 3) in 0..255 to logits (batch, height, width, 5)."""
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, [-1.0, -0.9, -1.1])(images)
    if normalization:
        x = layers.Normalization(mean=[0.1, 0.0, -0.1], variance=[0.3, 0.2, 0.25])(x)
    low = _backbone_stem(x)
    logits = layers.Conv2D(CLASSES, 1)(_decoder()([low, _backbone_tail(low)]))
    model = keras.Model(images, layers.UpSampling2D(4, interpolation="bilinear", dtype="float32")(logits))
    _randomize_statistics(model)
    return model


def _backbone_stem(x):
    x = layers.MaxPooling2D(3, strides=2, padding="same")(_block(x, 6, stride=2))  # as keras-cv's ResNet
    return _depthwise_block(x, 8)


def _backbone_tail(low):
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(low))  # as keras.applications' ResNet
    x = _depthwise_block(x, 12, stride=2)
    return layers.Add()([x, _depthwise_block(x, 12, dilation=2)])


def _decoder() -> keras.Model:
    """A model inside the model, as the decoders of the real networks are."""
    low, high = keras.Input((None, None, 8)), keras.Input((None, None, 12))
    pooled = layers.Conv2D(8, 1)(layers.GlobalAveragePooling2D(keepdims=True)(high))
    x = layers.Concatenate()([_block(high, 8, dilation=3), _block(high, 8)])
    x = layers.Dropout(0.5)(layers.Add()([layers.Conv2D(8, 1)(x), pooled]))
    x = layers.UpSampling2D(4, interpolation="bilinear")(x)
    return keras.Model([low, high], _block(layers.Concatenate()([x, layers.Conv2D(4, 1)(low)]), 8))


def _block(x, channels: int, *, stride: int = 1, dilation: int = 1):
    x, padding = _padded(x, stride)
    x = layers.Conv2D(
        channels, 3, strides=stride, dilation_rate=dilation, padding=padding, use_bias=False
    )(x)  # fmt: skip
    return layers.ReLU()(layers.BatchNormalization()(x))


def _depthwise_block(x, channels: int, *, stride: int = 1, dilation: int = 1):
    x, padding = _padded(x, stride)
    x = layers.DepthwiseConv2D(3, strides=stride, dilation_rate=dilation, padding=padding, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(channels, 1, use_bias=False)(x)))


def _padded(x, stride: int):
    return (x, "same") if stride == 1 else (layers.ZeroPadding2D(1)(x), "valid")


def _randomize_statistics(model: keras.Model) -> None:
    """Moving statistics as after training: with zeros and ones a wrong conversion could pass."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "moving_variance" in weight.path:
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
        elif "moving_mean" in weight.path or "beta" in weight.path:
            weight.assign(rng.normal(0.0, 0.3, weight.shape))
