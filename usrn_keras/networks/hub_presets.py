"""Published weights of keras-hub: its presets, by name or as folders."""

from __future__ import annotations

import keras

from usrn_keras.errors import WeightsError
from usrn_keras.networks.hub_backbones import REQUIRED_BY
from usrn_keras.optional import import_keras_hub


def load_preset(class_name: str, preset: str, image_shape: tuple[int, int, int] | None) -> keras.Model:
    """Load a backbone from a preset of keras-hub.

    Args:
        class_name: Name of its class.
        preset: Name of a preset, which is downloaded unless it is in the cache of Kaggle, or a folder that
            `save_to_preset` wrote.
        image_shape: Shape of the images; None for that of the preset.

    Raises:
        BackendError: keras-hub is not installed.
        WeightsError: There is no such preset, it is of another class, or the download failed.
    """
    hub = import_keras_hub(*REQUIRED_BY)
    options = {} if image_shape is None else {"image_shape": tuple(image_shape)}
    try:
        return getattr(hub.models, class_name).from_preset(preset, **options)
    except Exception as error:  # downloads and presets raise many types of errors
        presets = ", ".join(getattr(hub.models, class_name).presets) or "there is none"
        raise WeightsError(
            f"network.weights: keras_hub cannot load {preset!r} as a {class_name}: "
            f"{str(error).strip()[:300]}",
            hint=f"Use 'none', a folder written by save_to_preset, or a preset: {presets}.",
        ) from error


def copy_weights(source: keras.Model, target: keras.Model, name: str, weights: str) -> None:
    """Copy the weights of a backbone, or of a part of it, to another one of the same layers.

    Args:
        source, target: Models.
        name: Name of the backbone of `target`, for the message.
        weights: Where those of `source` are from, for the message.

    Raises:
        WeightsError: A shape differs; the message lists every one.
    """
    found = [tuple(variable.shape) for variable in source.weights]
    errors = [
        f"tensor {number} ({variable.path}): the network needs {tuple(variable.shape)}, the preset has "
        f"{found[number] if number < len(found) else 'none'}"
        for number, variable in enumerate(target.weights)
        if found[number : number + 1] != [tuple(variable.shape)]
    ]
    if errors or len(found) != len(target.weights):
        raise WeightsError(
            f"network.weights: {weights} does not fit {name} ({len(found)} tensors, the network needs "
            f"{len(target.weights)})",
            errors=errors[:40],
            hint="Choose the preset of this backbone.",
        )
    target.set_weights(source.get_weights())
