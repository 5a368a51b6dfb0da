"""Pretrained weights of a backbone: ImageNet's, a local file, or none."""

from __future__ import annotations

import contextlib
import sys

import keras
import numpy as np

from usrn_keras.errors import WeightsError
from usrn_keras.networks.backbones import ASKED_BY, Backbone
from usrn_keras.networks.weights_file import load_weights_file
from usrn_keras.optional import import_keras_cv

APPLICATIONS = {
    "mobilenet": "MobileNet", "resnet50": "ResNet50", "resnet101": "ResNet101", "resnet152": "ResNet152",
}  # fmt: skip


def load_backbone_weights(model: keras.Model, backbone: Backbone, name: str, weights: str) -> None:
    """Fill `model`, built by `backbone`, with weights.

    Args:
        model: The backbone before any conversion, perhaps cut short.
        backbone: Where it comes from.
        name: Its name, for messages.
        weights: `none`, `imagenet` (downloaded by its supplier) or the path of a file of the same layers,
            see `load_weights_file`.

    Raises:
        WeightsError: The file is missing or does not fit (every tensor that differs is
            listed), or the supplier's weights cannot be had.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        _load_imagenet(model, backbone, name)
    else:
        load_weights_file(model, weights)
    if backbone.bgr:
        _flip_first_kernel(model)


def _load_imagenet(model: keras.Model, backbone: Backbone, name: str) -> None:
    if name.startswith("keras_cv/") and not backbone.preset:
        raise WeightsError(
            f"network.weights: keras-cv has no ImageNet weights for {name}",
            hint="Use keras_cv/resnet50, a keras/... backbone, a local file, or weights = 'none'.",
        )
    supplied = _supplied(backbone, name)[: len(model.weights)]
    if [tuple(variable.shape) for variable in model.weights] != [weight.shape for weight in supplied]:
        raise WeightsError(
            f"network.weights: the ImageNet weights of {name} do not fit a network of another width",
            hint="Set network.width = 1, or weights = 'none' or a file of this width.",
        )
    model.set_weights(supplied)


def _supplied(backbone: Backbone, name: str) -> list[np.ndarray]:
    """The weights as their supplier has them, downloaded if need be."""
    supplier, kind = name.split("/")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras shows its downloads where results belong
            if supplier == "keras_cv":
                whole = import_keras_cv(*ASKED_BY).models.ResNetBackbone.from_preset(backbone.preset)
            else:
                whole = getattr(keras.applications, APPLICATIONS[kind])(include_top=False, weights="imagenet")
    except Exception as error:  # the suppliers' downloads fail in many ways
        raise WeightsError(
            f"network.weights: the ImageNet weights of {name} cannot be had: {error}",
            hint="Without a network, give a local file: --set network.weights=PATH.weights.h5 (or 'none').",
        ) from error
    return whole.get_weights()


def _flip_first_kernel(model: keras.Model) -> None:
    """Weights trained on blue, green, red made to take red, green, blue."""
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    first.kernel.assign(keras.ops.flip(first.kernel.value, axis=2))
