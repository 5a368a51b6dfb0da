"""From plain arguments to the two branches of the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import keras

from usrn_keras.networks.blocks import classifier
from usrn_keras.networks.branch import Branch
from usrn_keras.networks.decoders import DecoderOptions, Maps, find_decoder
from usrn_keras.networks.parts import Parts, backbone_parts
from usrn_keras.networks.stock import StockOptions, find_architecture
from usrn_keras.optional import tensorflow_left_out

Sharing = Literal["none", "low", "low_high"]


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
        architecture: `SUPPLIER/NAME` of a whole network, which brings its own decoder and output stride, and
            perhaps its own backbone; empty: backbone and decoder as named here.
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
        RecipeError: Unknown architecture, backbone, layer or decoder.
        BackendError: A supplier is not installed.
        WeightsError: The weights do not fit.

    Example:

    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=3, subclasses=7, weights="none", width=0.25)
    >>> branch.stem is sub_branch.stem, branch.tail is sub_branch.tail
    (True, False)
    """
    options = DecoderOptions(**decoder_options)
    if architecture:
        stock = StockOptions(weights, backbone, width, backbone_end, options)
        parts = find_architecture(architecture)(stock)
    else:
        stem, tail = backbone_parts(
            backbone,
            weights=weights,
            width=width,
            end=backbone_end,
            output_stride=output_stride,
            batch_norm_momentum=options.batch_norm_momentum,
        )
        maps = Maps(stem.output.shape[-1], tail.output.shape[-1], output_stride)
        parts = Parts(stem, tail, partial(find_decoder(decoder), maps, options))

    def head(outputs: int, name: str) -> keras.Model:
        return classifier(options.decoder_channels, outputs, dropout=classifier_dropout, name=name)

    return _branches(parts, head, classes, subclasses, sharing)


def _branches(
    parts: Parts,
    head: Callable[[int, str], keras.Model],
    classes: int,
    subclasses: int | None,
    sharing: Sharing,
) -> tuple[Branch, Branch | None]:
    """F and F_sub of the same parts, which they share or have copies of.

    Heads are drawn before decoders: the weights of a seed are those of earlier versions.
    """
    own_head = head(classes, "classifier")
    branch = Branch(parts.stem, parts.tail, parts.decoder("decoder"), own_head, name="branch")
    if subclasses is None:
        return branch, None
    stem = _copy(parts.stem) if sharing == "none" else parts.stem
    tail = parts.tail if sharing == "low_high" else _copy(parts.tail)
    sub_head = head(subclasses, "sub_classifier")
    return branch, Branch(stem, tail, parts.decoder("sub_decoder"), sub_head, name="sub_branch")


def _copy(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
