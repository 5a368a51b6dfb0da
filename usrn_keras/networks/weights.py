"""Pretrained weights of a backbone: ImageNet's, a local file, or none."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras

from usrn_keras.errors import WeightsError
from usrn_keras.networks.backbones import ASKED_BY, Backbone
from usrn_keras.optional import import_keras_cv


def load_backbone_weights(model: keras.Model, backbone: Backbone, name: str, weights: str) -> None:
    """Fill `model`, built by `backbone`, with weights.

    Args:
        model: The backbone before any conversion, perhaps cut short.
        backbone: Where it comes from.
        name: Its name, for messages.
        weights: `none`, `imagenet` (downloaded by its supplier) or the path of a
            `.weights.h5` file of the same layers.

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


def load_weights_file(model: keras.Model, file: str) -> None:
    """Fill a flat functional model with the `.weights.h5` file of one with the same layers.

    Raises:
        WeightsError: The file is missing or does not fit; every tensor that differs is listed.
    """
    path = Path(file)
    if not path.is_file():
        raise WeightsError(
            f"network.weights: no such file: {path}",
            hint="Give the path of a .weights.h5 file, 'imagenet', or 'none'.",
        )
    try:
        faults = _misfits(model, path)
    except OSError as error:
        raise WeightsError(f"network.weights: {path} is no HDF5 file: {error}") from None
    if faults:
        raise WeightsError(
            f"network.weights: {path} does not fit {model.name} ({len(faults)} tensors differ)",
            faults=faults[:40],
            hint="Choose the backbone, width and backbone_end that the file was saved with.",
        )
    model.load_weights(path)


def _misfits(model: keras.Model, path: Path) -> list[str]:
    """Tensors whose shapes differ between file and model, in the order of the layers."""
    expected = _shapes_of(model)
    with h5py.File(path) as file:
        found: dict[str, tuple[int, ...]] = {}
        file.visititems(
            lambda key, item: (
                found.update({key: item.shape})
                if isinstance(item, h5py.Dataset) and "seed_generator" not in key
                else None
            )
        )
    faults = [
        f"{key}: the network needs {shape}, the file has none"
        for key, shape in expected.items()
        if key not in found
    ]
    faults += [
        f"{key}: the file has {shape}, the network has none"
        for key, shape in found.items()
        if key not in expected
    ]
    faults += [
        f"{key}: the network needs {expected[key]}, the file has {found[key]}"
        for key in expected
        if key in found and expected[key] != found[key]
    ]
    return faults


def _shapes_of(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Shapes under the keys of Keras' `.weights.h5` layout: layers numbered by class."""
    counts: dict[str, int] = {}
    shapes = {}
    for layer in model.layers:
        base = _snake_case(layer.__class__.__name__)
        number = counts.get(base, 0)
        counts[base] = number + 1
        group = base if number == 0 else f"{base}_{number}"
        for index, variable in enumerate(layer.weights):
            shapes[f"layers/{group}/vars/{index}"] = tuple(variable.shape)
    return shapes


def _snake_case(name: str) -> str:
    # keras.src.utils.naming.to_snake_case is not public.
    import re

    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _load_imagenet(model: keras.Model, backbone: Backbone, name: str) -> None:
    supplier, kind = name.split("/")
    try:
        if supplier == "keras_cv":
            if not backbone.preset:
                raise WeightsError(
                    f"network.weights: keras-cv has no ImageNet weights for {name}",
                    hint="Use keras_cv/resnet50, a keras/... backbone, a local file, or weights = 'none'.",
                )
            source = import_keras_cv(*ASKED_BY).models.ResNetBackbone.from_preset(backbone.preset)
        else:
            classes = {
                "mobilenet": "MobileNet",
                "resnet50": "ResNet50",
                "resnet101": "ResNet101",
                "resnet152": "ResNet152",
            }
            source = getattr(keras.applications, classes[kind])(include_top=False, weights="imagenet")
        model.set_weights(source.get_weights()[: len(model.get_weights())])
    except WeightsError:
        raise
    except Exception as error:  # the suppliers' downloads fail in many ways
        raise WeightsError(
            f"network.weights: the ImageNet weights of {name} cannot be had: {error}",
            hint="Without a network, give a local file: --set network.weights=PATH.weights.h5 (or 'none').",
        ) from error


def _flip_first_kernel(model: keras.Model) -> None:
    """Weights trained on blue, green, red made to take red, green, blue."""
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    first.kernel.assign(keras.ops.flip(first.kernel.value, axis=2))
