"""Load pretrained weights of a backbone: ImageNet weights or a local file."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import h5py
import keras
import numpy as np

from usrn_keras.errors import WeightsError
from usrn_keras.networks import torch_checkpoint
from usrn_keras.networks.backbones import REQUIRED_BY, Backbone
from usrn_keras.networks.hub_presets import copy_weights, load_preset
from usrn_keras.networks.model_archive import check_weights
from usrn_keras.networks.published_weights import fetch
from usrn_keras.networks.saved_segmenter import read_model_file
from usrn_keras.networks.torch_checkpoint import load_torch_weights
from usrn_keras.optional import import_keras_cv

Shapes = dict[str, tuple[int, ...]]
SUFFIXES = (".weights.h5", ".h5", ".hdf5")


def load_weights_file(model: keras.Model, file: str) -> None:
    """Load the weights of a model with the same layers.

    Args:
        model: Flat functional model that receives the weights.
        file: Path of a `.weights.h5` file of Keras 3, whose layers are identified by class and number; of
            an `.h5` file of Keras 2, as keras.applications provides, whose layers are identified by name and
            may include further layers; of a `.keras` file of the whole model; or of a checkpoint of
            torchvision or timm, `.pth` or `.safetensors`, see `usrn_keras.networks.torch_checkpoint`.

    Raises:
        WeightsError: The file is missing or does not fit; the message lists every tensor that differs.
    """
    path = Path(file)
    if not path.is_file():
        raise WeightsError(
            f"network.weights: the file {path} does not exist",
            hint="Give the path of a .weights.h5, .h5, .keras, .safetensors or .pth file, 'imagenet', or "
            "'none'.",
        )
    if path.name.endswith(torch_checkpoint.SUFFIXES):
        load_torch_weights(model, path)
    elif path.suffix == ".keras":
        _load_keras_file(model, path)
    else:
        _load_hdf5_file(model, path)


def _load_keras_file(model: keras.Model, path: Path) -> None:
    """Load the weights of a whole model that `save` wrote."""
    saved = read_model_file(path)
    expected, found = ([tuple(v.shape) for v in one.weights] for one in (model, saved))
    errors = [
        f"tensor {number} ({variable.path}): the network needs {shape}, the file has "
        f"{found[number] if number < len(found) else 'none'}"
        for number, (variable, shape) in enumerate(zip(model.weights, expected, strict=True))
        if found[number : number + 1] != [shape]
    ]
    if len(found) > len(expected):
        errors.append(f"the file has {len(found) - len(expected)} tensors more than the network")
    _raise_if_different(model, path, errors)
    model.set_weights(saved.get_weights())


def _load_hdf5_file(model: keras.Model, path: Path) -> None:
    try:
        with h5py.File(path) as content:
            legacy = _legacy_layers(content)
            errors = _legacy_mismatches(model, legacy) if legacy is not None else _mismatches(model, content)
        check_weights(path)
    except OSError as error:
        raise WeightsError(f"network.weights: {path} is not an HDF5 file: {error}") from None
    _raise_if_different(model, path, errors)
    _validate_suffix(path, legacy=legacy is not None)
    model.load_weights(path, **({} if legacy is None else {"by_name": True}))


def _raise_if_different(model: keras.Model, path: Path, errors: list[str]) -> None:
    if errors:
        raise WeightsError(
            f"network.weights: {path} does not fit {model.name} ({len(errors)} tensors differ)",
            errors=errors[:40],
            hint="Choose the backbone, width and backbone_end that the file was saved with.",
        )


def _validate_suffix(path: Path, *, legacy: bool) -> None:
    """Check the suffix, from which Keras infers the format."""
    new = path.name.endswith(".weights.h5")
    if legacy == new or not path.name.endswith(SUFFIXES):
        wanted = ".h5, but not in .weights.h5 (it was written by Keras 2)" if legacy else ".weights.h5"
        raise WeightsError(
            f"network.weights: {path} fits, but Keras reads it only if its name ends in {wanted}",
            hint="Rename the file.",
        )


def _legacy_layers(file: h5py.File) -> dict[str, list[tuple[int, ...]]] | None:
    """Read the weight shapes of each layer of a Keras 2 file; None for a file of Keras 3."""
    group = file.get("model_weights", file)
    if "layer_names" not in group.attrs and "layer_names0" not in group.attrs:
        return None
    return {
        name: [tuple(layer[_text(weight)].shape) for weight in layer.attrs.get("weight_names", ())]
        for name, layer in group.items()
        if isinstance(layer, h5py.Group)
    }


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _legacy_mismatches(model: keras.Model, found: Mapping[str, list[tuple[int, ...]]]) -> list[str]:
    """List the layers whose weights differ between file and model; the file may have further layers."""
    expected = {
        layer.name: [tuple(variable.shape) for variable in _in_legacy_order(layer)]
        for layer in model.layers
        if layer.weights
    }
    return [
        f"{name}: the network needs {_listed(shapes)}, the file has {_listed(found.get(name, []))}"
        for name, shapes in expected.items()
        if found.get(name) != shapes
    ]


def _in_legacy_order(layer: keras.Layer) -> list[keras.Variable]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return " ".join(map(str, shapes)) or "none"


def _mismatches(model: keras.Model, file: h5py.File) -> list[str]:
    """List the tensors whose shapes differ between file and model, in the order of the layers."""
    expected, found = _shapes_of(model), Shapes()
    file.visititems(
        lambda key, item: (
            found.update({key: item.shape})
            if isinstance(item, h5py.Dataset) and "seed_generator" not in key
            else None
        )
    )
    errors = [
        f"{key}: the network needs {shape}, the file has none"
        for key, shape in expected.items()
        if key not in found
    ]
    errors += [
        f"{key}: the file has {shape}, the network has none"
        for key, shape in found.items()
        if key not in expected
    ]
    errors += [
        f"{key}: the network needs {expected[key]}, the file has {found[key]}"
        for key in expected
        if key in found and expected[key] != found[key]
    ]
    return errors


def _shapes_of(model: keras.Model) -> Shapes:
    """Weight shapes by their keys in a `.weights.h5` file of Keras, which numbers layers by class."""
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
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def load_backbone_weights(model: keras.Model, backbone: Backbone, name: str, weights: str) -> None:
    """Load pretrained weights of a backbone.

    Args:
        model: Model of the backbone before its conversion, possibly truncated.
        backbone: Backbone that built the model.
        name: Name of the backbone, for messages.
        weights: `none`, `imagenet` (downloaded) or the path of a file with the same layers, see
            `load_weights_file`; for keras-hub a preset, see `usrn_keras.networks.hub_presets`.

    Raises:
        WeightsError: The file is missing or does not fit (the message lists every tensor that differs), or
            the download failed.
    """
    if weights == "none":
        return
    if backbone.hub_class:
        preset = backbone.preset if weights == "imagenet" else weights
        found = load_preset(backbone.hub_class, preset, None)
        copy_weights(keras.Model(found.input, found.output), model, name, preset)
        return
    if weights == "imagenet":
        _load_imagenet(model, backbone, name)
    else:
        load_weights_file(model, weights)
    if backbone.bgr:
        _flip_first_kernel(model)


def _load_imagenet(model: keras.Model, backbone: Backbone, name: str) -> None:
    if name.startswith("torchvision/"):
        load_torch_weights(model, fetch(name))
        return
    if not (name.startswith("keras/") or backbone.preset):
        raise WeightsError(
            f"network.weights: there are no ImageNet weights for {name}",
            hint="Use keras_cv/resnet50, a keras/... backbone, a local file, or weights = 'none'. "
            "`usrn weights list` names the file of each backbone.",
        )
    downloaded = _download_weights(backbone, name)[: len(model.weights)]
    if [tuple(variable.shape) for variable in model.weights] != [weight.shape for weight in downloaded]:
        raise WeightsError(
            f"network.weights: the ImageNet weights of {name} do not fit a network of another width",
            hint="Set network.width = 1, or weights = 'none' or a file of this width.",
        )
    model.set_weights(downloaded)


def _download_weights(backbone: Backbone, name: str) -> list[np.ndarray]:
    """Get the ImageNet weights of keras-cv or keras.applications, from the cache or by download."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras prints download progress to stdout
            if backbone.preset:
                whole = import_keras_cv(*REQUIRED_BY).models.ResNetBackbone.from_preset(backbone.preset)
            else:
                whole = getattr(keras.applications, backbone.application)(
                    include_top=False, weights="imagenet", input_shape=(224, 224, 3)
                )
    except Exception as error:  # downloads raise many types of errors
        raise WeightsError(
            f"network.weights: the ImageNet weights of {name} cannot be downloaded: {error}",
            hint="Without internet access, use a file: --set network.weights=PATH.weights.h5 (or none); or "
            "copy the file that Keras keeps in ~/.keras/models from a machine that has it.",
        ) from error
    return whole.get_weights()


def _flip_first_kernel(model: keras.Model) -> None:
    """Convert weights trained on blue, green, red to red, green, blue."""
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    first.kernel.assign(keras.ops.flip(first.kernel.value, axis=2))
