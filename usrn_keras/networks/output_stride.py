"""Trading stride for dilation: any functional backbone at output stride 32, 16 or 8."""

from __future__ import annotations

from typing import Any

import keras

from usrn_keras.networks.graph import inputs_of, output_strides, stride_of

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def with_output_stride(
    model: keras.Model, output_stride: int, *, batch_norm_momentum: float | None = None
) -> keras.Model:
    """Clone a backbone so that its deepest features have `output_stride`, weights kept.

    Layers that would go beyond it lose their stride, and every later convolution is
    dilated by what was lost, so that each filter still meets the pixels it was trained
    on (atrous convolution, Chen et al., arXiv 1706.05587, section 3.1).

    Args:
        model: Functional model of Keras layers, `(batch, height, width, 3)` in.
        output_stride: A power of two, at least 8.
        batch_norm_momentum: Replaces that of every batch normalisation. Keras' default
            of 0.99 follows too slowly for runs of a few thousand steps; PyTorch's is 0.9.

    Raises:
        ValueError: A convolution that must be dilated pads in a way that is not understood.

    Example:

    >>> backbone = keras.applications.MobileNet(include_top=False, weights=None)
    >>> with_output_stride(backbone, 16)(keras.ops.zeros((1, 64, 64, 3))).shape[1:3]
    (4, 4)
    """
    changes = _plan(model, output_stride)

    def clone(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config() | changes.get(layer.name, {})
        if batch_norm_momentum is not None and isinstance(layer, keras.layers.BatchNormalization):
            config["momentum"] = batch_norm_momentum
        return layer.__class__.from_config(config)

    converted = keras.models.clone_model(model, clone_function=clone)
    converted.set_weights(model.get_weights())
    return converted


def _plan(model: keras.Model, output_stride: int) -> dict[str, dict[str, Any]]:
    """What changes in the configuration of each layer, by layer name."""
    nominal = output_strides(model)
    producer = {id(layer.output): layer for layer in model.layers}
    changes: dict[str, dict[str, Any]] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        before = nominal[layer.name] // stride_of(layer)
        dilation = max(1, before // output_stride)
        loses_stride = stride_of(layer) > 1 and nominal[layer.name] > output_stride
        dilates = isinstance(layer, CONVOLUTIONS) and max(layer.kernel_size) > 1 and dilation > 1
        if loses_stride:
            changes[layer.name] = {"strides": (1, 1)}
        if dilates:
            changes.setdefault(layer.name, {})["dilation_rate"] = (dilation, dilation)
        if (loses_stride or dilates) and layer.padding == "valid":
            changes |= _same_padding(layer, producer[id(inputs_of(layer)[0])], changes[layer.name])
    return changes


def _same_padding(layer: keras.Layer, before: keras.Layer, change: dict[str, Any]) -> dict[str, Any]:
    """MobileNet pads in a layer of its own and convolves "valid": that padding must follow the dilation."""
    if isinstance(layer, CONVOLUTIONS) and max(layer.kernel_size) == 1:
        return {}
    if not isinstance(before, keras.layers.ZeroPadding2D):
        raise ValueError(
            f"`{layer.name}` convolves with padding='valid' and no ZeroPadding2D before it "
            f"(received {before.__class__.__name__}); its output stride cannot be changed"
        )
    return {before.name: {"padding": 0}, layer.name: change | {"padding": "same"}}
