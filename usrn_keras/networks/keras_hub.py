"""Transformers of keras-hub as parts of a branch: MiT (SegFormer), DINOv2, DINOv3 and ViTDet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import layers

from usrn_keras.backends.graph import call_layers
from usrn_keras.errors import RecipeError
from usrn_keras.networks.cut_backbone import Parts
from usrn_keras.networks.decoders.decoder_options import FeatureMaps
from usrn_keras.networks.hub_backbones import (
    HUB_BACKBONES,
    IMAGENET,
    TO_UNIT,
    VIT_STRIDE,
    HubBackbone,
)
from usrn_keras.networks.hub_features import LOW_STRIDE, Folded, HubFeatures, maps_of
from usrn_keras.networks.hub_presets import copy_weights, load_preset
from usrn_keras.recipe.bands import RGB, Bands


def is_hub_transformer(backbone: str | keras.Model) -> bool:
    """Whether a backbone is built by `hub_parts`: a name of `HUB_BACKBONES`, or such a model of keras-hub.

    Args:
        backbone: Name of a backbone, or a model.
    """
    if isinstance(backbone, str):
        return backbone in HUB_BACKBONES
    fixed = None not in (backbone.inputs[0].shape[1:] if getattr(backbone, "inputs", None) else (None,))
    return type(backbone).__module__.startswith("keras_hub.") and fixed


def hub_parts(
    backbone: str | keras.Model,
    *,
    weights: str,
    width: float,
    end: str,
    output_stride: int,
    window: int,
    bands: Bands | None,
    decoder: Callable[[FeatureMaps, str], keras.Model],
) -> Parts:
    """Build the parts of a branch on a transformer of keras-hub.

    A pyramid (MiT) gives its levels at stride 4 and at the output stride; levels beyond it are not built. A
    vision transformer has tokens at stride 16 alone: the decoder brings them to stride 4 by the transposed
    convolutions of the simple feature pyramid (ViTDet, Li et al., arXiv 2203.16527, section 3). The whole
    backbone is in the stem, so that branches which share low-level features share all of it.

    Args:
        backbone: Name in `HUB_BACKBONES`, or a model of keras-hub of square images, which keeps its weights.
        weights: `none`; or the name of a preset of keras-hub, or its folder. Not read for a model.
        width: Must be 1.
        end: Must be empty.
        output_stride: Stride of the deepest features, 16; 32 for a pyramid too.
        window: Side of the squares that the backbone sees, a multiple of 32. Not read for a model.
        bands: Bands of the images, which must be red, green and blue.
        decoder: Function that builds the decoder from the feature maps and the name of the model.

    Raises:
        BackendError: keras-hub is not installed.
        RecipeError: The backbone has no such option or stride.
        WeightsError: The weights do not fit.
    """
    features, preprocess = _features(backbone, weights, output_stride, window, width, end, bands)
    images = keras.Input((None, None, RGB.count), name="images")
    rescaled = layers.Rescaling(preprocess["scale"], preprocess["offset"], name="preprocess")(images)
    stem = keras.Model(images, features(rescaled), name="stem")
    packed = keras.Input((None, None, stem.output.shape[-1]), name="low_level")
    high = Folded(features.low_channels, features.factor, name="deepest")(packed)
    tail = keras.Model(packed, high, name="tail")
    maps = FeatureMaps(packed.shape[-1], features.high_channels, features.stride)
    if features.low:
        return Parts(stem, tail, partial(decoder, maps))
    return Parts(stem, tail, partial(_with_simple_pyramid, decoder, maps))


def _features(
    backbone: str | keras.Model,
    weights: str,
    output_stride: int,
    window: int,
    width: float,
    end: str,
    bands: Bands | None,
) -> tuple[HubFeatures, dict[str, Any]]:
    """The layer that runs the backbone, with its weights, and the preprocessing."""
    if isinstance(backbone, str):
        name, spec = backbone, HUB_BACKBONES[backbone]
    else:
        name, own = backbone.name, backbone.get_config()
        preprocess = TO_UNIT if type(backbone).__name__ == "ViTDetBackbone" else IMAGENET
        spec = HubBackbone(type(backbone).__name__, own, preprocess)
        side = backbone.inputs[0].shape[1]
        window = side if spec.patch_size is None else side * VIT_STRIDE // spec.patch_size
    pyramid = spec.patch_size is None
    _validate(name, pyramid, output_stride, window, width, end, bands)
    low, high = ("P1", "P3" if output_stride == 16 else "P4") if pyramid else ("", "")
    arguments = spec.config(window), window, output_stride, low, high
    features = HubFeatures(spec.class_name, *arguments, name="features")
    if not isinstance(backbone, str):
        features.maps.set_weights(maps_of(backbone, low, high).get_weights())
    elif weights != "none":
        found = load_preset(spec.class_name, weights, arguments[0]["image_shape"])
        copy_weights(maps_of(found, low, high), features.maps, name, weights)
    return features, spec.preprocess


def _validate(
    name: str, pyramid: bool, output_stride: int, window: int, width: float, end: str, bands: Bands | None
) -> None:
    strides = (16, 32) if pyramid else (16,)
    errors = []
    if output_stride not in strides:
        allowed = " or ".join(map(str, strides))
        errors.append(f"network.output_stride: must be {allowed} with {name}, received {output_stride}")
    if width != 1:
        errors.append(f"network.width: must be 1 with {name}, received {width}")
    if end:
        errors.append(f"network.backbone_end: must be empty with {name}, received {end!r}")
    if bands is not None and not bands.are_rgb:
        errors.append(f"data.bands: must be red, green and blue with {name}, received {bands}")
    if window < 32 or window % 32:
        errors.append(f"`window`: must be a positive multiple of 32, received {window}")
    if errors:
        raise RecipeError(f"{name} does not fit", errors=errors)


def _with_simple_pyramid(
    decoder: Callable[[FeatureMaps, str], keras.Model], maps: FeatureMaps, name: str
) -> keras.Model:
    """Build a decoder whose low-level features are made from the deepest ones."""
    low = keras.Input((None, None, maps.low_channels), name="low_level")
    high = keras.Input((None, None, maps.high_channels), name="high_level")
    x = layers.Conv2DTranspose(maps.high_channels // 2, 2, 2, name="stride_8")(high)
    x = layers.LayerNormalization(epsilon=1e-6, name="stride_8_norm")(x)
    x = layers.Activation("gelu", name="stride_8_gelu")(x)
    x = layers.Conv2DTranspose(maps.high_channels // 4, 2, 2, name="stride_4")(x)
    x = layers.Concatenate(name="simple_pyramid")([low, x])
    assert maps.output_stride == VIT_STRIDE == 4 * LOW_STRIDE
    inner = decoder(FeatureMaps(x.shape[-1], maps.high_channels, maps.output_stride), name)
    features = call_layers(inner, [x, high], lambda layer, *args, **kwargs: layer(*args, **kwargs))
    return keras.Model([low, high], features, name=name)
