"""From plain arguments to the two branches of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import keras

from usrn_keras.errors import RecipeError
from usrn_keras.networks.backbones import find_backbone
from usrn_keras.networks.branch import Branch
from usrn_keras.networks.deeplab import classifier, deeplab_v3_plus
from usrn_keras.networks.graph import cut_layers, output_strides, split
from usrn_keras.networks.output_stride import with_output_stride
from usrn_keras.networks.weights import load_backbone_weights
from usrn_keras.optional import tensorflow_left_out

LOW_LEVEL_STRIDE = 4


@tensorflow_left_out()
def build_branches(
    backbone: str,
    *,
    classes: int,
    subclasses: int | None = None,
    weights: str = "imagenet",
    width: float = 1.0,
    backbone_end: str = "",
    output_stride: int = 16,
    sharing: Literal["none", "low", "low_high"] = "low",
    aspp_rates: Sequence[int] = (6, 12, 18),
    aspp_channels: int = 256,
    low_level_channels: int = 48,
    decoder_channels: int = 256,
    dropout: float = 0.5,
    classifier_dropout: float = 0.1,
    batch_norm_momentum: float = 0.9,
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
        aspp_rates, aspp_channels, low_level_channels, decoder_channels, dropout: Of the decoder.
        classifier_dropout: Before the classifier.
        batch_norm_momentum: Of every batch normalisation.

    Raises:
        RecipeError: Unknown backbone or layer.
        WeightsError: The weights do not fit.

    Example:

    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=3, subclasses=7, weights="none", width=0.25)
    >>> branch.stem is sub_branch.stem, branch.tail is sub_branch.tail
    (True, False)
    """
    stem, tail = _backbone(backbone, weights, width, backbone_end, output_stride, batch_norm_momentum)

    def decoder(name: str) -> keras.Model:
        return deeplab_v3_plus(
            stem.output.shape[-1],
            tail.output.shape[-1],
            upsampling=output_stride // LOW_LEVEL_STRIDE,
            rates=aspp_rates,
            aspp_channels=aspp_channels,
            low_level_channels=low_level_channels,
            decoder_channels=decoder_channels,
            dropout=dropout,
            batch_norm_momentum=batch_norm_momentum,
            name=name,
        )

    head = classifier(decoder_channels, classes, dropout=classifier_dropout)
    branch = Branch(stem, tail, decoder("decoder"), head, name="branch")
    if subclasses is None:
        return branch, None
    sub_stem = _copy(stem) if sharing == "none" else stem
    sub_tail = tail if sharing == "low_high" else _copy(tail)
    sub_head = classifier(decoder_channels, subclasses, dropout=classifier_dropout, name="sub_classifier")
    return branch, Branch(sub_stem, sub_tail, decoder("sub_decoder"), sub_head, name="sub_branch")


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
