"""Extend a backbone for RGB to images of other bands: its normalisation and its first convolution."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from usrn_keras.errors import RecipeError

COLOURS = 3
Colours = Sequence[int | None]  # which of red (0), green (1) and blue (2) each band is; None for another band


def with_bands(model: keras.Model, colours: Colours, *, pretrained: bool) -> keras.Model:
    """Clone a backbone for images of other bands than red, green and blue.

    The rule for the first convolution, of C bands: a band that is red, green or blue keeps its kernel; any
    other band gets 3 / C of the mean of the three kernels. So

    - where red, green and blue are among the bands and all others are zero (their mean, after the
      normalisation), the activations are those of the original network;
    - where no band has a colour, equal bands give the activations of a grey RGB image; one band alone gets
      the sum of the three kernels.

    The normalisation before it is that of each colour, and the mean of the three for other bands.

    Args:
        model: Flat functional model of RGB images.
        colours: Colour of each band.
        pretrained: Whether the weights are pretrained; without, the first kernel is drawn for all bands.

    Raises:
        RecipeError: The first layer with weights is no convolution.

    Example:

    >>> model = keras.applications.MobileNet(include_top=False, weights=None)
    >>> with_bands(model, (0, 1, 2, None), pretrained=True).input_shape[-1]
    4
    """

    def clone(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config(_extended_config(layer.get_config(), colours))

    images = keras.Input((None, None, len(colours)), name=model.inputs[0].name)
    extended = keras.models.clone_model(model, input_tensors=images, clone_function=clone)
    for old, new in zip(model.layers, extended.layers, strict=True):
        for variable, target in zip(old.weights, new.weights, strict=True):
            if variable.shape == target.shape:
                target.assign(variable)
            elif len(variable.shape) == 1:  # the mean or variance of a normalisation
                target.assign(extended_values(_array(variable), colours))
            elif not isinstance(old, keras.layers.Conv2D):
                raise RecipeError(
                    f"network.backbone: {model.name!r} cannot be extended to {len(colours)} bands: its first "
                    f"layer with weights, {old.name!r}, is no convolution",
                    hint="Choose another backbone, or leave data.bands empty.",
                )
            elif pretrained:
                target.assign(extended_kernel(_array(variable), colours))
    return extended


def extended_values(values: Sequence[float] | np.ndarray, colours: Colours) -> list[float]:
    """Give each band the value of its colour, and other bands the mean of the three.

    Example:

    >>> extended_values((1.0, 2.0, 6.0), (2, 1, None))
    [6.0, 2.0, 3.0]
    """
    mean = float(np.mean(values))
    return [mean if colour is None else float(values[colour]) for colour in colours]


def extended_kernel(kernel: np.ndarray, colours: Colours) -> np.ndarray:
    """Extend a kernel `(height, width, 3, filters)` to all bands, as `with_bands` describes."""
    other = kernel.mean(axis=2) * (COLOURS / len(colours))
    return np.stack([other if colour is None else kernel[:, :, colour] for colour in colours], axis=2)


def _extended_config(config: dict, colours: Colours) -> dict:
    """Extend the numbers of a `Rescaling` or `Normalization` layer, one for each colour."""
    per_band = {
        key: extended_values(config[key], colours)
        for key in ("scale", "offset", "mean", "variance")
        if isinstance(config.get(key), list | tuple) and len(config[key]) == COLOURS
    }
    return config | per_band


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))
