"""The ResNet of torchvision and timm, layer by layer, so that their checkpoints give the same features.

It is the network of the official code: the 3x3 convolution of a block halves the size (v1.5), and padding is
symmetric. The ResNets of keras.applications and keras-cv halve it in the first 1x1 convolution.
"""

from __future__ import annotations

import keras
from keras import layers

EPSILON = 1e-5
CHANNELS = (64, 128, 256, 512)
EXPANSION = 4  # output channels of a bottleneck block by its width


def torchvision_resnet(width: float, *, blocks: tuple[int, ...], bottleneck: bool) -> keras.Model:
    """Build a ResNet (He et al., arXiv 1512.03385) with random weights.

    A layer is called as in a checkpoint, with `_` in place of dots: `layer1_0_conv1` has the kernel
    `layer1.0.conv1.weight`. See `usrn_keras.networks.torch_checkpoint`.

    Args:
        width: Factor on the channels of all stages.
        blocks: Number of blocks of each stage.
        bottleneck: Whether blocks have three convolutions (ResNet-50 and deeper) instead of two.

    Returns:
        A model from images `(batch, height, width, 3)` to features at stride 32.

    Example:

    >>> torchvision_resnet(0.25, blocks=(1, 1, 1, 1), bottleneck=True).output_shape
    (None, None, None, 512)
    """
    channels = [max(8, round(width * count)) for count in CHANNELS]
    images = keras.Input((None, None, 3), name="images")
    x = _convolution(images, channels[0], 7, 2, "conv1")
    x = layers.ReLU(name="relu")(_normalised(x, "bn1"))
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)  # zeros equal -inf after the ReLU
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            x = _block(x, channels[stage], stride, f"layer{stage + 1}_{block}", bottleneck)
    return keras.Model(images, x, name="resnet")


def _block(x: keras.KerasTensor, width: int, stride: int, name: str, bottleneck: bool) -> keras.KerasTensor:
    outputs = width * EXPANSION if bottleneck else width
    shortcut = x
    if stride > 1 or x.shape[-1] != outputs:
        shortcut = _convolution(x, outputs, 1, stride, f"{name}_downsample_0")
        shortcut = _normalised(shortcut, f"{name}_downsample_1")
    steps = [(width, 1, 1), (width, 3, stride), (outputs, 1, 1)]
    steps = steps if bottleneck else [(width, 3, stride), (outputs, 3, 1)]
    for number, (filters, kernel, step) in enumerate(steps, start=1):
        x = _normalised(_convolution(x, filters, kernel, step, f"{name}_conv{number}"), f"{name}_bn{number}")
        if number < len(steps):
            x = layers.ReLU(name=f"{name}_relu{number}")(x)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str
) -> keras.KerasTensor:
    if kernel > 1 and stride > 1:  # "same" would pad a strided convolution on one side alone
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    padding = "valid" if kernel > 1 and stride > 1 else "same"
    return layers.Conv2D(
        filters, kernel, stride, padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=EPSILON, name=name)(x)
