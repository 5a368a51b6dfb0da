"""From plain arguments to the two branches of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import keras

from usrn_keras.errors import RecipeError
from usrn_keras.networks.backbones import find_backbone
from usrn_keras.networks.blocks import classifier
from usrn_keras.networks.branch import Branch
from usrn_keras.networks.decoders import LOW_LEVEL_STRIDE, DecoderOptions, Maps, find_decoder
from usrn_keras.networks.graph import cut_layers, output_strides, split
from usrn_keras.networks.output_stride import with_output_stride
from usrn_keras.networks.weights import load_backbone_weights
from usrn_keras.optional import tensorflow_left_out

Sharing = Literal["none", "low", "low_high"]


@dataclass(frozen=True)
class Parts:
    """A network in the parts that branches share or do not share, without a classifier.

    Attributes:
        stem: Images to low-level features.
        tail: Low-level features to the deepest features, one map or several.
        decoder: Makes a new decoder of this name.
    """

    stem: keras.Model
    tail: keras.Model
    decoder: Callable[[str], keras.Model]


@tensorflow_left_out()
def build_branches(
    backbone: str = "",
    *,
    architecture: str = "",
    classes: int,
    subclasses: int | None = None,
    weights: str = "imagenet",
    width: float = 1.0,
    backbone_end: str = "",
    output_stride: int = 16,
    sharing: Sharing = "low",
    decoder: str = "deeplab_v3_plus",
    classifier_dropout: float = 0.1,
    **decoder_options: Any,
) -> tuple[Branch, Branch | None]:
    """Build F and, where `subclasses` is given, F_sub.

    Args:
        backbone: `SUPPLIER/NAME`.
        classes: Channels of F's logits.
        subclasses: Channels of F_sub's logits.
        weights: `imagenet`, `none` or a file.
        width: Multiplies the channels of the backbone.
        backbone_end: Name of the last layer of the backbone to use; empty: all of it.
        output_stride: Stride of the deepest features.
        sharing: What the branches share (Table 5): `none`, `low` (stem and first stage),
            `low_high` (whole backbone). Branches that do not share start from equal weights.
        decoder: `deeplab_v3_plus`, `pspnet` or `psanet`.
        classifier_dropout: Before the classifier.
        **decoder_options: See `DecoderOptions`; `batch_norm_momentum` is that of the backbone too.

    Raises:
        RecipeError: Unknown backbone, layer or decoder.
        WeightsError: The weights do not fit.

    Example:

    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=3, subclasses=7, weights="none", width=0.25)
    >>> branch.stem is sub_branch.stem, branch.tail is sub_branch.tail
    (True, False)
    """
    if architecture:
        raise RecipeError(f"network.architecture: {architecture} cannot be built yet")
    options, build_decoder = DecoderOptions(**decoder_options), find_decoder(decoder)
    stem, tail = _backbone(backbone, weights, width, backbone_end, output_stride, options.batch_norm_momentum)
    maps = Maps(stem.output.shape[-1], tail.output.shape[-1], output_stride)
    parts = Parts(stem, tail, lambda name: build_decoder(maps, options, name))
    return _branches(parts, classes, subclasses, sharing, classifier_dropout)


def _branches(
    parts: Parts, classes: int, subclasses: int | None, sharing: Sharing, dropout: float
) -> tuple[Branch, Branch | None]:
    """F and F_sub of the same parts, which they share or have copies of."""
    decoder = parts.decoder("decoder")
    channels = decoder.output.shape[-1]
    head = classifier(channels, classes, dropout=dropout)
    branch = Branch(parts.stem, parts.tail, decoder, head, name="branch")
    if subclasses is None:
        return branch, None
    stem = _copy(parts.stem) if sharing == "none" else parts.stem
    tail = parts.tail if sharing == "low_high" else _copy(parts.tail)
    sub_decoder = parts.decoder("sub_decoder")
    sub_head = classifier(channels, subclasses, dropout=dropout, name="sub_classifier")
    return branch, Branch(stem, tail, sub_decoder, sub_head, name="sub_branch")


def _backbone(
    name: str, weights: str, width: float, end: str, output_stride: int, momentum: float
) -> tuple[keras.Model, keras.Model]:
    """Stem (with preprocessing) and tail of a backbone at `output_stride`."""
    spec = find_backbone(name)
    model = _until(spec.build(width), end)
    load_backbone_weights(model, spec, name, weights)
    model = with_output_stride(model, output_stride, batch_norm_momentum=momentum)
    stem, tail = split(model, _low_level_layer(model))
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, stem(spec.preprocess()(images)), name="stem"), tail


def _until(model: keras.Model, end: str) -> keras.Model:
    if not end:
        return model
    names = [layer.name for layer in cut_layers(model)]
    if end not in names:
        raise RecipeError(f"network.backbone_end: no place to end at {end!r}; allowed: {', '.join(names)}")
    return keras.Model(model.input, model.get_layer(end).output, name=model.name)


def _low_level_layer(model: keras.Model) -> keras.Layer:
    """The last place at stride 4 where the graph can be cut: the end of the first stage."""
    strides = output_strides(model)
    return [
        layer
        for layer in cut_layers(model)
        if strides[layer.name] == LOW_LEVEL_STRIDE and not isinstance(layer, keras.layers.ZeroPadding2D)
    ][-1]


def _copy(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
