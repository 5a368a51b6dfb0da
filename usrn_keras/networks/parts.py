"""A network in parts: what branches share or do not share, before there is a classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from usrn_keras.errors import RecipeError
from usrn_keras.networks.backbones import find_backbone
from usrn_keras.networks.graph import cut_layers, output_strides, split
from usrn_keras.networks.output_stride import with_output_stride
from usrn_keras.networks.weights import load_backbone_weights

LOW_LEVEL_STRIDE = 4


@dataclass(frozen=True)
class Parts:
    """A network in parts.

    Attributes:
        stem: Images `(batch, height, width, 3)`, RGB in 0..255, to low-level features at stride 4.
        tail: Low-level features to the deepest features, or to a list of maps of which these are the last.
        decoder: Makes a new decoder of this name, with random weights: of `[low, *deeper maps]` to features
            at stride 4.
    """

    stem: keras.Model
    tail: keras.Model
    decoder: Callable[[str], keras.Model]


def backbone_parts(
    name: str, *, weights: str, width: float, end: str, output_stride: int, batch_norm_momentum: float
) -> tuple[keras.Model, keras.Model]:
    """Stem (with preprocessing) and tail of a backbone.

    Args:
        name: `SUPPLIER/NAME`.
        weights: `imagenet`, `none` or a file.
        width: Multiplies the channels.
        end: Name of the last layer to use; empty: all of it.
        output_stride: Of the deepest features.
        batch_norm_momentum: Of every batch normalisation.

    Raises:
        RecipeError: Unknown backbone or layer.
        WeightsError: The weights do not fit.
    """
    spec = find_backbone(name)
    model = _until(spec.build(width), end, output_stride)
    load_backbone_weights(model, spec, name, weights)
    model = with_output_stride(model, output_stride, batch_norm_momentum=batch_norm_momentum)
    stem, tail = split(model, _low_level_layer(model))
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, stem(spec.preprocess()(images)), name="stem"), tail


def _until(model: keras.Model, end: str, output_stride: int) -> keras.Model:
    """The model up to a layer, which must be as coarse as `output_stride` before strides become dilation."""
    if not end:
        return model
    strides = output_strides(model)
    names = [layer.name for layer in _cuts(model) if strides[layer.name] >= output_stride]
    if end not in names:
        raise RecipeError(
            f"network.backbone_end: no place to end at {end!r} with output stride {output_stride}; "
            f"allowed: {', '.join(names)}"
        )
    return keras.Model(model.input, model.get_layer(end).output, name=model.name)


def _low_level_layer(model: keras.Model) -> keras.Layer:
    """The last place at stride 4 where the graph can be cut: the end of the first stage."""
    strides = output_strides(model)
    return [layer for layer in _cuts(model) if strides[layer.name] == LOW_LEVEL_STRIDE][-1]


def _cuts(model: keras.Model) -> list[keras.Layer]:
    """Layers that the graph can be cut behind; a padded map is larger than its stride says."""
    return [layer for layer in cut_layers(model) if not isinstance(layer, keras.layers.ZeroPadding2D)]
